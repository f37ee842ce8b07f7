"""Sweeps over models that train themselves: their epochs are some rounds each."""

import csv

import pytest

from runs import treadle
from treadle.sweeps.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweeps")]

SMALL = ["experiment=california", "tracker=disabled", "evaluation.baselines=[prior]", "trainer.threads=1"]


@pytest.mark.exhaustive
@pytest.mark.parametrize("pruner", ["median", "hyperband"])
def test_a_hopeless_trial_is_pruned_after_some_rounds(project, pruner):
    pytest.importorskip("lightgbm")
    words = ["model=lightgbm", "model.max_rounds=150", "model.learning_rate=tag(log,interval(0.0005,0.3))"]
    words += ["sweep=random", "sweep.max_trials=7", f"sweep.pruner={pruner}", "sweep.workers=1"]

    assert treadle("run", "-m", *SMALL, *words) == 0

    (folder,) = (project / "sweeps").iterdir()
    trials = Ledger(folder, is_driven=False).trials.values()
    pruned = [trial for trial in trials if trial.state == "pruned"]
    assert {trial.state for trial in trials} == {"done", "pruned"}
    for trial in pruned:
        with (project / "runs" / trial.run / "metrics.csv").open() as file:
            assert int([*csv.DictReader(file)][-1]["step"]) < 150


@pytest.mark.exhaustive  # each by itself is held above, and in test_drive
def test_trees_and_networks_are_compared(project):
    pytest.importorskip("lightgbm")

    assert treadle("run", "-m", *SMALL, "model=lightgbm,linear", "schedule.max_epochs=1", "sweep.workers=1") == 0

    (folder,) = (project / "sweeps").iterdir()
    trees, linear = Ledger(folder, is_driven=False).trials.values()
    assert trees.values[0] < linear.values[0]
