"""What the README claims of the shipped experiments."""

import json

import pytest

from runs import find_run, treadle


def test_the_committed_turn_holds_its_claim(root):
    """The default model is within 0.01 of gradient boosting's AUC on the same test rows."""
    metrics = json.loads((root / "artifacts" / "evaluation" / "metrics.json").read_text())

    assert metrics["model"]["auroc"] >= metrics["gradient_boosting"]["auroc"] - 0.01
    assert metrics["model"]["log_loss"] < metrics["linear"]["log_loss"] < metrics["prior"]["log_loss"]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("experiment", "metric", "holds"),
    [("adult", "accuracy", lambda v: v >= 0.855), ("california", "rmse", lambda v: v <= 0.50)],
)
def test_an_experiment_on_another_data_set_reaches_its_mark(project, experiment, metric, holds):
    assert treadle("run", f"experiment={experiment}", "tracker=disabled") == 0

    metrics = json.loads((find_run(project) / "evaluation" / "metrics.json").read_text())
    assert holds(metrics["model"][metric]), metrics["model"]
