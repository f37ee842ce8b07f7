"""A damaged output is never used in silence: it is reported, set aside, and made anew."""

import json
import os
import shutil
import subprocess
import sys

import pytest

from runs import QUICK, find_run, run_quick, treadle
from treadle.experiment.stages import STAGES, get_stage
from treadle.pipeline import digests
from treadle.pipeline.digests import find_damage, take_digests

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second

NO_WANDB = "tracker=disabled"


@pytest.fixture
def ran(project, run_once):
    """The runs of a finished selection, hard links and times of change included."""
    subprocess.run(["cp", "-a", run_once(NO_WANDB), project / "runs"], check=True)
    return find_run(project)


def selection():
    return [*QUICK, NO_WANDB]


def flip_a_byte(file):
    """With the time of change put back, as a failing disk does it."""
    before = file.stat()
    content = bytearray(file.read_bytes())
    content[len(content) // 2] ^= 1
    with file.open("r+b") as stream:
        stream.write(content)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def cut_short(file):
    os.truncate(file, file.stat().st_size // 2)


def empty(file):
    os.truncate(file, 0)


def remove(file):
    file.unlink()


def read_outputs(folder):
    names = ["examples/test.parquet", "features/inputs.json", "bundle/bundle.json", "evaluation/metrics.json"]
    return {name: (folder / name).read_bytes() for name in names}


# --- outputs ------------------------------------------------------------------------------------------

DAMAGE = {
    "examples/test.parquet": (flip_a_byte, "prepare"),
    "features/inputs.json": (cut_short, "featurize"),
    "bundle/bundle.json": (flip_a_byte, "train"),
    "evaluation/report.html": (remove, "evaluate"),
    "examples/schema.json": (empty, "prepare"),
    "features/train/00000.parquet": (flip_a_byte, "featurize"),
    "model/best.ckpt": (cut_short, "train"),
    "metrics.csv": (empty, "train"),
    "validation.json": (empty, "train"),
    "evaluation/metrics.json": (flip_a_byte, "evaluate"),
}


@pytest.mark.sampled_cases(3)
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_in_a_run_is_reported_and_made_anew(ran, project, capsys, name):
    """The cache holds the same files by hard links, and so the same damage, but for a name that is gone."""
    damage, stage = DAMAGE[name]
    before = read_outputs(ran)
    damage(ran / name)

    assert treadle("run", "--why", *selection()) == 0
    foreseen = capsys.readouterr().out
    assert run_quick(NO_WANDB) == 0

    said = capsys.readouterr().out
    assert f"{stage:<10} damaged in runs/{ran.name}: {name}" in said
    if damage is remove:
        assert f"{stage:<10} shared with another run" in said
    else:
        assert f"{stage:<10} would run: its result in runs/{ran.name} is damaged: {name}" in foreseen
        (aside,) = project.glob(f"runs/.stages/{stage}/*.damaged")
        assert f"set aside as {aside.relative_to(project)}" in said
    assert said.count(" damaged in runs/") == 1
    assert read_outputs(ran) == before
    run_quick(NO_WANDB)
    assert capsys.readouterr().out == f"unchanged  runs/{ran.name}\n"


def test_a_damaged_entry_of_the_cache_is_not_shared(ran, project, capsys):
    shutil.rmtree(ran)
    (entry,) = (path for path in project.glob("runs/.stages/featurize/*") if path.is_dir())
    flip_a_byte(entry / "features/inputs.json")

    assert run_quick(NO_WANDB, verb="featurize") == 0

    said = capsys.readouterr().out
    assert "prepare    shared with another run" in said
    assert "featurize  damaged in the cache: features/inputs.json does not hold what was written; set aside as" in said
    assert "featurize  done" in said


@pytest.mark.parametrize("damage", [cut_short, empty, remove])
def test_damaged_digests_of_the_cache_make_its_entry_anew(ran, project, capsys, damage):
    shutil.rmtree(ran)
    (entry,) = (path for path in project.glob("runs/.stages/prepare/*") if path.is_dir())
    damage(entry / "digests.json")

    assert run_quick(NO_WANDB, verb="prepare") == 0

    assert "prepare    damaged in the cache: " in capsys.readouterr().out


def test_a_file_that_was_added_is_damage_and_a_hidden_one_is_not(ran, capsys):
    (ran / "features/.DS_Store").write_bytes(b"")
    run_quick(NO_WANDB)
    assert capsys.readouterr().out.startswith("unchanged")

    shutil.copy(ran / "features/train/00000.parquet", ran / "features/train/00001.parquet")
    run_quick(NO_WANDB)
    assert "features/train/00001.parquet was added" in capsys.readouterr().out


def test_a_large_file_is_read_again_only_where_size_or_time_differ(tmp_path, monkeypatch):
    stage = get_stage("train", {})
    for name in ("model", "bundle"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a").write_text(name)
    (tmp_path / "metrics.csv").write_text("epoch\n")
    taken = take_digests(tmp_path, stage.outputs)
    os.utime(tmp_path / "model" / "a")
    monkeypatch.setattr(digests, "hash_content", hashed := Hashed())

    assert find_damage(tmp_path, stage.outputs, taken, max_hashed=0) is None

    assert hashed.files == [tmp_path / "model" / "a"]


class Hashed:
    """Hashes, and notes what."""

    def __init__(self):
        self.files = []
        self.hash = digests.hash_content

    def __call__(self, file):
        self.files.append(file)
        return self.hash(file)


# --- records ------------------------------------------------------------------------------------------


@pytest.mark.sampled_cases(3)
@pytest.mark.parametrize("damage", [cut_short, empty, flip_a_byte], ids=["cut short", "empty", "flipped"])
@pytest.mark.parametrize("name", ["stages.json", "digests.json", "../.stages/files.json"])
def test_a_damaged_record_is_rebuilt_from_the_cache(ran, project, capsys, name, damage):
    file = ran / name
    damage(file)

    assert run_quick(NO_WANDB) == 0

    said = capsys.readouterr()
    assert said.err == ""
    assert find_run(project) == ran
    assert "done" not in said.out
    run_quick(NO_WANDB)
    assert capsys.readouterr().out == f"unchanged  runs/{ran.name}\n"


@pytest.mark.sampled_cases(2)
@pytest.mark.parametrize("content", ["[]", "null", '{"prepare": 3, "train": {"a": 1}}', "[" * 100_000, "\xff"])
def test_a_record_of_another_kind_is_rebuilt_too(ran, project, capsys, content):
    for name in ("stages.json", "digests.json", "../.stages/files.json"):
        (ran / name).write_bytes(content.encode("latin-1"))

    assert run_quick(NO_WANDB) == 0

    assert "done" not in capsys.readouterr().out
    assert json.loads((ran / "stages.json").read_text()).keys() == {stage.name for stage in STAGES}


def test_another_run_that_is_damaged_is_no_reason_to_fail(ran, capsys):
    (ran / "resolved.yaml").write_bytes(b"\xff\xfe")
    (ran / "stages.json").write_text("{")

    assert treadle("run", "--why", *selection(), "seed=5") == 0


def test_a_stage_in_a_damaged_run_is_refused(ran, capsys):
    flip_a_byte(ran / "examples/test.parquet")

    assert treadle("evaluate", "--folder", str(ran)) == 2

    assert (
        "examples/test.parquet does not hold what was written; `treadle run` makes it again" in capsys.readouterr().err
    )


# --- left-overs ---------------------------------------------------------------------------------------


def test_what_killed_processes_left_is_swept(ran, project):
    prepare = project / "runs/.stages/prepare"
    left = [ran / ".tables-x", ran / "wandb/.scratch", prepare / "0123.tmp", prepare / "4567.99.tmp"]
    for folder in left:
        folder.mkdir(parents=True)
        (folder / "a.parquet").write_bytes(b"a")
    written = [ran / ".treadle-1.tmp", project / "runs/.stages/.treadle-2.tmp"]
    for file in written:
        file.write_text("half")

    shutil.rmtree(ran / "examples")
    run_quick(NO_WANDB)

    assert not [path for path in [*left, *written] if path.exists()]


def test_what_another_process_writes_is_left_alone(ran, project):
    """It holds the lock of the entry."""
    partial = project / "runs/.stages/prepare/0123.tmp"
    partial.mkdir()
    hold = "import sys, filelock\nwith filelock.FileLock(sys.argv[1]): print(flush=True); sys.stdin.read()"
    command = [sys.executable, "-c", hold, str(partial.with_suffix(".lock"))]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        shutil.rmtree(ran / "examples")
        run_quick(NO_WANDB)
        assert partial.is_dir()
        other.stdin.close()

    shutil.rmtree(ran / "examples")
    run_quick(NO_WANDB)
    assert not partial.exists()
