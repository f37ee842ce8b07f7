"""Checks of an evaluation: planted faults are caught, on every task, and a user's own is one function."""

import inspect
import json
import pkgutil
import shutil
from dataclasses import replace
from importlib import import_module
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from runs import find_run, run_quick
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.evaluation import checks
from treadle.evaluation import evaluated as evaluated_module
from treadle.evaluation.calibration import find_calibration
from treadle.evaluation.checks import leakage
from treadle.evaluation.checks.baselines import beat_baselines
from treadle.evaluation.checks.behaviour import hold_behaviour
from treadle.evaluation.checks.calibration import limit_calibration_error
from treadle.evaluation.checks.cost import limit_parameters, limit_size, limit_time
from treadle.evaluation.checks.coverage import hold_coverage
from treadle.evaluation.checks.fairness import limit_disparity, require_ratio
from treadle.evaluation.checks.horizon import beat_naive
from treadle.evaluation.checks.leakage import suspect_leakage
from treadle.evaluation.checks.limits import require_ceiling, require_floor
from treadle.evaluation.checks.numbers import require_numbers
from treadle.evaluation.checks.overlap import limit_overlap
from treadle.evaluation.checks.parity import require_parity
from treadle.evaluation.checks.reliance import limit_reliance, require_reliance
from treadle.evaluation.checks.shift import limit_label_noise, limit_shift
from treadle.evaluation.checks.slices import limit_excess
from treadle.evaluation.checks.value import add_value
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.judge import read_findings, run_checks, write_findings
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Evaluation, Experiment
from treadle.experiment.spec.evaluation import Check
from treadle.features.featurizer import Inputs
from treadle.features.stored import write_rows
from treadle.metrics.compute import compute_metrics
from treadle.outcomes import Outcome
from treadle.problems import ConfigError
from treadle.schema import Batch

TASKS = ["binary", "multiclass", "regression"]


def make_experiment(task, **evaluation):
    settings = Evaluation.model_construct(
        threshold=0.5, calibration_bins=10, metric="rmse" if task == "regression" else "log_loss", **evaluation
    )
    examples = SimpleNamespace(predict_at=None, known=["x", "y"], asof={}, history={})
    return Experiment.model_construct(
        data=SimpleNamespace(task=task, answer=task, split=SimpleNamespace(by="random"), examples=examples),
        evaluation=settings,
        targets=["treadle."],
        metrics={},
    )


class Columns:
    """They are their own features."""

    def __call__(self, frame):
        return to_inputs(frame)

    def derive(self, frame):
        return frame.drop("row", "label")


class Rows(Evaluated):
    """An evaluation whose columns are their own features."""

    @property
    def featurizer(self):
        return Columns()


def to_inputs(frame):
    return Inputs.of_numbers(
        torch.from_numpy(frame.select("x", "y").to_numpy(writable=True)).float(), torch.zeros(len(frame), 0).long()
    )


