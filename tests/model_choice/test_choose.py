"""`model=auto`: candidates that fit a budget of work, in the open; trained, they are judged and blended."""

import json
import shutil

import polars as pl
import pytest
import yaml

from runs import QUICK, find_run, treadle
from treadle.check.checks import check, find_warnings
from treadle.check.resolve import resolve
from treadle.check.structure import check_structure
from treadle.cli.completion.verbs import complete
from treadle.cli.parser import build_parser
from treadle.config.compose import compose
from treadle.config.selection import read_selection
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.model_choice.choose import count_work, predict
from treadle.model_choice.sizes import Inputs, Rows, count_inputs, count_rows
from treadle.problems import ConfigError

pytestmark = pytest.mark.fast_cases(3)

EXPERIMENTS = ["flights", "adult", "california"]
BUDGETS = ["1s", "10s", "30s", "2m", "5m", "20m", "3h"]
AUTO = """\
defaults:
  - /model@candidates.linear.model: linear
  - /model@candidates.small.model: mlp
  - /model@candidates.large.model: mlp
  - _self_
budget: 5m
rounds: 10
candidates:
  linear: {cost: {step: 1.0e-4, row: 1.0e-8, input: 0.0}}
  small: {model: {width: 16}, cost: {step: 1.0e-4, row: 1.0e-6, input: 0.0}, min_rows: 5000}
  large: {model: {width: 4096}, cost: {step: 1.0e-4, row: 1.0, input: 0.0}, min_rows: 5000}
"""
REST = [*(override for override in QUICK if not override.startswith("model")), "trainer.precision=32-true"]


def choose(root, *overrides):
    return check(compose(overrides=["model=auto", *overrides], root=root)).model_choice


@pytest.fixture
def candidates(project):
    """Three candidates, the last far too dear, in place of the shipped ones."""
    (project / "conf" / "model" / "auto.yaml").write_text(AUTO)
    return project


def write_table(project, frame, name="blocks.csv"):
    frame.write_csv(project / name) if name.endswith(".csv") else frame.write_parquet(project / name)


def read_blocks(root):
    return pl.read_parquet(root / "data" / "california" / "california.parquet")


# --- the choice ---------------------------------------------------------------------------------------


@pytest.mark.sampled_cases(1)
@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_larger_budget_never_trains_fewer_and_is_never_exceeded(root, experiment):
    chosen = [choose(root, f"experiment={experiment}", f"model.budget={budget}") for budget in BUDGETS]

    counts = [len(choice.members) for choice in chosen]
    assert counts == sorted(counts)
    assert not chosen[-1].left_out
    for choice in chosen[1:]:
        assert sum(choice.members.values()) <= 1.05 * parse_duration(choice.budget).total_seconds()  # two digits


@pytest.mark.slow
def test_what_fits_together_is_trained_and_the_others_have_a_reason(candidates):
    choice = choose(candidates, "experiment=california")

    assert list(choice.members) == ["linear", "small"]
    assert choice.left_out["large"].startswith("would take ")
    assert str(choice).startswith("a blend of linear ")


def test_few_rows_leave_out_candidates_that_want_more(candidates):
    write_table(candidates, read_blocks(candidates).head(3000))

    choice = choose(candidates, "experiment=california", "data.tables.blocks.path=blocks.csv")

    assert list(choice.members) == ["linear"]
    assert choice.left_out["small"] == "needs 5,000 rows, there are 1,920"


def test_a_single_one_is_that_model_and_no_blend(candidates):
    experiment = check(
        compose(overrides=["model=auto", "experiment=california", "~model.candidates.small"], root=candidates)
    )

    assert experiment.network["_target_"].endswith(".Linear")
    assert str(experiment.model_choice).startswith("linear ")


def test_few_rows_are_trained_on_in_all_folds_for_as_much_more_work(candidates):
    file = candidates / "conf/data/california.yaml"
    fold = "split: {by: kfold, folds: 4, fold: 0, test: 0.2, seed: 0}"
    file.write_text(f"{file.read_text().partition('split:')[0]}{fold}\n")
    common = ["model=auto", "experiment=california", "~model.candidates.small"]

    def choose(fold_rows):
        return check(compose(overrides=[*common, f"+model.fold_rows={fold_rows}"], root=candidates))

    one, all_folds = choose(1_000), choose(1_000_000)

    assert one.network["_target_"].endswith(".Linear")
    assert (list(all_folds.model.members), all_folds.model.folds) == (["linear"], "all")
    assert all_folds.model_choice.predicted == pytest.approx(4 * one.model_choice.predicted, rel=0.1)
    assert ", each on 4 folds: " in str(all_folds.model_choice)


def test_where_none_fits_the_cheapest_is_taken_with_a_word(candidates):
    composed = compose(overrides=["model=auto", "model.budget=0s", "experiment=california"], root=candidates)
    experiment = check(composed)

    (warning,) = [w for w in find_warnings(experiment, composed) if w.key == "model.budget"]

    assert list(experiment.model_choice.members) == ["linear"]
    assert "linear, the cheapest, takes" in warning.rule
    assert warning.place.override == "model.budget=0s"


