"""Explain: a key's meaning, the history of its value, and who reads it."""

import json

import pytest

from runs import treadle
from treadle.config.compose import compose
from treadle.config.selection import read_selection
from treadle.experiment import spec
from treadle.experiment.stages import STAGES, WITHOUT_EFFECT
from treadle.explain.explanation import explain
from treadle.explain.meanings import describe_key, find_meaning
from treadle.explain.spec_types import is_section
from treadle.explain.views import to_json, to_text
from treadle.keys import walk
from treadle.problems import ConfigError
from treadle.targets.components import list_components
from treadle.targets.docstrings import read_words

pytestmark = pytest.mark.fast_cases(4)

PLACES = (
    "model",
    "features.blocks.*.steps.*",
    "schedule.optimizer",
    "schedule.lr_schedule",
    "loss.function",
    "augmentation",
)
PREFIXES = ("treadle.models.", "treadle.features.", "treadle.training.")


def look(project, key, *overrides, places=None):
    return explain(compose(overrides=list(overrides), root=project, places=places), key)


def settings(explanation):
    return [(str(setting.place), setting.value) for setting in explanation.history]


# --- meanings -----------------------------------------------------------------------------------------


def test_each_key_of_the_specification_has_a_meaning():
    sections = [value for value in vars(spec).values() if is_section(value) and value.model_fields]
    keys = [(section, key) for section in sections for key in section.model_fields]

    assert len(sections) > 15
    assert [f"{section.__name__}.{key}" for section, key in keys if not describe_key(section, key)[0]] == []
    assert [s.__name__ for s in sections if not s.__doc__] == []


@pytest.mark.parametrize("place", PLACES)
def test_each_argument_of_each_shipped_component_has_a_meaning(root, place):
    prefixes = ["torch.optim."] if place == "schedule.optimizer" else PREFIXES
    components = list_components(place, prefixes=prefixes, root=root)

    assert len(components) >= 3
    for component in components:
        words = read_words(component.path)
        absent = [name for name in component.signature.parameters if not words.arguments.get(name)]
        assert words.summary
        assert absent == [] or not component.path.startswith("treadle."), component.path


def test_every_key_of_a_shipped_experiment_has_a_meaning(root):
    for name in ("flights", "adult", "california"):
        composed = compose(overrides=[f"experiment={name}"], root=root)
        meanings = {key: find_meaning(key, composed.values) for key, _ in walk(composed.values)}
        assert [key for key, meaning in meanings.items() if meaning is None or not meaning.text] == []


def test_a_docstring_that_is_assigned_later_is_read_too():
    words = read_words("torch.optim.AdamW")

    assert words.summary.startswith("Implements AdamW")
    assert words.arguments["lr"].startswith("learning rate")
    assert "parameters" in words.arguments["params"]


def test_type_range_and_unit_are_printed(project):
    text = to_text(look(project, "schedule.max_epochs"))

    assert "type     int, at least 1" in text
    assert "unit     epochs" in text
    assert "float, at least 0 and below 1" in to_text(look(project, "model.dropout"))
    assert "int, at least 1" in to_text(look(project, "features.blocks.names.steps.ids.min_count"))


def test_the_member_of_a_union_is_the_one_that_by_names(project):
    assert look(project, "data.split.valid_from").meaning.unit == "UTC"
    assert look(project, "data.split.column", "experiment=adult").meaning.text == "Column that names the set of a row"
    assert find_meaning("data.split.gap", {"data": {"split": {"by": "random"}}}) is None


def test_an_argument_names_its_target(project):
    found = look(project, "schedule.optimizer.lr")

    assert (found.meaning.target, found.meaning.default) == ("torch.optim.AdamW", 0.001)
    assert "above 0" in to_text(found)


def test_a_key_that_is_not_set_prints_its_default(project):
    found = look(project, "data.tables.planes.joins")

    assert to_text(found).startswith("data.tables.planes.joins is not set")
    assert found.meaning.default == {}


# --- history ------------------------------------------------------------------------------------------


def test_files_are_listed_in_the_order_in_which_they_win(project):
    assert settings(look(project, "schedule.max_epochs")) == [
        ("conf/schedule/base.yaml:4:13", 20),
        ("conf/schedule/one_cycle.yaml:14:13", 8),
        ("conf/experiment/flights.yaml:8:15", 4),
    ]


