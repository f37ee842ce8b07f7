"""`model=auto`: a model chosen by rows, inputs and a budget of time, in the open."""

import shutil

import polars as pl
import pytest
import yaml

from runs import QUICK, find_run, forget_sources, treadle
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
from treadle.model_choice.choose import choose_model, count_work, predict
from treadle.model_choice.ladder import Ladder
from treadle.model_choice.sizes import Inputs, Rows, count_inputs, count_rows
from treadle.problems import ConfigError

pytestmark = pytest.mark.fast_cases(3)

EXPERIMENTS = ["flights", "adult", "california"]
BUDGETS = ["1s", "10s", "30s", "2m", "5m", "20m", "3h", "2d", "9w"]
LADDER = """\
budget: 5m
ladder:
  - {option: linear}
  - {option: mlp, set: {width: 16}, min_rows: 5000}
  - {option: mlp, set: {width: 4096}, min_rows: 5000}
speeds:
  cpu: {step: 1.0e-4, products: 1.0e+10, values: 1.0e+9}
  gpu: {step: 1.0e-4, products: 1.0e+13, values: 1.0e+12}
"""
REST = [override for override in QUICK if not override.startswith("model")]


def choose(root, *overrides):
    return check(compose(overrides=["model=auto", *overrides], root=root)).model_choice


def choose_within(budget, composed):
    experiment, _, _ = check_structure(composed)
    rule = experiment.model.model_copy(update={"budget": budget})
    return choose_model(experiment, Ladder(rule, composed)).model_choice


@pytest.fixture
def ladder(project):
    """A ladder of three rungs, the last far too dear, in place of the shipped one."""
    (project / "conf" / "model" / "auto.yaml").write_text(LADDER)
    return project


def write_table(project, frame, name="blocks.csv"):
    frame.write_csv(project / name) if name.endswith(".csv") else frame.write_parquet(project / name)


def read_blocks(root):
    return pl.read_parquet(root / "data" / "california" / "california.parquet")


# --- the choice ---------------------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize("experiment", EXPERIMENTS)
def test_a_larger_budget_never_buys_an_earlier_rung(root, experiment):
    rungs = [
        (rung["option"], rung.get("set", {}))
        for rung in yaml.safe_load((root / "conf/model/auto.yaml").read_text())["ladder"]
    ]
    composed = compose(overrides=["model=auto", f"experiment={experiment}"], root=root)
    chosen = [choose_within(budget, composed) for budget in BUDGETS]
    places = [rungs.index((choice.option, choice.set)) for choice in chosen]

    assert places == sorted(places)
    assert len(set(places)) > 2
    assert places[-1] == len(rungs) - 1
    for choice in chosen[1:]:
        assert choice.predicted <= parse_duration(choice.budget).total_seconds()


def test_few_rows_keep_to_the_rungs_that_want_no_more(ladder):
    write_table(ladder, read_blocks(ladder).head(3000))

    choice = choose(ladder, "experiment=california", "data.tables.blocks.path=blocks.csv")

    assert (choice.option, choice.set, choice.rows) == ("linear", {}, 1920)
    assert choice.why.endswith("mlp (width 16) needs 5,000 rows, there are 1,920")


def test_the_best_rung_within_the_budget_is_taken_and_the_next_is_reported(ladder):
    choice = choose(ladder, "experiment=california")

    assert (choice.option, choice.set) == ("mlp", {"width": 16})
    assert choice.why.startswith("the last of 3 candidates that trains within 5m: in ")
    assert "; mlp (width 4096) would take " in choice.why


def test_where_none_fits_the_cheapest_is_taken_with_a_word(ladder):
    composed = compose(overrides=["model=auto", "model.budget=0s", "experiment=california"], root=ladder)
    experiment = check(composed)

    (warning,) = [w for w in find_warnings(experiment, composed) if w.key == "model.budget"]

    assert experiment.model_choice.option == "linear"
    assert experiment.model_choice.why.startswith("the fastest: none trains within 0s")
    assert "linear, the fastest, takes" in warning.rule
    assert warning.place.override == "model.budget=0s"


