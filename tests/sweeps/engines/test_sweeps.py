"""Sweeps on the engines of clusters, with real trainings: the numbers, the ledger and the faults are those of here."""

import json
import shutil
import signal

import pytest

from runs import treadle
from sweeping import TINY, add_own, start, wait_for
from treadle.sweeps.ledger import Ledger

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweeps")]

SUBMITIT = ["sweep/engine=slurm", "sweep.engine.cluster=local", "sweep.workers=2"]
RAY = ["sweep/engine=ray", "sweep.workers=2"]
ENGINES = [
    pytest.param(SUBMITIT, id="submitit", marks=pytest.mark.exhaustive),
    pytest.param(RAY, id="ray", marks=pytest.mark.exhaustive),
]


@pytest.fixture(autouse=True)
def _requires_library(request):
    engine = request.node.callspec.params["engine"] if hasattr(request.node, "callspec") else SUBMITIT
    pytest.importorskip("ray" if engine is RAY else "submitit")


@pytest.fixture
def own(project):
    add_own(project)
    return project


def read_ledger(project):
    (folder,) = (project / "sweeps").iterdir()
    return Ledger(folder, is_driven=False)


def run(project, *words):
    assert start(project, *words).wait() == 0, (project / "out.txt").read_text()
    return read_ledger(project)


def read_results(project):
    """What trials learned, by run: every epoch, and the weights."""
    return {
        folder.name: ((folder / "metrics.csv").read_text(), (folder / "bundle/network.pt").read_bytes())
        for folder in project.glob("runs/california-*")
    }


@pytest.mark.exhaustive
def test_a_trial_there_is_the_run_of_a_command_here(project):
    assert treadle("train", *TINY, "seed=1") == 0
    assert treadle("run", "-m", *TINY, "seed=0,1", *SUBMITIT) == 0
    there, reused = read_ledger(project).trials.values()
    assert (there.state, there.is_reused, reused.is_reused) == ("done", False, True)
    results = read_results(project)
    for kept in (there.run, ".stages/train"):  # else it is taken from the cache
        shutil.rmtree(project / "runs" / kept)
    assert treadle("train", *TINY, "seed=0") == 0
    assert read_results(project) == results


@pytest.mark.parametrize("engine", ENGINES)
def test_the_numbers_are_those_of_this_machine(project, engine):
    there = run(project, "seed=0,1", *engine)
    results = read_results(project)
    assert len(results) == 2
    for folder in ("runs", "sweeps"):
        shutil.rmtree(project / folder)
    here = run(project, "seed=0,1", "sweep.workers=2")
    assert read_results(project) == results
    assert [trial.values for trial in here.trials.values()] == [trial.values for trial in there.trials.values()]
    assert [trial.epochs for trial in here.trials.values()] == [trial.epochs for trial in there.trials.values()]


@pytest.mark.parametrize("engine", ENGINES)
def test_a_killed_worker_costs_only_its_trial_which_can_be_retried(own, engine):
    words = ["model=own", "model.behaviour='kill once',raise,good", *engine]
    assert start(own, *words).wait() == 1
    trials = read_ledger(own).trials
    assert [trial.state for trial in trials.values()] == ["killed", "failed", "done"]
    assert trials[2].error == "ValueError: no luck"
    assert trials[1].error in (own / "out.txt").read_text()
    folder = read_ledger(own).path.parent
    assert treadle("resume", str(folder), "--retry") == 1
    assert [(trial.state, trial.attempts) for trial in read_ledger(own).trials.values()] == [
        ("done", 2), ("failed", 2), ("done", 1),
    ]  # fmt: skip


@pytest.mark.parametrize("engine", ENGINES)
def test_a_sweep_whose_driver_is_killed_goes_on_from_the_checkpoints(project, engine):
    words = ["schedule.max_epochs=60", "schedule.early_stopping=null", "seed=0,1,2", *engine]
    process = start(project, *words)
    wait_for(project, "epoch", 4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    reached = {trial.number: len(trial.epochs) for trial in read_ledger(project).trials.values()}
    after = run(project, *words)
    assert {trial.state for trial in after.trials.values()} == {"done"}
    assert [sorted(trial.epochs) for trial in after.trials.values()] == [list(range(1, 61))] * 3
    events = [json.loads(line) for line in after.path.read_text().splitlines()]
    repeated = [e for e in events if e["event"] == "epoch" and e["epoch"] <= reached[e["trial"]]]
    assert len(repeated) <= sum(reached.values()) + 2  # but for epochs that were under way
    starts = [e["trial"] for e in events if e["event"] == "start"]
    assert (len(starts), sorted(set(starts))) == (5, [1, 2, 3])


@pytest.mark.exhaustive
def test_a_search_prunes_there_too(project):
    words = ["schedule.optimizer.lr=tag(log,interval(1e-6,1e-1))", "sweep=random", "sweep.pruner=median"]
    ledger = run(project, *words, "sweep.max_trials=11", "schedule.max_epochs=100", *SUBMITIT)
    states = [trial.state for trial in ledger.trials.values()]
    assert set(states) == {"done", "pruned"}
    assert all(len(trial.epochs) < 100 for trial in ledger.trials.values() if trial.state == "pruned")


@pytest.mark.exhaustive
def test_a_trial_whose_source_was_edited_meanwhile_is_refused(own):
    words = ["model=own", "seed=0,1", *SUBMITIT[:2], "sweep.workers=1"]
    process = start(own, *words)
    wait_for(own, "end", 1)
    source = own / "failing_trials.py"
    source.write_text(source.read_text().replace("nn.Linear(num_numeric", "nn.Linear(0 + num_numeric"))
    assert process.wait() in {1, 2}
    out = (own / "out.txt").read_text()
    assert "its code is not the one" in out or "is not what the sweep began with" in out