def test_where_all_want_more_rows_the_first_is_taken(candidates):
    overrides = [f"+model.candidates.{name}.min_rows=100000" for name in ("linear",)]
    overrides += [f"model.candidates.{name}.min_rows=100000" for name in ("small", "large")]

    assert list(choose(candidates, "experiment=california", *overrides).members) == ["linear"]


def make_candidate(root, *overrides, **cost):
    composed = compose(overrides=["model=auto", "experiment=california", *overrides], root=root)
    experiment, _, _ = check_structure(composed)
    candidate = experiment.model.candidates["mlp"]
    return experiment, candidate.model_copy(update={"cost": candidate.cost.model_copy(update=cost)})


@pytest.mark.parametrize(("override", "factor"), [("schedule.max_epochs=80", 2), ("trainer.limit_batches=5", 0.1)])
def test_the_work_follows_the_rows_that_are_trained_on(root, override, factor):
    def take_work(*overrides):
        experiment, candidate = make_candidate(root, *overrides, step=0.0)
        return predict(candidate, experiment, Rows(13_000, 0, "footers"), Inputs(300, 0, 0))

    assert take_work(override) == pytest.approx(factor * take_work(), rel=0.02)


def test_the_work_of_a_model_that_trains_itself_does_not_follow_the_schedule(root):
    experiment, candidate = make_candidate(root, "schedule.max_epochs=3", step=0.0, row=1e-6, input=1e-7, passes=200.0)

    assert predict(candidate, experiment, Rows(1_000, 0, "footers"), Inputs(8, 2, 0)) == pytest.approx(0.4)


@pytest.mark.parametrize(
    ("overrides", "work"),
    [
        ([], (160, 40_000)),
        (["schedule.max_steps=6"], (6, 1_536)),
        (["trainer.limit_batches=1"], (40, 10_240)),
        (["trainer.overfit_batches=1"], (40, 10_240)),
    ],
    ids=["whole epochs", "few steps", "few batches", "one batch again and again"],
)
def test_steps_and_rows_are_counted_as_training_does(root, overrides, work):
    composed = compose(overrides=["experiment=california", *overrides], root=root)
    experiment, _, _ = check_structure(composed)

    assert count_work(experiment.schedule, experiment.trainer, Rows(1_000, 200, "footers")) == work


# --- rows and inputs ----------------------------------------------------------------------------------


def describe(root, *overrides):
    experiment, _, _ = check_structure(compose(overrides=["experiment=california", *overrides], root=root))
    return experiment


def test_rows_of_parquet_files_are_summed_from_their_footers(project):
    frame = read_blocks(project)
    (project / "many").mkdir()
    for index in range(3):
        write_table(project, frame.head(1000 * (index + 1)), f"many/{index}.parquet")
    experiment = describe(project, "data.tables.blocks.path=many/*.parquet")

    assert count_rows(experiment.data, root=project) == Rows(3840, 960, "footers")


def test_rows_of_a_short_text_are_exact_and_of_a_long_one_close(project):
    frame = read_blocks(project)
    experiment = describe(project, "data.tables.blocks.path=blocks.csv")

    write_table(project, frame.head(1000))
    assert count_rows(experiment.data, root=project) == Rows(640, 160, "heads")

    write_table(project, pl.concat([frame] * 6))
    assert count_rows(experiment.data, root=project).train == pytest.approx(0.64 * 6 * len(frame), rel=0.05)


def test_a_sample_of_the_training_rows_costs_what_it_holds(project):
    sample = "+data.sample={by: uniform, rows: 2000, seed: 0}"
    whole, few = (choose(project, "experiment=california", "model.fold_rows=1", *more) for more in ((), (sample,)))

    assert (whole.rows, few.rows) == (13_210, 2000)
    assert few.members["mlp"] == pytest.approx(whole.members["mlp"] * 2000 / 13_210, rel=0.1)


def test_bins_are_counted_by_values_that_differ(root):
    adult, _, _ = check_structure(compose(overrides=["experiment=adult"], root=root))

    found = count_inputs(adult.features, adult.data, root=root)

    assert found.numbers < 5 * 100  # five columns of at most 1,000 bins, most of which have no width
    assert found.categories == 8
    assert 90 < found.words < 130


@pytest.mark.slow
@pytest.mark.parametrize("experiment", ["adult", "california"])
def test_inputs_are_about_what_the_features_give(project, experiment):
    assert treadle("featurize", f"experiment={experiment}") == 0
    (folder,) = [path.parent for path in project.glob("runs/*/stages.json")]
    inputs = yaml.safe_load((folder / "features" / "inputs.json").read_text())
    composed, _, _ = check_structure(compose(overrides=[f"experiment={experiment}"], root=project))

    told = count_inputs(composed.features, composed.data, root=project)

    assert told.numbers == pytest.approx(len(inputs["numeric"]), rel=0.1)
    assert told.categories == len(inputs["ids"])


