"""What the README claims of the shipped experiments."""

import json
import statistics
import subprocess

import pytest

from runs import find_run, treadle


def test_the_committed_run_holds_its_claim(root):
    """The default model is within 0.01 of gradient boosting's AUC on the same test rows."""
    show = ["git", "show", "HEAD:artifacts/evaluation/metrics.json"]  # in the folder, `make demo` may be at work
    metrics = json.loads(subprocess.run(show, cwd=root, check=True, capture_output=True).stdout)

    assert metrics["model"]["auroc"] >= metrics["gradient_boosting"]["auroc"] - 0.01
    assert metrics["model"]["log_loss"] < metrics["linear"]["log_loss"] < metrics["prior"]["log_loss"]


GOALS = {
    ("adult", "accuracy"): lambda mean: mean >= 0.869,
    ("adult", "auroc"): lambda mean: mean >= 0.924,
    ("california", "rmse"): lambda mean: mean <= 0.435,
    ("diamonds", "rmse_sd"): lambda mean: mean <= 0.132,
}


@pytest.mark.parametrize(("table", "metric"), GOALS, ids=map("-".join, GOALS))
def test_the_recorded_mean_over_seeds_reaches_what_was_published(root, table, metric):
    runs = json.loads((root / "benchmarks" / "quality.json").read_text())[table]["Treadle"]

    assert len(runs) >= 5
    assert GOALS[table, metric](statistics.mean(run[metric] for run in runs.values()))


@pytest.mark.slow
@pytest.mark.exhaustive
@pytest.mark.parametrize(
    ("experiment", "metric", "holds"),
    [("adult", "accuracy", lambda v: v >= 0.866), ("california", "rmse", lambda v: v <= 0.45)],
)
def test_an_experiment_on_another_data_set_reaches_its_mark(project, experiment, metric, holds):
    assert treadle("run", f"experiment={experiment}", "tracker=disabled") == 0

    metrics = json.loads((find_run(project) / "evaluation" / "metrics.json").read_text())
    assert holds(metrics["model"][metric]), metrics["model"]