def make_evaluated(task, folder, *, leak=False, copies=0, noise=0.3, rows=400, asked=None, shift=0.0):
    """A model that is as good as the noise lets it be, beside the prior."""
    generator = np.random.default_rng(0)
    frame = pl.DataFrame(generator.normal(size=(2 * rows, 2)), schema=["x", "y"])
    signal = frame["x"].to_numpy() + noise * generator.normal(size=2 * rows)
    label = signal if task == "regression" else (signal > 0).astype(float) + (task == "multiclass") * (signal > 1)
    frame = frame.with_columns(label=label, row=np.arange(2 * rows))
    if leak:
        frame = frame.with_columns(leak=pl.col("label") * 3 + 1)
    train, test = frame[:rows], frame[rows:]
    test = pl.concat([train[:copies].with_columns(row=test["row"][:copies]), test[copies:]])
    run = RunFolder(folder)
    run.examples.mkdir(parents=True)
    train.write_parquet(run.examples / "train.parquet")
    test.write_parquet(run.examples / "test.parquet")
    target = torch.from_numpy(test["label"].to_numpy(writable=True))
    target = target.long() if task == "multiclass" else target
    trained = torch.from_numpy(train["label"].to_numpy(writable=True))
    write_rows([Batch.of_numbers(*to_inputs(train)[:2], trained, torch.ones(rows))], run.features / "train")
    x = torch.from_numpy(test["x"].to_numpy(writable=True))
    sharp = torch.stack([-4 * x, torch.zeros_like(x), 4 * x - 4], dim=1)
    shares = {"binary": (4 * x).sigmoid(), "multiclass": sharp.softmax(dim=1), "regression": x}[task] + shift
    prior = {"binary": torch.full_like(x, 0.5), "multiclass": torch.full((rows, 3), 1 / 3), "regression": 0 * x}[task]
    predictions = {MODEL: shares, "prior": prior}
    results = {
        name: compute_metrics(task=task, prediction=values, target=target, threshold=0.5, num_bins=10)
        for name, values in predictions.items()
    }
    parity = {"rows": 3, "largest_difference": 0.0, "allowed": 1e-6}
    card = SimpleNamespace(calibration=None, thresholds=[])
    bundle = SimpleNamespace(task=task, classes=["0", "1", "2"] if task == "multiclass" else [], card=card)
    if task == "multiclass":  # the label as `prepare` writes it
        for split, part in (("train", train), ("test", test)):
            named = part.with_columns(pl.col("label").cast(pl.Int64).cast(pl.String))
            named.write_parquet(run.examples / f"{split}.parquet")
    experiment = make_experiment(task, checks=asked or {})
    evaluated = Rows(experiment, run, bundle, predictions, target, results, parity)
    found = find_calibration(evaluated)
    evaluated.answers.update({"calibration": found} if found else {})
    return evaluated


NEVER = "not applicable"  # what was not asked is no pass
SUITE = {  # arguments, and the state of a sound model of which nothing optional was asked, by task
    require_numbers: ({}, "pass"),
    require_parity: ({}, "pass"),
    limit_overlap: ({"max_share": 0.01}, "pass"),
    suspect_leakage: ({"max_share": 0.98}, "pass"),
    limit_calibration_error: ({"ceiling": 0.2}, {"regression": NEVER}),
    beat_baselines: ({"baselines": ["prior"]}, "pass"),
    require_floor: ({"metric": {"regression": "r2", None: "accuracy"}, "floor": 0.5}, "pass"),
    require_ceiling: ({"metric": {"regression": "rmse", None: "log_loss"}, "ceiling": 1.0}, "pass"),
    limit_parameters: ({"ceiling": 100}, "pass"),
    limit_size: ({"ceiling": 100}, "pass"),
    limit_time: ({"rows": 401, "ceiling_ms": 1.0}, NEVER),
    hold_behaviour: ({}, NEVER),
    hold_coverage: ({}, NEVER),
    limit_disparity: ({"measure": "accuracy", "ceiling": 0.1}, NEVER),
    require_ratio: ({"measure": "accuracy", "floor": 0.8}, NEVER),
    beat_naive: ({"min_gain": 0.1}, NEVER),
    require_reliance: ({"columns": ["x"]}, NEVER),
    limit_reliance: ({"columns": ["x"], "max_share": 0.9}, NEVER),
    limit_shift: ({"max_auc": 0.8}, NEVER),
    limit_label_noise: ({"max_share": 0.1}, NEVER),
    limit_excess: ({"max_excess": 0.1}, NEVER),
    add_value: ({}, NEVER),
}


def of_task(given, task):
    return given.get(task, given.get(None, "pass")) if isinstance(given, dict) else given


@pytest.mark.parametrize("task", TASKS)
def test_each_check_says_of_a_sound_model_what_it_can_say_with_plain_evidence(task, tmp_path):
    evaluated = make_evaluated(task, tmp_path)
    evaluated.folder.model.mkdir()
    (evaluated.folder.model / "summary.json").write_text('{"num_parameters": 100}')
    evaluated.folder.bundle.mkdir()

    for check, (arguments, state) in SUITE.items():
        outcome = check(evaluated, **{name: of_task(value, task) for name, value in arguments.items()})

        assert outcome.state == of_task(state, task), f"{check.__name__}: {outcome.sentence}"
        assert outcome.sentence.endswith(".")
        assert json.loads(json.dumps(dict(outcome.evidence), allow_nan=False)) == outcome.evidence


