"""Metrics of the user's own, against scikit-learn, and through a whole run."""

import json

import pytest
import sklearn.metrics
import torch

from runs import find_run, run_quick
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.experiment.fingerprint import forget_code
from treadle.experiment.identity import sign_stages
from treadle.experiment.spec import Experiment, OwnMetric
from treadle.metrics.log import read_metrics_log
from treadle.metrics.own import build_metrics, compute_own
from treadle.problems import ConfigError
from treadle.runs.compare import compare_runs
from treadle.runs.read import read_run

WITHIN = """
def within(prediction, target, *, distance):
    return ((prediction - target).abs() <= distance).float().mean()
"""


def compute(node, *, task, prediction, target):
    own = {"own": OwnMetric(function=node, direction="max")}
    measures = build_metrics(Experiment.model_construct(metrics=own, targets=["sklearn.metrics.", "torch."]))
    twice = [compute_own(measures, task=task, prediction=prediction, target=target)["own"] for _ in range(2)]
    assert twice[0] == pytest.approx(twice[1], nan_ok=True), "it keeps nothing from one call to the next"
    return twice[0]


@pytest.mark.parametrize(
    "node",
    [
        {"_target_": "torchmetrics.classification.BinaryMatthewsCorrCoef", "threshold": 0.4},
        {"_target_": "torchmetrics.functional.matthews_corrcoef", "task": "binary", "threshold": 0.4},
    ],
    ids=["class", "function"],
)
def test_torchmetrics_are_given_probabilities_and_classes(node):
    generator = torch.Generator().manual_seed(0)
    prediction = torch.rand(200, generator=generator)
    target = (torch.rand(200, generator=generator) < prediction).float()

    found = compute(node, task="binary", prediction=prediction, target=target)

    assert found == pytest.approx(sklearn.metrics.matthews_corrcoef(target, prediction >= 0.4))


def test_a_function_with_the_target_first_is_called_by_name():
    prediction, target = torch.tensor([1.0, 2, 3]).double(), torch.tensor([1.0, 4, 3]).double()

    found = compute(
        {"_target_": "sklearn.metrics.mean_pinball_loss", "alpha": 0.9},
        task="regression",
        prediction=prediction,
        target=target,
    )

    assert found == pytest.approx(0.9 * 2 / 3)


def test_rows_of_a_class_that_training_lacks_are_left_out():
    prediction = torch.eye(3)[[0, 1, 2, 0]]

    node = {"_target_": "torchmetrics.classification.MulticlassAccuracy", "num_classes": 3, "average": "micro"}
    found = compute(node, task="multiclass", prediction=prediction, target=torch.tensor([0, 1, 0, -1]))

    assert found == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("node", "told"),
    [
        ({"_target_": "sklearn.metrics.roc_curve"}, "must give one number, found tuple"),
        (
            {"_target_": "sklearn.metrics.accuracy_score"},
            r"failed for predictions \(2,\) and targets \(2,\): ValueError",
        ),
    ],
    ids=["three arrays", "an error"],
)
def test_a_function_that_is_no_metric_is_named(node, told):
    with pytest.raises(TreadleError, match=f"^metrics.own.function: {told}"):
        compute(node, task="binary", prediction=torch.tensor([0.2, 0.7]), target=torch.tensor([0.0, 1.0]))


def find_rules(root, *overrides):
    with pytest.raises(ConfigError) as caught:
        resolve(overrides=["experiment=california", *overrides], root=root)
    return [(problem.key, problem.rule) for problem in caught.value.problems]


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        ("mine.metrics.within", "mine.metrics.within needs the argument 'distance', anything"),
        ("mine.metrics.of_one", "mine.metrics.of_one must take the targets, as an argument target or y_true"),
        ("torchmetrics.regression.Nothing", "'torchmetrics.regression.Nothing' does not exist: no 'Nothing'"),
    ],
)
def test_a_metric_is_checked_by_its_signature(project, mine, target, rule):
    target, rule = target.replace("mine.", f"{mine}."), rule.replace("mine.", f"{mine}.")

    found = find_rules(project, f"+metrics.own={{direction: max, function: {{_target_: {target}}}}}")

    assert rule in [text for _, text in found]


def test_a_name_of_the_task_is_taken(project):
    node = "{_target_: torchmetrics.regression.SpearmanCorrCoef}"

    found = find_rules(project, f"+metrics.rmse={{direction: max, function: {node}}}")

    assert found == [("metrics.rmse", "'rmse' is a metric of the task 'regression' already")]


@pytest.fixture
def mine(project, monkeypatch, request):
    """A package of the project, with a name of its own: found modules are remembered by name."""
    name = f"mine_{abs(hash(request.node.name))}"
    monkeypatch.syspath_prepend(project)
    (project / name).mkdir()
    (project / name / "metrics.py").write_text(WITHIN + "\n\ndef of_one(prediction):\n    return prediction\n")
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("- torch.optim.", f"- {name}.\n  - torch.optim."))
    return name


def list_overrides(mine):
    return [
        "tracker=disabled",
        f"+metrics.within={{direction: max, function: {{_target_: {mine}.metrics.within, distance: 0.5}}}}",
        "+metrics.spearman={direction: max, function: {_target_: torchmetrics.regression.SpearmanCorrCoef}}",
        "schedule.monitor=within",
        "evaluation.metric=spearman",
    ]


@pytest.mark.slow
def test_a_run_is_monitored_evaluated_and_compared_by_it(project, mine):
    assert run_quick(*list_overrides(mine)) == 0

    folder = find_run(project)
    epochs = [row["valid/within"] for row in read_metrics_log(folder / "metrics.csv")]
    summary = json.loads((folder / "model" / "summary.json").read_text())
    metrics = json.loads((folder / "evaluation" / "metrics.json").read_text())
    comparison = compare_runs([read_run(folder)])
    assert summary["best_epoch"] == 1 + epochs.index(max(epochs))
    assert all({"within", "spearman"} <= values.keys() for values in metrics.values())
    assert metrics["model"]["spearman"] > 0.5
    assert comparison.write_metrics()[0].title == "spearman ↑"
    assert "spearman" in (folder / "evaluation" / "report.html").read_text()


@pytest.mark.slow
def test_its_code_identifies_what_it_changes(project, mine):
    overrides = ["experiment=california", *list_overrides(mine)]
    before = sign_stages(resolve(overrides=overrides, root=project), root=project)
    (project / mine / "metrics.py").write_text(WITHIN.replace("<=", "<"))
    forget_code()

    after = sign_stages(resolve(overrides=overrides, root=project), root=project)

    assert [name for name in before if before[name] != after[name]] == ["train", "evaluate"]
