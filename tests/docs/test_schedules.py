"""The examples for cron and GitHub Actions: valid, and what they run commits a decision, or nothing."""

import re
import shlex
import subprocess
from pathlib import Path

import pytest
import yaml

from treadle.config.compose import compose

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs/how-to/retrain.md").read_text()
TIMES = re.compile(r"(?:\*|\d+)(?: (?:\*|\d+)){4}")
STAND_IN = {"git push": "true", "dvc pull -q data.dvc": "true", "/srv/flights": ".", "retrain.log": "/dev/null"}


def read_section(title, language):
    (block,) = re.findall(rf"## {title}\n.*?```{language}\n(.*?)```", PAGE, flags=re.DOTALL)
    return block


def read_workflow():
    return yaml.safe_load(read_section("From GitHub Actions", "yaml"))


def read_cron():
    """Times and command of the line."""
    (line,) = (line for line in read_section("From cron", "text").splitlines() if not line.startswith("#"))
    *times, command = line.split(" ", 5)
    return " ".join(times), command


def list_scripts():
    (job,) = read_workflow()["jobs"].values()
    return [step["run"] for step in job["steps"] if "run" in step]


@pytest.mark.slow
def test_both_say_when_and_what_they_run_exists():
    workflow = read_workflow()
    (given,) = workflow[True]["schedule"]  # `on` is a truth value in YAML 1.1

    assert all(map(TIMES.fullmatch, (given["cron"], read_cron()[0])))
    assert workflow["permissions"] == {"contents": "write"}
    assert all("uses" in step or "run" in step for step in workflow["jobs"]["retrain"]["steps"])
    assert re.search(r"^data:", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    for text in (*list_scripts(), read_cron()[1]):
        assert subprocess.run(["bash", "-n", "-c", text], check=False).returncode == 0
        for words in re.findall(r"\.venv/bin/treadle (retrain [^>;\n]*)", text):
            compose(overrides=shlex.split(words)[1:], root=ROOT)


def adapt(script):
    """For a folder without a remote, where another program stands in for treadle."""
    for name, other in STAND_IN.items():
        script = script.replace(name, other)
    return script.replace(".venv/bin/treadle", "bash .venv/bin/treadle")


@pytest.mark.parametrize("which", ["cron", "actions"])
@pytest.mark.parametrize(
    ("written", "code", "count"),
    [(["models", "retraining"], 0, 1), (["retraining"], 1, 1), ([], 0, 0)],
    ids=["promoted", "a person has to decide", "nothing new"],
)
def test_a_decision_is_committed_and_nothing_else(tmp_path, which, written, code, count):
    fake = tmp_path / ".venv/bin/treadle"
    fake.parent.mkdir(parents=True)
    fake.write_text("".join(f"mkdir -p {name}; echo x > {name}/flights.jsonl\n" for name in written) + f"exit {code}\n")
    (tmp_path / "other.txt").write_text("x")
    subprocess.run(["git", "init", "-q"], cwd=tmp_path, check=True)
    for key in ("user.name", "user.email"):
        subprocess.run(["git", "config", key, "a"], cwd=tmp_path, check=True)
    scripts = list_scripts()[1:] if which == "actions" else [read_cron()[1]]

    for script in scripts:
        subprocess.run(["bash", "-ec" if which == "actions" else "-c", adapt(script)], cwd=tmp_path, check=False)

    shown = subprocess.run(["git", "ls-files"], cwd=tmp_path, check=True, capture_output=True, text=True).stdout
    found = subprocess.run(["git", "rev-list", "--count", "--all"], cwd=tmp_path, check=True, capture_output=True)
    assert int(found.stdout) == count
    assert shown.split() == [f"{name}/flights.jsonl" for name in written]
