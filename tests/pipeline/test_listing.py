"""What `treadle ls` shows of runs: how far each got, its size and score, and what differs."""

import cProfile
import json
import os
import shutil
import subprocess

import pytest
from filelock import FileLock

from runs import run_quick, treadle
from treadle.pipeline.disk_use import measure_all, measure_freed, measure_own
from treadle.pipeline.listing import list_project
from treadle.pipeline.record import list_runs
from treadle.runs.compare import compare_runs
from treadle.runs.read import read_leaves, read_run


@pytest.fixture
def prepared(project):
    """Two runs whose examples are one stage's."""
    for seed in (1, 2):
        assert run_quick(f"seed={seed}", "tracker=disabled", verb="prepare") == 0
    return {run.values["seed"]: run for run in list_project(project)}


def by_seed(project):
    return {run.values["seed"]: run for run in list_project(project)}


@pytest.mark.slow
def test_runs_are_listed_with_what_differs(prepared, project, capsys):
    assert {seed: (run.state, run.label) for seed, run in prepared.items()} == {
        1: ("done up to prepare", "seed=1"),
        2: ("done up to prepare", "seed=2"),
    }
    (project / "runs/notes").mkdir()  # the user's own
    capsys.readouterr()
    assert treadle("ls") == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines[1:3]] == [prepared[2].name, prepared[1].name]
    assert "are in runs/.stages or in several runs" in lines[-1]
    assert treadle("ls", "--format", "json") == 0
    (first, second) = json.loads(capsys.readouterr().out)
    assert (first["name"], first["stages"], first["score"]) == (prepared[2].name, {"prepare": "done"}, None)
    assert first["used_at"] >= second["used_at"]


def test_a_project_without_runs_has_nothing_to_list(project, capsys):
    assert treadle("ls") == 0
    assert "`treadle run` makes runs" in capsys.readouterr().out


def test_a_stage_is_running_interrupted_failed_or_damaged(prepared, project):
    folder = prepared[1].folder
    with folder.log.open("a") as log:
        log.write("2026-01-01 00:00:00 featurize begins\n")
    with FileLock(folder.lock):
        run = by_seed(project)[1]
        assert (run.state, run.is_held, run.stages["prepare"]) == ("running: featurize", True, "done")
    assert by_seed(project)[1].state == "interrupted: featurize"
    with folder.log.open("a") as log:
        log.write("2026-01-01 00:00:00 featurize failed: ValueError: no luck\nTraceback …\n")
    assert by_seed(project)[1].state == "failed: featurize"
    with folder.log.open("a") as log:
        log.write("2026-01-01 00:00:00 featurize failed: KeyboardInterrupt: \n")
    assert by_seed(project)[1].state == "interrupted: featurize"
    examples = next(prepared[2].folder.examples.glob("train*"))
    examples.unlink() if examples.is_file() else shutil.rmtree(examples)
    assert by_seed(project)[2].state == "damaged: prepare"


def test_a_damaged_run_is_listed_as_such(prepared, project, capsys):
    prepared[1].folder.resolved.write_text("name: [\n")
    prepared[2].folder.signatures.write_text("{")
    runs = {run.name: run for run in list_project(project)}
    assert runs[prepared[1].name].state == "damaged: resolved.yaml"
    assert runs[prepared[2].name].state == "damaged: prepare"
    assert treadle("ls") == 0


@pytest.mark.slow
def test_the_score_and_the_labels_are_those_of_compare(project, run_once):
    for overrides in ((), ("model.width=64", "schedule.max_epochs=3")):
        subprocess.run(["cp", "-a", f"{run_once('tracker=disabled', *overrides)}/.", project / "runs"], check=True)
    listed = {run.name: run for run in list_project(project)}
    compared = compare_runs([read_run(folder.path) for folder in list_runs(project)]).runs
    assert {each.run.name: (each.label, pytest.approx(each.score)) for each in compared} == {
        name: (run.label, run.score) for name, run in listed.items()
    }
    assert {run.state for run in listed.values()} == {"done"}


def test_sections_that_are_read_once_are_the_whole_file(prepared):
    from treadle.experiment.resolved import read_values
    from treadle.keys import list_leaves

    file = prepared[1].folder.resolved
    file.write_text(file.read_text().replace("\nseed: 1\n", '\nseed: 1\nquestion: "of two\n\n  lines: a"\n'))
    assert read_leaves(file) == dict(list_leaves(read_values(file)))


def test_a_file_of_several_names_counts_once(tmp_path):
    for name in ("a", "b", "cache"):
        (tmp_path / name).mkdir()
    (tmp_path / "a/shared").write_bytes(bytes(100))
    os.link(tmp_path / "a/shared", tmp_path / "b/shared")
    os.link(tmp_path / "a/shared", tmp_path / "cache/shared")
    (tmp_path / "a/own").write_bytes(bytes(10))
    os.link(tmp_path / "a/own", tmp_path / "cache/own")
    a, b, cache = (tmp_path / name for name in ("a", "b", "cache"))
    assert measure_own({"a": a, "b": b}) == {"a": 10, "b": 0}
    assert measure_all([tmp_path]) == 110
    assert [measure_freed(folders) for folders in ([a], [a, cache], [a, b, cache])] == [0, 10, 110]


@pytest.mark.slow
def test_a_thousand_runs_are_listed_without_reading_each(prepared, project):
    """No run is parsed as a whole, and nothing is hashed."""
    source = prepared[1].folder
    text = source.resolved.read_text()
    for number in range(1000):
        copy = source.path.with_name(f"california-{number:08x}")
        shutil.copytree(source.path, copy, copy_function=os.link)
        (copy / "resolved.yaml").unlink()
        (copy / "resolved.yaml").write_text(text.replace("\nseed: 1\n", f"\nseed: {number + 10}\n"))
    with cProfile.Profile() as profile:
        runs = list_project(project)
    calls = sum(entry.callcount for entry in profile.getstats())
    assert calls < 8_000 * len(runs), "to parse a run's experiment alone takes more"
    assert len({run.label for run in runs}) == 1002