def test_the_suite_holds_every_check_that_ships():
    modules = [import_module(f"{checks.__name__}.{module.name}") for module in pkgutil.iter_modules(checks.__path__)]
    shipped = {
        function
        for module in modules
        for name, function in inspect.getmembers(module, inspect.isfunction)
        if function.__module__ == module.__name__ and not name.startswith("_")
    }

    assert shipped == set(SUITE)


@pytest.mark.parametrize("task", TASKS)
def test_a_column_made_from_the_label_is_suspect(task, tmp_path):
    outcome = suspect_leakage(make_evaluated(task, tmp_path, leak=True), max_share=0.98)

    assert outcome.state == "fail"
    assert next(iter(outcome.evidence["strongest"])) == "leak"


def test_a_column_made_from_one_of_several_labels_is_suspect(tmp_path):
    evaluated = make_evaluated("binary", tmp_path, leak=True)
    for split in ("train", "test"):
        rows = evaluated.read_rows(split).collect()
        label = pl.struct(pl.col("label").alias("made"), (pl.col("row") % 2).cast(pl.Float64).alias("other"))
        rows.with_columns(label.alias("label")).write_parquet(evaluated.folder.examples / f"{split}.parquet")
    target = torch.stack([evaluated.target, (evaluated.test.collect()["row"] % 2).to_torch().double()], dim=1)
    bundle = SimpleNamespace(**{**vars(evaluated.bundle), "task": "multilabel", "classes": ["made", "other"]})

    outcome = suspect_leakage(replace(evaluated, bundle=bundle, target=target), max_share=0.98)

    assert outcome.state == "fail"
    assert next(iter(outcome.evidence["strongest"])) == "leak"


def test_a_column_made_from_the_label_is_suspect_in_a_table_that_is_sorted_by_it(tmp_path, monkeypatch):
    evaluated = make_evaluated("binary", tmp_path, leak=True)
    evaluated.read_rows("train").sort("label").collect().write_parquet(evaluated.folder.examples / "train.parquet")
    monkeypatch.setattr(leakage, "_TRAINING_ROWS", 100)

    assert suspect_leakage(evaluated, max_share=0.98).state == "fail"


@pytest.mark.parametrize("task", TASKS)
def test_training_rows_in_the_test_split_are_found(task, tmp_path):
    outcome = limit_overlap(make_evaluated(task, tmp_path, copies=20), max_share=0.01)

    assert outcome.state == "fail"
    assert outcome.evidence["share"] == 0.05
    assert outcome.evidence["rows"] == [400, 401, 402, 403, 404]


def test_a_test_split_of_several_parts_is_judged_like_one(tmp_path, monkeypatch):
    evaluated = make_evaluated("binary", tmp_path / "a", copies=20)
    whole = limit_overlap(evaluated, max_share=0.01)
    monkeypatch.setattr(evaluated_module, "PART_ROWS", 150)

    assert limit_overlap(evaluated, max_share=0.01) == whole

    monkeypatch.setattr(leakage, "_TEST_ROWS", 100)
    assert suspect_leakage(make_evaluated("binary", tmp_path / "c", leak=True), max_share=0.98).state == "fail"