@pytest.mark.sampled_cases(3)
@pytest.mark.fast_cases(2)
@pytest.mark.parametrize(
    ("key", "overrides", "value"),
    [
        ("schedule.max_epochs", ["schedule.max_epochs=3"], 3),
        ("schedule.max_epochs", ["++schedule.max_epochs=3"], 3),
        ("schedule.max_epochs", ["schedule.max_epochs=3", "schedule.max_epochs=5"], 5),
        ("schedule.optimizer.amsgrad", ["+schedule.optimizer.amsgrad=true"], True),
        ("schedule.early_stopping.patience", ["schedule.early_stopping={patience: 4, min_delta: 0.5}"], 4),
        ("tracker.tags", ["tracker.tags=[a,'b c']"], ["a", "b c"]),
        ("schedule.max_steps", ["schedule.max_steps=null"], None),
    ],
)
def test_an_override_wins_with_its_value(project, key, overrides, value):
    found = look(project, key, *overrides)

    assert found.value == value
    assert settings(found)[-1] == (f"override {len(overrides)}: {overrides[-1]!r}", value)


@pytest.mark.exhaustive
def test_every_value_of_a_composition_is_the_last_of_its_history(project):
    for overrides in (["experiment=flights"], ["experiment=adult", "seed=3"], ["experiment=california", "model=mlp"]):
        composed = compose(overrides=overrides, root=project)
        values = {key: explain(composed, key) for key, _ in walk(composed.values) if "columns" not in key}
        leaves = {key: found for key, found in values.items() if found.kind == "value"}

        assert len(leaves) > 50
        assert {key for key, found in leaves.items() if found.history[-1].value != found.written} == set()


def test_a_value_of_params_yaml_is_reported_with_its_line(project):
    (project / "params.yaml").write_text("experiment: adult\nset:\n  schedule:\n    max_epochs: 2\n")
    places = read_selection(project / "params.yaml", root=project)

    found = look(project, "schedule.max_epochs", *places, places=places)

    assert settings(found)[-1] == ("params.yaml:4:17", 2)
    assert [str(s.place) for s in look(project, "experiment", *places, places=places).group.history] == [
        "conf/config.yaml:19:17",
        "params.yaml:1:13",
    ]


def test_an_option_under_another_package_is_traced_to_its_file(project):
    (project / "conf" / "part").mkdir()
    (project / "conf" / "part" / "long.yaml").write_text("# @package schedule\nmax_epochs: 33\n")
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("  - experiment: flights", "  - experiment: flights\n  - part: long"))

    found = look(project, "schedule.max_epochs")

    assert found.value == 33
    assert settings(found)[-1] == ("conf/part/long.yaml:2:13", 33)


def test_an_interpolation_is_reported_as_it_is_written(project):
    cpu = project / "conf" / "trainer" / "cpu.yaml"
    cpu.write_text(cpu.read_text().replace("threads: 1", "threads: ${trainer.devices}"))

    found = look(project, "trainer.threads")

    assert (found.value, found.written) == (1, "${trainer.devices}")
    assert "written  ${trainer.devices}" in to_text(found)


def test_a_missing_value_can_be_explained(project):
    base = project / "conf" / "schedule" / "base.yaml"
    base.write_text(base.read_text().replace("monitor: loss", "monitor: ???"))

    assert look(project, "schedule.monitor").written == "???"


# --- groups and sections ------------------------------------------------------------------------------


def test_a_group_prints_its_option_what_selected_it_and_the_other_options(project):
    found = look(project, "model", "experiment=adult")

    assert found.group.selected == "tabm_wide"
    assert [(str(s.place), s.value) for s in found.group.history] == [
        ("conf/config.yaml:6:12", "tabm_wide"),
        ("conf/experiment/adult.yaml:7:22", "tabm_wide"),
    ]
    options = {option.name: option.summary for option in found.group.options}
    assert options["tabm_wide"] == "TabM of twice the width, regularised by dropout."
    assert options["mlp"] == "Hidden layers of equal width with ReLU."
    assert [place for place, _ in settings(found)] == ["conf/model/tabm.yaml:1:1", "conf/model/tabm_wide.yaml:1:1"]


def test_an_override_that_selects_wins(project):
    found = look(project, "model", "experiment=adult", "model=mlp")

    assert str(found.group.history[-1].place) == "override 2: 'model=mlp'"
    assert found.group.selected == "mlp"
    assert [place for place, _ in settings(found)] == ["conf/model/mlp.yaml:1:1"]


def test_a_section_that_an_override_sets_is_no_selection(project):
    found = look(project, "model", "++model={_target_: treadle.models.linear.Linear}")

    assert [str(s.place) for s in found.group.history] == ["conf/config.yaml:6:12"]
    assert settings(found)[-1][1] == {"_target_": "treadle.models.linear.Linear"}


def test_an_option_that_stands_under_another_name_is_traced_there(project):
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("  - tracker:", "  - schedule@extra: default\n  - tracker:"))

    found = look(project, "extra.max_epochs", "schedule@extra=cosine", "extra.max_epochs=3")

    assert [value for _, value in settings(found)] == [20, 3]
    assert look(project, "schedule", "schedule@extra=cosine").group.selected == "one_cycle"
    assert look(project, "extra.optimizer.lr", "schedule@extra=cosine").value == 0.002