def test_where_all_want_more_rows_the_first_is_taken(ladder):
    text = LADDER.replace("{option: linear}", "{option: linear, min_rows: 100000}")
    (ladder / "conf" / "model" / "auto.yaml").write_text(text.replace("5000", "100000"))

    assert choose(ladder, "experiment=california").option == "linear"


def test_a_gpu_buys_more_in_the_same_time(root):
    composed = compose(overrides=["model=auto", "experiment=flights"], root=root)
    experiment, _, _ = check_structure(composed)
    trainer = experiment.trainer.model_copy(update={"accelerator": "gpu"})
    ladder = Ladder(experiment.model, composed)

    on_cpu = choose_model(experiment, ladder).model_choice
    on_gpu = choose_model(experiment.model_copy(update={"trainer": trainer}), ladder).model_choice

    assert (on_cpu.device, on_gpu.device) == ("cpu", "gpu")
    options = [(rung.option, rung.set) for rung in ladder.rule.ladder]
    assert options.index((on_gpu.option, on_gpu.set)) > options.index((on_cpu.option, on_cpu.set))


@pytest.mark.parametrize(
    ("override", "factor"),
    [("schedule.max_epochs=80", 2), ("trainer.devices=2", 0.5), ("trainer.limit_batches=5", 0.1)],
)
def test_the_prediction_follows_the_work(root, override, factor):
    model = {"_target_": "treadle.models.mlp.Mlp", "num_layers": 2, "width": 512, "dropout": 0.0, "embedding_dim": 8}

    def take_time(*overrides):
        composed = compose(overrides=["model=auto", "experiment=california", *overrides], root=root)
        experiment, _, _ = check_structure(composed)
        speed = experiment.model.speeds.cpu.model_copy(update={"step": 0.0})
        return predict(model, experiment, Rows(13_000, 0, "footers"), Inputs(300, 0, 0), speed)

    assert take_time(override) == pytest.approx(factor * take_time(), rel=0.02)


@pytest.mark.parametrize(
    ("overrides", "work"),
    [
        ([], (160, 40_000, 8_000)),
        (["schedule.max_steps=6"], (6, 1_536, 400)),
        (["trainer.limit_batches=1"], (40, 10_240, 8_000)),
        (["trainer.overfit_batches=1"], (40, 10_240, 10_240)),
    ],
    ids=["whole epochs", "few steps", "few batches", "one batch again and again"],
)
def test_steps_and_rows_are_counted_as_training_does(root, overrides, work):
    composed = compose(overrides=["experiment=california", *overrides], root=root)
    experiment, _, _ = check_structure(composed)

    assert count_work(experiment, Rows(1_000, 200, "footers")) == work


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


def test_the_resolved_experiment_holds_the_network_and_why_and_reads_back(project):
    texts = [resolve(overrides=["model=auto", "experiment=california"], root=project).dump() for _ in range(2)]
    (project / "resolved.yaml").write_text(texts[0])

    resolved = read(project / "resolved.yaml")
    experiment, values = resolved.experiment, resolved.values

    assert texts[0] == texts[1]
    assert "_target_" in values["model"]
    assert experiment.network == values["model"]
    assert str(experiment.model_choice).startswith(f"{experiment.model_choice.option}")
    assert values["model_choice"]["budget"] == "5m"


def test_a_rule_is_no_resolved_experiment(project):
    values = resolve(overrides=["experiment=california"], root=project).values
    rule = yaml.safe_load((project / "conf" / "model" / "auto.yaml").read_text())
    (project / "resolved.yaml").write_text(yaml.safe_dump({**values, "model": rule}))

    with pytest.raises(TreadleError, match=r"resolved.yaml holds a rule in place of a network; .*`treadle compose`"):
        read(project / "resolved.yaml")