@pytest.mark.parametrize("task", TASKS)
def test_a_model_as_good_as_its_baseline_is_not_better(task, tmp_path):
    evaluated = make_evaluated(task, tmp_path)
    same = {**evaluated.predictions, MODEL: evaluated.predictions["prior"]}

    outcome = beat_baselines(replace(evaluated, predictions=same), baselines=["prior"])

    assert outcome.state == "fail"
    assert outcome.evidence["prior"]["gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_a_baseline_that_was_not_fitted_is_not_beaten(tmp_path):
    outcome = beat_baselines(make_evaluated("binary", tmp_path), baselines=["linear", "gradient_boosting"])

    assert outcome.state == "not applicable"


def test_a_model_that_is_too_sure_fails_its_ceiling(tmp_path):
    outcome = limit_calibration_error(make_evaluated("binary", tmp_path, noise=3.0), ceiling=0.05)

    assert outcome.state == "fail"
    assert outcome.evidence["value"] > 0.05


def test_limits_of_metrics_count_in_their_own_direction(tmp_path):
    evaluated = make_evaluated("regression", tmp_path)

    assert require_ceiling(evaluated, metric="rmse", ceiling=0.5).state == "pass"
    assert require_ceiling(evaluated, metric="rmse", ceiling=0.1).state == "fail"
    assert require_floor(evaluated, metric="r2", floor=0.8).state == "pass"
    assert require_floor(evaluated, metric="r2", floor=0.99).state == "fail"


def test_a_network_larger_than_its_ceiling_fails(tmp_path):
    evaluated = make_evaluated("regression", tmp_path)
    evaluated.folder.model.mkdir()
    (evaluated.folder.model / "summary.json").write_text('{"num_parameters": 1001}')

    assert limit_parameters(evaluated, ceiling=1000).state == "fail"
    assert limit_parameters(evaluated, ceiling=1001).state == "pass"


OWN = """
from treadle.outcomes import passed


def ask_nothing(evaluated, *, least: int):
    \"\"\"Enough rows. More words.\"\"\"
    return passed("Nothing was asked.", rows=len(evaluated.target))


def give_a_number(evaluated):
    return 0.5


def break_down(evaluated):
    raise KeyError("column")
"""


def run_own(name, folder, monkeypatch, **arguments):
    (folder / "own_checks.py").write_text(OWN)
    monkeypatch.syspath_prepend(folder)
    node = {"_target_": f"own_checks.{name}", **arguments}
    check = Check(severity="note", function=node)
    evaluated = make_evaluated("binary", folder / "run", asked={"mine": check, "left_out": None})
    evaluated.experiment.targets.append("own_checks.")
    return run_checks(evaluated)


def test_a_check_of_the_users_own_is_one_function(tmp_path, monkeypatch):
    (finding,) = run_own("ask_nothing", tmp_path, monkeypatch, least=3)

    write_findings([finding], tmp_path / "checks.json")
    assert read_findings(tmp_path / "checks.json") == [finding]
    assert (finding.code, finding.title, finding.severity) == ("mine", "Enough rows. More words", "note")
    assert finding.outcome == Outcome("pass", "Nothing was asked.", {"rows": 400})
    assert not finding.blocks


def test_a_check_that_breaks_is_named(tmp_path, monkeypatch):
    with pytest.raises(
        TreadleError, match=r"evaluation\.checks\.mine\.function: own_checks\.break_down failed: KeyErr"
    ):
        run_own("break_down", tmp_path, monkeypatch)


def test_a_check_gives_an_outcome(tmp_path, monkeypatch):
    with pytest.raises(TreadleError, match=r"mine\.function: must give a treadle\.outcomes\.Outcome"):
        run_own("give_a_number", tmp_path, monkeypatch)


def test_a_metric_that_a_check_names_must_exist(root):
    node = "{_target_: treadle.evaluation.checks.limits.require_floor, metric: rsme, floor: 1}"

    with pytest.raises(ConfigError, match=r"evaluation\.checks\.mine\.function\.metric(.|\n)*'rsme' is not a metric"):
        resolve(
            overrides=["experiment=california", f"+evaluation.checks.mine={{severity: note, function: {node}}}"],
            root=root,
        )


@pytest.mark.slow
def test_a_label_that_has_nothing_to_do_with_its_row_is_told(project):
    """As good as shuffled: the rest of a division of the price, but for those that are cut off at one value."""
    shuffled = "data.examples.label='MOD(CAST(MedHouseVal * 100000 AS INTEGER) * 7919, 97)'"

    capped = "+data.examples.exclude.capped='MedHouseVal > 5'"

    assert run_quick(shuffled, capped, "tracker=disabled", "name=shuffled") == 0

    findings = {finding.code: finding for finding in read_findings(RunFolder(find_run(project)).checks)}
    assert findings["better_than_prior"].blocks
    assert findings["leakage"].outcome.state == "pass"


@pytest.mark.slow
def test_findings_stand_beside_the_metrics_and_on_top_of_the_report(project, run_once):
    shutil.copytree(run_once("tracker=disabled"), project / "runs")
    folder = RunFolder(find_run(project))

    findings = {finding.code: finding for finding in read_findings(folder.checks)}

    assert findings["better_than_prior"].outcome.state == "pass"
    assert findings["overlap"].outcome.evidence["share"] == 0.0
    page = folder.report.read_text()
    assert page.index('<p class="decision') < page.index("On the test split</a>") < page.index("Checks</a>")
    assert all(finding.title in page for finding in findings.values())
