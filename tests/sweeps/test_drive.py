import contextlib
import json
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from runs import treadle
from screen import run_in_terminal
from sweeping import OWN, TINY, add_own, start, wait_for
from treadle.sweeps.declaration import write
from treadle.sweeps.declare import declare
from treadle.sweeps.ledger import Ledger
from treadle.sweeps.plan import Plan
from wandb_record import find_ended, read_config

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("sweeps")]


@pytest.fixture
def ledger(project):
    """The ledger of the project's only sweep, read when it is asked for."""

    def read():
        (folder,) = (project / "sweeps").iterdir()
        return Ledger(folder)

    return read


def list_scores(ledger):
    return {trial.number: trial.values for trial in ledger.trials.values()}


def test_a_grid_runs_each_setting_on_each_seed_and_each_trial_is_the_run_of_a_command(project, ledger, capsys):
    recorded = [word for word in TINY if word != "tracker=disabled"]
    sweep = ["run", "-m", *recorded, "model.num_layers=1,2", "seed=range(2)"]
    assert treadle("train", *TINY, "model.num_layers=2", "seed=1") == 0  # the last one ran before
    capsys.readouterr()

    assert treadle(*sweep) == 0

    out = capsys.readouterr().out
    trials = ledger().trials
    assert [(t.setting, t.seed, t.state, t.is_reused) for t in trials.values()] == [
        ({"model.num_layers": layers}, seed, "done", (layers, seed) == ("2", 1)) for layers in "12" for seed in (0, 1)
    ]
    assert re.search(r"4 trials: (3 done, 1 reused|1 reused, 3 done)", out)
    assert sorted(path.name for path in project.glob("runs/california-*")) == sorted(
        trial.run for trial in trials.values()
    )
    assert not list(project.glob("runs/*/evaluation"))  # the test split is for later
    assert len(list(project.glob("runs/.stages/prepare/*/examples"))) == 1
    (record,) = find_ended(project / "runs" / trials[1].run)
    assert read_config(record)["sweep"]["setting"] == "model.num_layers=1"  # which all its seeds share

    before = ledger().path.read_bytes()
    assert treadle(*sweep) == 0  # again: nothing is left to do
    assert ledger().path.read_bytes() == before
    again = ["train", *TINY, "model.num_layers=1", "seed=0"]
    capsys.readouterr()
    assert treadle(*again) == 0
    assert f"unchanged  runs/{trials[1].run}" in capsys.readouterr().out
    for kept in (trials[1].run, ".stages/train"):  # else it is taken from the cache
        shutil.rmtree(project / "runs" / kept)
    assert treadle(*again) == 0
    assert "epoch   2" in capsys.readouterr().out
    command = json.loads((project / "runs" / trials[1].run / "model" / "summary.json").read_text())
    assert trials[1].values == [command["score"]]


@pytest.fixture
def own(project):
    """The project with a network that ends as it is told."""
    add_own(project)
    return project


def test_a_trial_that_fails_costs_only_itself(own, ledger, capsys):
    """T17 among them: without the rows of the test split a trial learns, and the check of inputs at its end fails."""
    words = ["model=own", "model.behaviour=raise,kill,diverge,memory,disk,good,blind", "sweep.workers=1"]
    tiny = [word for word in TINY if not word.startswith("model")]
    assert treadle("run", "-m", *tiny, *words) == 1
    out = capsys.readouterr().out
    trials = {trial.setting["model.behaviour"]: trial for trial in ledger().trials.values()}
    ends = {behaviour: (trial.state, trial.error) for behaviour, trial in trials.items()}
    assert list(trials["blind"].epochs) == [1, 2]
    assert "train: its input changed: examples/test.parquet is missing" in trials["blind"].error
    assert ends["good"] == ("done", "")
    assert ends["raise"] == ("failed", "ValueError: no luck")
    assert ends["kill"] == ("killed", "killed by SIGKILL; the machine may be out of memory")
    assert ends["diverge"][0] == "failed"
    assert "the validation loss is nan" in ends["diverge"][1]
    assert ends["memory"][0] == "failed"
    assert "memory" in ends["memory"][1]
    assert ends["disk"][0] in {"failed", "killed"}
    assert "failed      " in out
    assert "ValueError: no luck" in out
    (log,) = own.glob("sweeps/*/trials/0001/log.txt")
    assert "failing_trials.py" in log.read_text()


@pytest.mark.exhaustive  # the tests of each engine end a trial that hangs, too
def test_a_trial_that_hangs_is_ended(own, ledger):
    tiny = [word for word in TINY if not word.startswith("model")]
    words = ["model=own", "model.behaviour=hang", "seed=0,1", "sweep.timeout=3s", "sweep.workers=2"]
    assert treadle("run", "-m", *tiny, *words) == 1
    assert {(t.state, t.error) for t in ledger().trials.values()} == {("timed out", "timed out after 3 s")}


