"""What `treadle gc` removes, and what it must not."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from datetime import timedelta

import pytest
from filelock import FileLock

from runs import QUICK, make_project, run_quick, treadle
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.pipeline.collect import Keep, parse_keep, plan_removal
from treadle.pipeline.disk_use import measure_all
from treadle.pipeline.listing import list_project


def prepare(*overrides):
    assert run_quick("tracker=disabled", *overrides, verb="prepare") == 0


def by_seed(project):
    return {run.values["seed"]: run.folder.path for run in list_project(project)}


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    """By seed: two with the same examples, and an older one with others, the only one of its cache entry."""
    folder = tmp_path_factory.mktemp("prepared")
    make_project(folder)
    with contextlib.chdir(folder):
        prepare("seed=3", "data.split.seed=7")
        prepare("seed=1")
        prepare("seed=2")
    found = by_seed(folder)
    for age, seed in enumerate((2, 1, 3)):
        for file in found[seed].glob("*.*"):
            os.utime(file, (10_000 * (9 - age),) * 2)
    return folder / "runs"


@pytest.fixture
def runs(project, prepared):
    """A copy of them, with its hard links and times of change."""
    subprocess.run(["cp", "-a", prepared, project / "runs"], check=True)
    return by_seed(project)


def list_entries(project):
    return [path for path in project.glob("runs/.stages/*/*") if path.is_dir()]


@pytest.mark.slow
def test_what_nothing_needs_goes_and_the_rest_is_whole(runs, project, capsys):
    assert len(list_entries(project)) == 2
    before = measure_all([project / "runs"])
    capsys.readouterr()
    assert treadle("gc", "--keep", "newest:1", "--dry-run") == 0
    planned = capsys.readouterr().out.splitlines()
    assert measure_all([project / "runs"]) == before
    assert treadle("gc", "--keep", "newest:1") == 0
    done = capsys.readouterr().out.splitlines()

    assert planned[:-1] == done[:-1]
    assert planned[-1].partition(" would be freed")[0] == done[-1].removesuffix(" freed")
    assert done[0] == f"kept     runs/{runs[2].name}: newest 1"
    assert {line.split()[1] for line in done if line.startswith("removed  runs/cali")} == {
        f"runs/{runs[seed].name}" for seed in (1, 3)
    }
    assert by_seed(project) == {2: runs[2]}
    assert len(list_entries(project)) == 1
    assert not list(project.glob("runs/**/gc.removed"))
    assert treadle("verify") == 0


@pytest.mark.slow
def test_a_removed_run_simply_runs_again(runs, project, capsys):
    assert treadle("gc", "--keep", "newest:1") == 0
    prepare("seed=3", "data.split.seed=7")
    assert "prepare    done" in capsys.readouterr().out
    prepare("seed=1")
    assert "prepare    shared" in capsys.readouterr().out
    assert by_seed(project) == runs
    assert treadle("verify") == 0


@pytest.mark.slow
def test_without_a_rule_it_refuses_and_explains(runs, project, capsys):
    assert treadle("gc") == 2
    assert "say what to keep: --keep best:3,newest:10" in capsys.readouterr().err
    assert by_seed(project) == runs


@pytest.mark.parametrize("rule", ["best", "best:x", "newest:-1", "best:3;newest:1", ""])
def test_a_rule_that_is_none_is_refused(rule):
    with pytest.raises(TreadleError, match=r"write best:N, newest:N or champion"):
        parse_keep([rule])


def test_rules_add_up():
    assert parse_keep(["best:3,newest:10,champion", "best:1"]) == Keep(best=3, newest=10)
    assert parse_keep(["champion"]) == Keep()


def test_the_best_of_each_experiment_and_monitor_are_kept(runs, project):
    """California monitors a loss: the lowest; the other is of another experiment, with a metric to maximise."""
    listed = list_project(project)
    scored = [replace(run, score=score) for run, score in zip(listed, [0.3, 0.2, 0.9], strict=True)]
    values = {"name": "other", "data.task": "binary", "schedule.monitor": "auroc"}
    folders = [RunFolder(project / f"runs/other-{index}") for index in range(3)]
    other = [
        replace(listed[0], folder=folder, values=values, score=score)
        for folder, score in zip(folders, [0.8, 0.9, None], strict=True)
    ]
    plan = plan_removal([*scored, *other], Keep(best=1), root=project, needed={})
    assert plan.kept == {
        listed[1].name: "best 1 of california by valid/loss",
        "other-1": "best 1 of other by valid/auroc",
    }


@pytest.mark.slow
def test_what_is_needed_in_use_adopted_or_promoted_stays(runs, project, capsys):
    (project / "models").mkdir()
    (project / "models/production.jsonl").write_text(f'{{"run": "runs/{runs[1].name}"}}\n')
    assert treadle("adopt", str(runs[2].relative_to(project)), "--as", "winner") == 0
    capsys.readouterr()
    with FileLock(runs[3] / ".lock"):
        assert treadle("gc", "--keep", "champion") == 0
    out = capsys.readouterr().out
    for seed, reason in {1: "models/production.jsonl names it", 2: "adopted as winner", 3: "in use"}.items():
        assert f"kept     runs/{runs[seed].name}: {reason}" in out
    assert by_seed(project) == runs
    assert treadle("ls") == 0
    assert "(adopted as winner)" in capsys.readouterr().out
    plan = plan_removal(list_project(project), Keep(), root=project, needed={runs[3].name: "of a sweep"})
    assert plan.kept[runs[3].name] == "of a sweep"


def test_what_was_used_since_stays(runs, project):
    (runs[2] / "resolved.yaml").touch()
    plan = plan_removal(list_project(project), Keep(), root=project, needed={}, older_than=timedelta(days=7))
    assert plan.kept == {runs[2].name: "used recently"}
    assert treadle("gc", "--keep", "champion", "--older-than", "1 week") == 2
    assert treadle("gc", "--keep", "champion", "--older-than", "7d") == 0
    assert by_seed(project) == {2: runs[2]}


def test_a_run_that_begins_after_the_plan_stays(runs, project):
    from treadle.pipeline.collect import carry_out

    plan = plan_removal(list_project(project), Keep(), root=project, needed={})
    prepare("seed=1")
    with FileLock(runs[2] / ".lock"):
        outcome = {item.path: freed for item, freed in carry_out(plan, root=project)}
    assert (outcome[runs[1]], outcome[runs[2]]) == (None, None)
    assert set(by_seed(project)) == {1, 2}
    assert treadle("verify", *map(str, (runs[1], runs[2]))) == 0


def test_folders_of_the_user_stay(runs, project):
    (project / "runs/notes").mkdir()
    (project / "runs/notes/thoughts.md").write_text("keep")
    assert treadle("gc", "--keep", "champion") == 0
    assert (project / "runs/notes/thoughts.md").read_text() == "keep"


KILLED = """
import os, shutil, signal
from pathlib import Path
from treadle.cli.main import main

