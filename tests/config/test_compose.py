"""Composition: which override or file is to blame, without a merge for each."""

import dataclasses
from collections import OrderedDict

import pytest

from treadle.check.checks import check
from treadle.config import merged
from treadle.config.compose import compose
from treadle.config.namesakes import find_namesake
from treadle.keys import walk
from treadle.problems import NOWHERE, ConfigError, Place

pytestmark = pytest.mark.fast_cases(3)


def find_problems(project, *overrides):
    with pytest.raises(ConfigError) as caught:
        check(compose(overrides=list(overrides), root=project))
    return {problem.key: str(problem.place) for problem in caught.value.problems}


def edit(project, name, old, new):
    path = project / "conf" / f"{name}.yaml"
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new, 1))


@pytest.mark.slow
def test_the_place_of_a_key_is_the_last_that_explain_names(project):
    composed = compose(
        overrides=["schedule.early_stopping={patience: 4, min_delta: 0.5}", "tracker.tags=[a]", "model=mlp", "~seed"],
        root=project,
    )

    traced = {key: composed.origins.trace(key) for key, _ in walk(composed.written)}

    assert min(map(len, traced.values())) > 0
    assert {key for key, settings in traced.items() if composed.locate(key) != settings[-1].place} == set()
    assert composed.locate("schedule.early_stopping.patience").position == 1
    assert composed.locate("tracker.tags.0").position == 2
    assert str(composed.locate("model.width")).startswith("conf/model/mlp.yaml:")
    assert composed.locate("seed").position == 4


@pytest.mark.parametrize(
    ("override", "key"),
    [
        ("schedule.early_stopping={patience: 0, min_delta: 0.5}", "schedule.early_stopping.patience"),
        ("schedule.early_stopping={patience: 3}", "schedule.early_stopping.min_delta"),
        ("evaluation.baselines=[prior,pryor]", "evaluation.baselines.1"),
    ],
    ids=["a value in a mapping", "a key that a null had replaced", "a key of a list's item"],
)
def test_an_override_of_a_section_is_blamed_for_what_is_in_it(project, override, key):
    assert find_problems(project, "model=auto", override)[key] == f"override 2: {override!r}"


def test_a_list_in_a_later_file_replaces_the_whole_list_of_an_earlier_one(project):
    (project / "conf" / "part").mkdir()
    (project / "conf" / "part" / "short.yaml").write_text("# @package evaluation\nbaselines:\n  - pryor\n")
    edit(project, "config", "  - experiment: flights", "  - experiment: flights\n  - part: short")

    assert find_problems(project)["evaluation.baselines.0"] == "conf/part/short.yaml:3:5"


@pytest.mark.sampled_cases(4)
@pytest.mark.parametrize(
    ("override", "rule"),
    [
        ("schedule=null", "'null' is not an option of the group 'schedule'"),
        ("model=[mlp,tabn]", "'[mlp,tabn]' is not an option of the group 'model'"),
        ("++model=mlp", "force-add of config groups is not supported"),
        ("model@model.member=mlp", "Could not override 'model@model.member'"),
        ("~model=mlp", "Could not delete 'model=mlp'"),
        ("+seed=1", "An item is already at 'seed'"),
        ("~seed=7", "The value of 'seed' is 0 and not 7"),
        ("~sede", "unknown key 'sede'"),
        ("schedule.max_epochs.x=1", "unknown key 'schedule.max_epochs.x'"),
    ],
)
def test_an_override_that_does_not_fit_is_told_alone_and_changes_nothing(project, override, rule):
    composed = compose(overrides=["trainer.threads=2", override, "evaluation.threshold=0.4"], root=project)

    assert [problem.place.position for problem in composed.problems] == [2]
    assert rule in composed.problems[0].rule
    assert composed.values == compose(overrides=["trainer.threads=2", "evaluation.threshold=0.4"], root=project).values


