"""What `treadle ls` shows of sweeps, and which runs `treadle gc` keeps for them."""

import json

import pytest
from filelock import FileLock

from runs import QUICK, run_quick, treadle
from treadle.errors import TreadleError
from treadle.sweeps.declaration import write
from treadle.sweeps.declare import declare
from treadle.sweeps.ledger import Ledger, Trial
from treadle.sweeps.listing import find_needed, list_sweeps

TINY = [word for word in QUICK if not word.startswith(("evaluation.", "model.width"))]
SCORES = {"16": [0.5, 0.7], "32": [0.3, 0.4], "64": [0.3, 0.41]}  # the second and the third are a tie


@pytest.fixture
def make(project):
    """A sweep over three widths and two seeds, by a ledger that is written by hand."""

    def make_sweep(*words, widths="16,32,64"):
        sweep = declare([*TINY, f"model.width={widths}", "seed=0,1", *words], root=project)
        write(sweep)
        ledger = Ledger(sweep.folder)
        settings = [(width, seed) for width in SCORES for seed in (0, 1)]
        ledger.add(
            [
                Trial(number, {"model.width": width}, seed, "search", f"california-{width}-{seed}")
                for number, (width, seed) in enumerate(settings, start=1)
            ]
        )
        return sweep, ledger

    return make_sweep


def finish(ledger):
    for trial in ledger.trials.values():
        ledger.start(trial.number, pid=1)
        ledger.end(trial.number, "done", values=[SCORES[trial.setting["model.width"]][trial.seed]])


def test_all_runs_of_an_unfinished_sweep_are_needed(make, project):
    sweep, ledger = make()
    ledger.start(1, pid=1)
    ledger.end(1, "done", values=[0.9])
    ledger.start(2, pid=1)
    (listed,) = list_sweeps(project)
    assert listed.summary == "interrupted: 1 of 6 done"
    assert (listed.label, listed.score) == ("width=16,32,64  2 seeds", None)  # one of its two seeds is not done
    assert find_needed(project) == {
        trial.run: f"{sweep.name} is not finished; resume it, or remove sweeps/{sweep.name}"
        for trial in ledger.trials.values()
    }


def test_of_a_finished_sweep_the_best_setting_and_its_ties_are_needed(make, project, capsys):
    sweep, ledger = make()
    finish(ledger)
    best = {f"california-{width}-{seed}" for width in ("32", "64") for seed in (0, 1)}
    assert find_needed(project) == dict.fromkeys(best, f"best of {sweep.name}")
    (listed,) = list_sweeps(project)
    assert listed.summary == "finished: 6 of 6 done"
    assert listed.score == pytest.approx(0.35)
    with FileLock(sweep.folder / ".lock"):
        assert len(find_needed(project)) == 6
        assert list_sweeps(project)[0].state == "running"
    capsys.readouterr()
    assert treadle("ls", "--format", "json") == 0
    (told,) = json.loads(capsys.readouterr().out)
    assert (told["kind"], told["state"], told["trials"]) == ("sweep", "finished", {"total": 6, "done": 6})


def test_failed_trials_are_counted_and_not_needed_once_all_ended(make, project):
    _, ledger = make()
    finish(ledger)
    ledger.end(3, "failed", error="no luck")
    ledger.end(4, "killed")
    assert list_sweeps(project)[0].summary == "finished: 4 of 6 done, 2 failed"
    assert set(find_needed(project)) == {"california-64-0", "california-64-1"}
    ledger.retry(3)
    assert len(find_needed(project)) == 6


def test_a_grid_that_was_killed_before_all_was_added_is_not_finished(project):
    sweep = declare([*TINY, "model.width=16,32", "seed=0"], root=project)
    write(sweep)
    assert list_sweeps(project)[0].state == "interrupted"
    ledger = Ledger(sweep.folder)
    ledger.add([Trial(1, {"model.width": "16"}, 0, "search", "california-16-0")])
    ledger.end(1, "done", values=[0.5])
    assert list_sweeps(project)[0].state == "interrupted"
    assert set(find_needed(project)) == {"california-16-0"}


def test_a_search_that_may_go_on_and_one_that_awaits_confirmation_are_not_finished(make, project):
    _, ledger = make("sweep.sampler=random", "sweep.max_trials=4", widths="16,32,64,128")
    finish(ledger)
    assert list_sweeps(project)[0].summary == "interrupted: 6 of 8 done"


def test_a_sweep_awaiting_confirmation_is_not_finished(make, project):
    _, ledger = make("+sweep.confirm={top: 1, seeds: 2}")
    finish(ledger)
    assert list_sweeps(project)[0].state == "interrupted"


@pytest.mark.slow
def test_a_damaged_sweep_is_listed_and_nothing_is_removed(make, project, capsys):
    sweep, _ = make()
    assert run_quick("tracker=disabled", verb="prepare") == 0
    (sweep.folder / "ledger.jsonl").write_text("nonsense\n")
    assert list_sweeps(project)[0].state.startswith("damaged: ")
    with pytest.raises(TreadleError, match="is not a line of a ledger"):
        find_needed(project)
    assert treadle("gc", "--keep", "newest:0") == 2
    assert len(list(project.glob("runs/california-*"))) == 1


@pytest.mark.slow
def test_gc_keeps_what_a_sweep_needs(project, capsys):
    assert run_quick("tracker=disabled", verb="prepare") == 0
    assert run_quick("tracker=disabled", "seed=5", verb="prepare") == 0
    folders = sorted(path.name for path in project.glob("runs/california-*"))
    sweep = declare([*TINY, "model.width=16,32", "seed=0"], root=project)
    write(sweep)
    Ledger(sweep.folder).add([Trial(1, {"model.width": "16"}, 0, "search", folders[0])])
    capsys.readouterr()
    assert treadle("gc", "--keep", "newest:0") == 0
    assert f"kept     runs/{folders[0]}: {sweep.name} is not finished" in capsys.readouterr().out
    assert [path.name for path in project.glob("runs/california-*")] == folders[:1]
    assert treadle("verify") == 0