@pytest.mark.slow
def test_a_run_is_the_run_of_the_chosen_model_written_out(ladder, capsys):
    assert treadle("run", *REST, "model=auto", "model.budget=5s") == 0
    told = capsys.readouterr().out
    folder = find_run(ladder)

    assert treadle("run", *REST, "model=mlp", "model.width=16") == 0

    assert "model      mlp (width 16): the last of 3 candidates" in told
    assert capsys.readouterr().out == f"unchanged  runs/{folder.name}\n"
    assert "mlp (width 16): the last of 3 candidates" in (folder / "evaluation" / "report.html").read_text()


def test_params_yaml_selects_it_with_a_budget(project):
    (project / "params.yaml").write_text("experiment: california\nmodel: auto\nset: {model: {budget: 3h}}\n")
    selected = read_selection(project / "params.yaml", root=project)

    experiment = check(compose(overrides=list(selected), root=project, places=selected))

    assert experiment.model_choice.budget == "3h"


def test_check_and_explain_print_the_choice(ladder, capsys):
    assert treadle("check", "model=auto", "experiment=california") == 0
    assert "model      mlp (width 16): the last of 3 candidates" in capsys.readouterr().out

    assert treadle("explain", "model", "model=auto", "experiment=california") == 0
    assert "chosen       mlp (width 16): the last of 3 candidates" in capsys.readouterr().out

    assert treadle("explain", "model_choice.rows", "model=auto", "experiment=california") == 0
    assert capsys.readouterr().out.startswith("model_choice.rows = 13210\n")


def test_diff_separates_the_choice_from_what_runs_again(ladder, capsys):
    chosen = "experiment=california model=auto"

    assert treadle("diff", chosen, "experiment=california model=mlp model.width=16") == 0

    told = capsys.readouterr().out
    assert "model_choice.option" in told
    assert "train      the same" in told


def test_a_group_completes_to_it_and_its_budget(root):
    assert "model=auto" in complete(["run", "model=a"], root=root, parser=build_parser())
    assert "model.budget=" in complete(["run", "model=auto", "model.bud"], root=root, parser=build_parser())


def test_other_models_read_no_rows(project):
    """Without the data they compose as ever."""
    (project / "data").unlink()

    assert check(compose(overrides=["experiment=california"], root=project), absent="pass").model_choice is None


def test_an_interpolation_of_an_option_is_resolved(ladder):
    (ladder / "conf" / "model" / "mlp.yaml").write_text(
        "_target_: treadle.models.mlp.Mlp\nnum_layers: 1\nwidth: 8\ndropout: 0.0\nembedding_dim: ${seed}\n"
    )
    experiment = check(compose(overrides=["model=auto", "experiment=california", "seed=3"], root=ladder))

    assert experiment.network["embedding_dim"] == 3


def test_options_come_from_the_shipped_conf_where_a_project_has_none(project):
    """As in a project that `treadle init` makes."""
    shutil.rmtree(project / "conf" / "model")

    assert choose(project, "experiment=california", "model.budget=1s").option == "linear"


def test_a_broken_file_of_an_option_is_reported_with_its_place(ladder):
    (ladder / "conf" / "model" / "mlp.yaml").write_text("width: [1\nheight: 2\n")

    with pytest.raises(ConfigError, match=r"conf/model/mlp.yaml:2"):
        choose(ladder, "experiment=california")


def test_a_model_of_the_project_climbs_by_its_own_cost(ladder, monkeypatch):
    package = ladder / "my_nets"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "wide.py").write_text(
        "from torch import nn\n\nfrom treadle.targets.costs import Cost\n\n\n"
        "class Wide(nn.Module):\n    COST = Cost(products='num_numeric * width', values='width')\n\n"
        "    def __init__(self, *, num_numeric, cardinalities, num_outputs, width: int):\n        pass\n"
    )
    monkeypatch.syspath_prepend(str(ladder))
    forget_sources()
    (ladder / "conf" / "model" / "wide.yaml").write_text("_target_: my_nets.wide.Wide\nwidth: 64\n")
    config = ladder / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("- torch.optim.", "- my_nets.\n  - torch.optim."))

    choice = choose(ladder, "experiment=california", "model.ladder=[{option: linear},{option: wide}]")

    assert choice.option == "wide"
    forget_sources()