@pytest.mark.exhaustive
def test_several_objectives_are_searched_and_answered_by_their_front(project, ledger, capsys):
    words = [
        "sweep=random",
        "sweep.sampler=nsga2",
        "sweep.objective=[rmse,r2]",
        "sweep.max_trials=3",
        "sweep.workers=1",
    ]
    words += ["model.width=int(interval(8,32))", "schedule.max_epochs=1"]
    tiny = [word for word in TINY if not word.startswith(("model.width", "schedule.max_epochs"))]
    assert treadle("run", "-m", *tiny, *words) == 0
    trials = ledger().trials.values()
    assert [len(trial.values) for trial in trials] == [2, 2, 2]
    best = min(trials, key=lambda trial: trial.values)  # the metrics agree: one setting is best in both
    out = capsys.readouterr().out
    assert "1 on the Pareto front" in out
    assert f"front    runs/{best.run}" in out


@pytest.mark.exhaustive
def test_a_terminal_shows_what_runs_and_is_left_clean(project):
    words = ["model.num_layers=1,2", "seed=0,1", "sweep.workers=1"]
    command = [sys.executable, "-m", "treadle", "run", "-m", *TINY, *words]
    code, screen, moments = run_in_terminal(command, cwd=project, environment={})
    assert code == 0
    heads = [found for moment in moments for found in re.findall(r"^\d/4 trials.*", moment, re.MULTILINE)]
    assert {head[0] for head in heads} >= {"0", "1", "2", "3"}
    assert any(re.fullmatch(r"2/4 trials  about \d:\d\d:\d\d left  best 0\.\d+ num_layers=1 *", h) for h in heads)
    row = r"^trial +epoch +valid/loss +setting *\n1 +[012] +\S+ +num_layers=1 seed=0"  # as often as it is drawn
    assert any(re.search(row, moment, re.MULTILINE) for moment in moments)
    assert screen.is_cursor_shown
    lines = [line.rstrip() for line in screen.lines]
    assert not any("/4 trials" in line or line.startswith("trial  epoch") for line in lines)
    assert [line.split()[:3] for line in lines[1:5]] == [["trial", f"{number}/4", "done"] for number in (1, 2, 3, 4)]
    assert lines[5].split() == ["valid/loss", "spread", "n", "model.num_layers"]