delete_all = shutil.rmtree

def delete(path, **options):
    if Path(path).name != "gc.removed":
        return delete_all(path, **options)
    next(file for file in Path(path).rglob("*") if file.is_file()).unlink()
    os.kill(os.getpid(), signal.SIGKILL)

shutil.rmtree = delete
main(["gc", "--keep", "newest:1"])
"""


@pytest.mark.slow
def test_killed_in_the_middle_it_leaves_whole_runs_and_the_next_one_finishes(runs, project, capsys):
    assert subprocess.run([sys.executable, "-c", KILLED], check=False).returncode == -signal.SIGKILL
    assert len(by_seed(project)) == 2
    assert treadle("verify") == 0
    assert treadle("ls") == 0
    assert (project / "runs/gc.removed").is_dir()
    capsys.readouterr()
    assert treadle("gc", "--keep", "newest:1") == 0
    assert not list(project.glob("runs/**/gc.removed"))
    assert by_seed(project) == {2: runs[2]}
    assert treadle("verify") == 0


def test_two_at_once_are_refused(runs, project, capsys):
    with FileLock(project / "runs/.stages/.gc.lock"):
        assert treadle("gc", "--keep", "newest:1") == 2
    assert "another `treadle gc` is at work" in capsys.readouterr().err
    assert by_seed(project) == runs


@pytest.mark.exhaustive
@pytest.mark.slow
def test_a_run_under_way_loses_nothing(runs, project, capsys):
    """Its earlier stages are shared with runs that go, and its own outputs are in the cache before it is done."""
    words = [word for word in QUICK if not word.startswith("schedule.max_epochs")]
    command = [sys.executable, "-m", "treadle", "train", *words, "seed=1", "tracker=disabled", "schedule.max_epochs=20"]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as process:
        limit = time.monotonic() + 120
        while not any("train begins" in log.read_text() for log in project.glob("runs/*/run.log")):
            assert process.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.1)
        assert treadle("gc", "--keep", "newest:0") == 0
        assert process.poll() is None, "it was done before there was anything to show"
        assert process.wait(120) == 0
    out = capsys.readouterr().out
    (run,) = list_project(project)
    assert f"kept     runs/{run.name}: in use" in out
    assert run.state == "done up to train"
    assert treadle("verify") == 0