def test_a_section_that_cannot_be_merged_whole_is_not_merged_in_part(project):
    composed = compose(overrides=["evaluation={threshold: 0.4, treshold: 0.3}"], root=project)

    assert [problem.key for problem in composed.problems] == ["evaluation"]
    assert composed.values == compose(overrides=[], root=project).values


def test_mistakes_are_told_in_the_order_in_which_they_were_written(project):
    overrides = ["sede=1", "model=tabn", "tags=[a", "hydra.run.dir=x", "++loss=huber", "schedule.max_epoch=3"]

    composed = compose(overrides=overrides, root=project)

    assert [problem.place.override for problem in composed.problems] == overrides


def test_an_option_in_a_folder_below_its_group_is_one(project):
    (project / "conf" / "model" / "own").mkdir()
    (project / "conf" / "model" / "own" / "wide.yaml").write_text(
        "# @package model\n_target_: treadle.models.mlp.Mlp\nwidth: 7\n"
    )

    composed = compose(overrides=["model=own/wide"], root=project)

    assert composed.problems == []
    assert composed.values["model"]["width"] == 7


@pytest.mark.slow
@pytest.mark.parametrize("mistakes", [0, 1, 5])
def test_files_are_merged_once_however_many_values_are_wrong(project, monkeypatch, mistakes):
    compose_by_hydra, composed_by_hydra = merged.hydra_compose, []
    monkeypatch.setattr(merged, "KEPT", OrderedDict())
    monkeypatch.setattr(
        merged, "hydra_compose", lambda **given: composed_by_hydra.append(given) or compose_by_hydra(**given)
    )

    composed = compose(overrides=["model=mlp", "seed=2", *(f"sede{n}=1" for n in range(mistakes))], root=project)

    assert len(composed.problems) == mistakes
    assert len(composed_by_hydra) == 1


@pytest.mark.sampled_cases(4)
@pytest.mark.fast_cases(2)
@pytest.mark.parametrize(
    "override",
    [
        "schedule.max_epochs=3",
        "+schedule.early_stopping.patience=3",
        "+seed.x=1",
        "+tracker.tags.x=1",
        "+seed=1",
        "++trainer.gpus=2",
        "+new.deep.key=[1,{a: 2}]",
        "trainer.thread=3",
        "tracker.tags=[a,b]",
        "schedule.early_stopping={patience: 4, min_delta: 0.5}",
        "schedule.optimizer=3",
        "seed=${schedule.max_epochs}",
        "seed='7'",
        "name=???",
        "~seed",
    ],
)
def test_a_variation_is_what_a_composition_of_the_same_overrides_is(project, override):
    composed = compose(overrides=["seed=2", override], root=project)

    varied = compose(overrides=["seed=2"], root=project).vary({override: Place(override=override, position=2)})

    assert varied == composed
    assert list(varied.overrides) == list(composed.overrides)


def test_an_override_that_is_repeated_counts_at_its_last_place(project):
    composed = compose(overrides=["seed=1", "seed=2", "seed=1"], root=project)

    assert composed.values["seed"] == 1
    assert composed.locate("seed").position == 3
    assert list(composed.vary({"seed=2": Place(override="seed=2")}).overrides) == ["seed=1", "seed=2"]


def test_a_key_that_nothing_sets_is_blamed_on_the_primary_file(project):
    composed = compose(overrides=["+schedule.nope.x=1"], root=project)

    assert composed.locate("schedule.nope").position == 1
    assert composed.locate("nope") == Place("conf/config.yaml", 1, 1)
    assert dataclasses.replace(composed.origins, files=[]).locate("nope") == NOWHERE


def test_a_name_of_another_section_is_not_meant_where_the_own_section_has_that_name(root):
    known = compose(overrides=["experiment=california"], root=root).keys

    assert "evaluation.slices.columns" in known
    assert find_namesake("data.columns", known) == ""
    assert find_namesake("evaluation.columns", known) == "evaluation.slices.columns"
    assert find_namesake("trainer.max_epochs", known) == "schedule.max_epochs"