def test_a_column_that_is_computed_counts_as_declared(root):
    flights, _, _ = check_structure(compose(overrides=["experiment=flights"], root=root))

    found = count_inputs(flights.features, flights.data, root=root)

    assert (found.numbers, found.categories) == (19 + 8 + 2 + 2, 8)


# --- written down -------------------------------------------------------------------------------------


def test_the_resolved_experiment_holds_the_members_and_why_and_reads_back(project):
    overrides = ["model=auto", "experiment=california", "model.budget=20s"]
    texts = [resolve(overrides=overrides, root=project).dump() for _ in range(2)]
    (project / "resolved.yaml").write_text(texts[0])

    resolved = read(project / "resolved.yaml")

    assert texts[0] == texts[1]
    assert resolved.values["model"]["members"].keys() == resolved.experiment.model_choice.members.keys()
    assert resolved.values["model_choice"]["budget"] == "20s"


def test_a_rule_is_no_resolved_experiment(project):
    values = resolve(overrides=["experiment=california"], root=project).values
    rule = compose(overrides=["model=auto"], root=project).values["model"]
    (project / "resolved.yaml").write_text(yaml.safe_dump({**values, "model": rule}, sort_keys=False))

    with pytest.raises(TreadleError, match=r"resolved.yaml holds a rule in place of a network; .*`treadle compose`"):
        read(project / "resolved.yaml")


@pytest.mark.slow
def test_what_was_tried_with_scores_and_weights_is_in_the_run_and_its_report(candidates, capsys):
    assert treadle("run", *REST, "model=auto") == 0

    told = capsys.readouterr().out
    (folder,) = [RunFolder(path.parent.parent) for path in candidates.glob("runs/*/bundle/members")]
    tried = json.loads((folder.model / "summary.json").read_text())["members"]
    assert "model      a blend of linear " in told
    assert tried.keys() == {"linear", "small"}
    assert "a blend of linear " in folder.report.read_text()


@pytest.mark.slow
def test_a_run_of_a_single_candidate_is_the_run_of_that_model(candidates, capsys):
    assert treadle("run", *REST, "model=auto", "~model.candidates.small", "tracker=disabled") == 0
    folder = find_run(candidates)
    capsys.readouterr()

    assert treadle("run", *REST, "model=linear", "tracker=disabled") == 0

    assert capsys.readouterr().out == f"unchanged  runs/{folder.name}\n"


@pytest.mark.slow
def test_params_yaml_selects_it_with_a_budget(project):
    (project / "params.yaml").write_text("experiment: california\nmodel: auto\nset: {model: {budget: 3h}}\n")
    selected = read_selection(project / "params.yaml", root=project)

    experiment = check(compose(overrides=list(selected), root=project, places=selected))

    assert experiment.model_choice.budget == "3h"


def test_check_and_explain_print_the_choice(candidates, capsys):
    assert treadle("check", "model=auto", "experiment=california") == 0
    assert "model      a blend of linear " in capsys.readouterr().out

    assert treadle("explain", "model", "model=auto", "experiment=california") == 0
    assert "chosen       a blend of linear " in capsys.readouterr().out

    assert treadle("explain", "model_choice.rows", "model=auto", "experiment=california") == 0
    assert capsys.readouterr().out.startswith("model_choice.rows = 13210\n")


def test_a_group_completes_to_it_and_its_budget(root):
    assert "model=auto" in complete(["run", "model=a"], root=root, parser=build_parser())
    assert "model.budget=" in complete(["run", "model=auto", "model.bud"], root=root, parser=build_parser())


def test_other_models_read_no_rows(project):
    """Without the data they compose as ever."""
    (project / "data").unlink()

    assert check(compose(overrides=["experiment=california"], root=project), absent="pass").model_choice is None


def test_options_come_from_the_shipped_conf_where_a_project_has_none(project):
    """As in a project that `treadle init` makes."""
    shutil.rmtree(project / "conf" / "model")

    assert list(choose(project, "experiment=california", "model.budget=1s").members) == ["linear"]


def test_a_broken_file_of_a_candidate_is_reported_with_its_place(candidates):
    (candidates / "conf" / "model" / "mlp.yaml").write_text("width: [1\nheight: 2\n")

    with pytest.raises(ConfigError, match=r"conf/model/mlp.yaml:2"):
        choose(candidates, "experiment=california")


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("model.candidates.small.model.widht=3", "model.candidates.small.model.width"),
        ("model.candidates.small.cost.row=-1.0", "model.candidates.small.cost.row"),
        ("model.dropout=0.5", "set model.candidates.NAME.model.dropout"),
        ("+loss@model.candidates.small.loss=focal", "model.candidates.small.loss.function._target_"),
    ],
    ids=["argument", "cost", "argument of a model", "loss"],
)
def test_mistakes_are_found_with_their_key(candidates, override, message):
    with pytest.raises(ConfigError, match=message.replace(".", r"\.")):
        choose(candidates, "experiment=california", override)
