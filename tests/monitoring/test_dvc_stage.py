"""The stage of DVC that the documentation shows."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from orders import spoil


def repro(folder):
    path = f"{Path(sys.executable).parent}:/usr/bin:/bin"
    command = [sys.executable, "-m", "dvc", "repro", "monitor"]
    return subprocess.run(command, cwd=folder, env={"PATH": path}, capture_output=True, text=True, check=False)


@pytest.mark.exhaustive
def test_an_alarm_is_no_failure_of_the_pipeline_and_an_unchanged_log_is_not_judged_again(made, log, root, tmp_path):
    page = (root / "docs" / "how-to" / "monitor.md").read_text()
    (stage,) = re.findall(r"```yaml\n(stages:\n  monitor:.*?)```", page, re.DOTALL)
    project = tmp_path / "project"
    shutil.copytree(made, project / "artifacts")
    shutil.copytree(log, project / "served")
    (project / "dvc.yaml").write_text(stage.replace("--output", "--no-effect --output"))
    subprocess.run([sys.executable, "-m", "dvc", "init", "-q", "--no-scm"], cwd=project, check=True)

    first, second = repro(project), repro(project)
    spoil(project / "served", 2, country=pl.col("country").str.to_uppercase())
    third = repro(project)

    assert (first.returncode, second.returncode, third.returncode) == (0, 0, 0)
    assert "0 of 4 weeks alarm" in first.stdout
    assert "Stage 'monitor' didn't change, skipping" in second.stdout
    assert "1 of 4 weeks alarm" in third.stdout
    (project / "served" / "0.parquet").write_bytes(b"PAR1")
    assert repro(project).returncode != 0  # a mistake is one