def test_a_broken_option_that_is_not_selected_disturbs_nothing(project):
    (project / "conf" / "model" / "broken.yaml").write_text("width: [1\nb: 2\n")

    options = {option.name: option.summary for option in look(project, "model").group.options}

    assert options["broken"] == ""


def test_an_experiment_is_a_group_without_keys(project):
    text = to_text(look(project, "experiment"))

    assert text.startswith("experiment = flights  (a group)")
    assert "Does a regression fit the same shapes?" in text


def test_a_section_lists_its_keys_with_their_meanings(project):
    text = to_text(look(project, "data.tables.flights"))

    assert "One source of rows" in text
    assert "path       data/nycflights13/flights.parquet         Path of the file, relative to the project" in text
    assert "encoding   utf-8                                     Character encoding of a text file" in text


def test_the_keys_that_a_section_may_hold_are_those_of_the_kind_that_by_names(project):
    tracker = look(project, "tracker", "tracker=csv")

    assert list(tracker.keys) == ["by"]
    assert list(look(project, "schedule.optimizer").keys) == ["_target_", "lr", "weight_decay", "fused"]


# --- readers ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "stages", "text"),
    [
        ("data.split.gap", ["prepare"], "prepare"),
        ("seed", ["train"], "train"),
        ("trainer.threads", ["train"], "train"),
        ("trainer", ["train"], "train"),
        ("trainer.devices", ["train"], "train"),
        ("tracker.mode", [], "no stage: it does not change results"),
    ],
)
def test_the_stages_that_read_a_key_are_listed(project, key, stages, text):
    found = look(project, key)

    assert found.stages == stages
    assert f"read by  {text}" in to_text(found).replace("read by      ", "read by  ")


def test_every_key_is_read_by_a_stage_or_has_no_effect(project):
    composed = compose(overrides=[], root=project)

    assert STAGES
    assert WITHOUT_EFFECT
    for key in composed.values:
        found = explain(composed, key)
        assert found.stages or found.without_effect


# --- mistakes and the verb ----------------------------------------------------------------------------


@pytest.mark.sampled_cases(3)
@pytest.mark.fast_cases(3)
@pytest.mark.parametrize(
    ("key", "overrides", "said"),
    [
        ("schedule.max_epoch", [], "Did you mean 'schedule.max_epochs'?"),
        ("modle", [], "Did you mean 'model'?"),
        ("data.tables.flight.path", [], "Did you mean 'data.tables.flights.path'?"),
        ("schedule.early_stopping.patience", [], "'schedule.early_stopping' is null, which holds no keys"),
        ("schedule.monitor", ["~schedule.monitor"], "the key 'schedule.monitor' is removed"),
        ("seed", ["schedule.max_epoch=3"], "Did you mean 'schedule.max_epochs'?"),
        (
            "model.width",
            ["model=auto"],
            "set model.candidates.NAME.model.width, or select one model, such as model=tabm",
        ),
        ("model.widht", ["model=mlp"], "Did you mean 'model.width'?"),
    ],
)
def test_a_key_that_does_not_exist_is_refused(project, key, overrides, said):
    with pytest.raises(ConfigError) as caught:
        look(project, key, *overrides)

    assert said in str(caught.value)


def test_the_verb_prints_text_and_one_json_object(project, capsys):
    assert treadle("explain", "schedule.max_epochs", "schedule.max_epochs=3") == 0
    assert capsys.readouterr().out.startswith("schedule.max_epochs = 3\n")

    assert treadle("explain", "schedule.max_epochs", "--format", "json", "seed=1") == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["value"], told["type"], told["unit"], told["stages"]) == (4, "int", "epochs", ["train"])
    assert told["history"][-1] == {
        "file": "conf/experiment/flights.yaml",
        "line": 8,
        "column": 15,
        "override": "",
        "removes": False,
        "value": 4,
    }

    assert treadle("explain", "schedule.max_epoch") == 2
    assert "Did you mean" in capsys.readouterr().err


def test_the_json_object_has_the_same_keys_whatever_is_explained(project):
    composed = compose(overrides=["seed=1"], root=project)
    told = [json.loads(to_json(explain(composed, key))) for key in ("model", "experiment", "seed", "data.tables")]

    assert len({tuple(one) for one in told}) == 1


def test_steps_that_trees_are_not_given_are_told_where_they_stand(root):
    key = "features.blocks.numbers.steps.bins"
    explained = look(root, key, "experiment=california", "model=lightgbm")

    assert explained.left_out == (key,)
    assert f"{key}: the model takes numbers as they are" in to_text(explained)
    assert key in look(root, "features", "experiment=california", "model=lightgbm").left_out
    assert look(root, "features", "experiment=california").left_out == ()
    assert look(root, "schedule", "experiment=california", "model=lightgbm").left_out == ()