def read_memory(pid):
    """Resident memory [MiB]; 0 where the process is gone."""
    try:
        return int(re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{pid}/status").read_text())[1]) / 1024
    except (OSError, TypeError):
        return 0.0


@pytest.mark.exhaustive
def test_memory_does_not_grow_with_the_number_of_trials(project, ledger):
    """T24, over 20 trials: the most that each process of them had, and what the driver has."""
    process = start(project, "seed=range(20)", "sweep.workers=1")
    workers, driver = defaultdict(float), []
    while process.poll() is None:
        for file in project.glob("sweeps/*/ledger.jsonl"):
            for line in file.read_text().splitlines(keepends=True):
                event = json.loads(line) if line.endswith("\n") else {}
                if event.get("event") == "start":
                    workers[event["trial"]] = max(workers[event["trial"]], read_memory(event["pid"]))
        if workers:
            driver.append(read_memory(process.pid))
        time.sleep(0.1)
    assert process.returncode == 0, (project / "out.txt").read_text()
    peaks = [workers[number] for number in range(1, 21)]
    assert min(peaks) > 100
    assert statistics.median(peaks[-5:]) < 1.05 * statistics.median(peaks[:5])
    assert statistics.median(driver[-10:-1]) < 1.1 * statistics.median(driver[:10])


@pytest.mark.exhaustive
def test_a_failed_trial_is_retried_when_that_is_asked_for(own, ledger):
    tiny = [word for word in TINY if not word.startswith("model")]
    words = ["run", "-m", *tiny, "model=own", "model.behaviour=raise,good"]
    assert (treadle(*words), treadle(*words)) == (1, 1)
    assert [trial.attempts for trial in ledger().trials.values()] == [1, 1]
    (folder,) = (own / "sweeps").iterdir()
    assert treadle("resume", str(folder), "--retry") == 1
    assert [trial.attempts for trial in ledger().trials.values()] == [2, 1]


@pytest.mark.exhaustive
def test_an_attempt_that_is_retried_is_printed_with_its_log(own, ledger, capsys):
    tiny = [word for word in TINY if not word.startswith("model")]
    words = ["model=own", "model.behaviour=raise", "seed=0,1", "sweep.retries=1", "sweep.workers=1"]
    assert treadle("run", "-m", *tiny, *words) == 1
    lines = [line for line in capsys.readouterr().out.splitlines() if "ValueError: no luck" in line]
    log = f"{ledger().path.parent.relative_to(own)}/trials/0001/log.txt"
    assert [line.endswith(f"; see {log}") for line in lines] == [True, True, False, False]


def test_a_number_is_given_once_whatever_the_ledger_lost(project):
    sweep = declare([*TINY, "model.width=16,32", "seed=0,1"], root=project)
    write(sweep)
    Plan(sweep, Ledger(sweep.folder), project, lambda *_: None).add_grid()
    file = sweep.folder / "ledger.jsonl"
    added = json.loads(file.read_text())
    file.write_text(json.dumps({**added, "trials": added["trials"][2:]}) + "\n")
    plan = Plan(sweep, Ledger(sweep.folder), project, lambda *_: None)
    plan.add_grid()
    settings = {number: trial.setting["model.width"] for number, trial in plan.ledger.trials.items()}
    assert settings == {3: "32", 4: "32", 5: "16", 6: "16"}


@pytest.mark.exhaustive
def test_a_search_that_is_killed_goes_on_as_if_nothing_had_happened(project, ledger, tmp_path_factory):
    words = ["schedule.optimizer.lr=tag(log,interval(1e-4,1e-1))", "sweep=tpe", "sweep.max_trials=3"]
    words += ["sweep.confirm=null", "sweep.workers=1", "schedule.max_epochs=3"]
    process = start(project, *words)
    wait_for(project, "end", 1)
    wait_for(project, "epoch", 4)
    process.send_signal(signal.SIGKILL)
    process.wait()
    held = dict(ledger().trials)
    time.sleep(1)  # the workers see that nobody waits for them
    with ledger().path.open("a") as file:
        file.write('{"event": "ep')  # as if it had been killed while it wrote
    assert treadle("run", "-m", *TINY, *words) == 0
    after = ledger()
    assert len(after.trials) == 3
    assert {t.number: t.setting for t in held.values()}.items() <= {
        n: t.setting for n, t in after.trials.items()
    }.items()

    other = tmp_path_factory.mktemp("whole")
    for name in ("conf", "data", "params.yaml"):
        (other / name).symlink_to(project / name)
    with contextlib.chdir(other):
        assert treadle("run", "-m", *TINY, *words) == 0
    (folder,) = (other / "sweeps").iterdir()
    whole = Ledger(folder)
    assert {n: t.setting for n, t in whole.trials.items()} == {n: t.setting for n, t in after.trials.items()}
    assert list_scores(whole) == list_scores(after)


@pytest.mark.exhaustive
def test_edits_of_conf_and_sources_reach_no_trial_and_another_sweep_is_another(own, ledger):
    tiny = [word for word in TINY if not word.startswith("model")]
    words = [*tiny, "model=own", "seed=range(4)", "sweep.workers=1"]
    command = [sys.executable, "-m", "treadle", "run", "-m", *words]
    with (own / "out.txt").open("w") as out:
        process = subprocess.Popen(command, cwd=own, stdout=out, stderr=out)
        wait_for(own, "end", 1)
        (own / "conf/model/own.yaml").write_text("_target_: failing_trials.Own\nbehaviour: raise\n")
        (own / "failing_trials.py").write_text(OWN.replace("nn.Linear(num_numeric", "nn.Linear(9 + num_numeric"))
        assert process.wait() == 0, (own / "out.txt").read_text()
    assert {trial.state for trial in ledger().trials.values()} == {"done"}
    frozen = [yaml.safe_load(file.read_text())["model"] for file in own.glob("runs/*/resolved.yaml")]
    assert frozen == [{"_target_": "failing_trials.Own", "behaviour": "good"}] * 4
    (folder,) = (own / "sweeps").iterdir()
    again = subprocess.run(
        [sys.executable, "-m", "treadle", "resume", folder], cwd=own, capture_output=True, text=True, check=False
    )
    assert again.returncode == 2
    assert "the source of failing_trials is not what the sweep began with" in again.stderr


@pytest.mark.exhaustive
def test_two_sweeps_at_once_share_their_stages_and_one_sweep_runs_once(project):
    one, other = start(project, "model.num_layers=1,2"), start(project, "model.width=8,16")
    wait_for(project, "start", 2)
    (running,) = [f.parent for f in project.glob("sweeps/*/ledger.jsonl") if "num_layers" in f.read_text()][:1]
    again = subprocess.run(
        [sys.executable, "-m", "treadle", "resume", running], cwd=project, capture_output=True, text=True, check=False
    )
    assert "is being run by another process" in again.stderr
    assert (one.wait(), other.wait(), again.returncode) == (0, 0, 2)
    assert len(list(project.glob("sweeps/*"))) == 2
    assert len(list(project.glob("runs/.stages/featurize/*/features"))) == 1


@pytest.mark.exhaustive
def test_ctrl_c_saves_and_the_same_command_goes_on(project, ledger):
    words = ["schedule.max_epochs=40", "schedule.early_stopping=null", "seed=0,1", "sweep.workers=2"]
    process = start(project, *words)
    wait_for(project, "epoch", 4)
    process.send_signal(signal.SIGINT)
    assert process.wait(timeout=30) == 130
    reached = {trial.number: max(trial.epochs) for trial in ledger().trials.values()}
    assert {trial.state for trial in ledger().trials.values()} == {"interrupted"}
    assert start(project, *words).wait() == 0
    events = [json.loads(line) for line in ledger().path.read_text().splitlines()]
    resumed = [e for e in events if e["event"] == "epoch" and e["epoch"] <= reached[e["trial"]]]
    assert len(resumed) <= sum(reached.values()) + 2  # no epoch is done twice, but for one that was under way
    assert {trial.state for trial in ledger().trials.values()} == {"done"}
