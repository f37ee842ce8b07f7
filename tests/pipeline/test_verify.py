import os
import subprocess

import pytest
from filelock import FileLock

from runs import find_run, run_quick, treadle
from treadle.experiment.stages import STAGES

NO_WANDB = "tracker=disabled"


@pytest.fixture
def ran(project, run_once):
    subprocess.run(["cp", "-a", run_once(NO_WANDB), project / "runs"], check=True)
    return find_run(project)


def damage(file):
    """Where neither size nor time differ."""
    before = file.stat()
    content = file.read_bytes()
    file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def test_intact_results_are_reported_as_such(ran, project, capsys):
    assert treadle("verify") == 0

    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == f"OK         runs/{ran.name}"
    assert [line.split("/")[2] for line in lines[1:]] == [stage.name for stage in STAGES]
    assert all(line.startswith("OK         runs/.stages/") for line in lines[1:])


@pytest.mark.slow
def test_damage_is_found_in_the_run_and_in_the_cache_and_made_anew(ran, project, capsys):
    damage(ran / "features/valid/00000.parquet")

    assert treadle("verify", str(ran)) == 1
    said = capsys.readouterr().out
    assert f"damaged    runs/{ran.name}\n  featurize  features/valid/00000.parquet does not hold what was" in said
    assert "set aside as runs/.stages/featurize/" in said
    assert run_quick(NO_WANDB) == 0
    assert "featurize  done" in capsys.readouterr().out
    assert treadle("verify") == 0


def test_a_run_in_use_is_left_alone(ran, capsys):
    with FileLock(ran / ".lock"):
        assert treadle("verify", str(ran)) == 0

    assert capsys.readouterr().out == f"in use     runs/{ran.name}\n"


def test_what_is_no_run_is_refused(project, capsys):
    assert treadle("verify") == 2
    assert "no run found; `treadle run` makes one" in capsys.readouterr().err
    assert treadle("verify", "conf") == 2
    assert "conf is no run: it has no stages.json" in capsys.readouterr().err
