"""From a challenger that is named to one that is promoted or stopped, by the command line and the ledger."""

import json
import shutil

import pytest

from runs import treadle
from served import _resolve, make_bundle, save_run
from shadow_logs import write_shadow
from treadle.champions.bundles import digest_bundle, find_bundle, find_digest
from treadle.champions.ledger import read_history
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.stages import STAGES
from treadle.gate.decide import ask_gate


def finish(bundle, folder, *, blocks=False):
    """The folder of a finished run: what the gate reads of one."""
    save_run(bundle, folder)
    run = RunFolder(folder)
    run.evaluation.mkdir()
    finding = {
        "title": "A",
        "severity": "blocker",
        "outcome": "fail" if blocks else "pass",
        "sentence": "s",
        "evidence": {},
    }
    run.checks.write_text(json.dumps({"a-check": finding}))
    run.resolved.write_text(Resolved(_resolve("adult"), dict.fromkeys((stage.name for stage in STAGES), "0")).dump())
    return folder


@pytest.fixture(scope="module")
def bundles():
    return {name: make_bundle("adult", num_rows=rows) for name, rows in {"first": 300, "second": 400}.items()}


@pytest.fixture
def project(bundles, tmp_path, monkeypatch):
    """A champion, and a run that wants to be one."""
    monkeypatch.chdir(tmp_path)
    for name, bundle in bundles.items():
        finish(bundle, tmp_path / "runs" / name)
    assert treadle("promote", "runs/first") == 0
    return tmp_path


def write_log(project, monkeypatch, *, error):
    for name, run in {"CHAMPION": "first", "CHALLENGER": "second"}.items():
        monkeypatch.setattr(f"shadow_logs.{name}", digest_bundle(project / "runs" / run))
    write_shadow(project / "log", error=error)


@pytest.mark.slow
def test_a_challenger_that_is_better_in_use_becomes_champion(project, monkeypatch, capsys):
    assert treadle("rollout", "start", "runs/second") == 0
    assert find_digest("challenger", root=project) == digest_bundle(project / "runs/second")
    assert find_bundle("adult@challenger", root=project) == project / "runs/second"
    write_log(project, monkeypatch, error=0.1)
    capsys.readouterr()
    assert treadle("rollout", "status", "--log", "log") == 0
    assert "the challenger is better: gain in log loss" in capsys.readouterr().out

    assert treadle("rollout", "promote", "--log", "log") == 0

    history = read_history("adult", root=project)
    assert [decision.action for decision in history.decisions] == ["promote", "challenge", "promote"]
    assert history.champion == digest_bundle(project / "runs/second")
    assert history.challenger is None
    last = history.decisions[-1]
    assert last.run == "runs/second"
    assert last.evidence["rollout"]["verdict"] == "better"
    assert last.evidence["overridden"] is False
    assert treadle("rollback", "adult") == 0
    assert read_history("adult", root=project).champion == digest_bundle(project / "runs/first")


def test_one_that_is_not_better_is_not_promoted_unless_a_reason_says_so(project, monkeypatch, capsys):
    treadle("rollout", "start", "runs/second")
    write_log(project, monkeypatch, error=1.0)

    assert treadle("rollout", "promote", "--log", "log") == 1
    assert "refuse: not yet" in capsys.readouterr().out
    assert treadle("rollout", "promote", "--log", "log", "--override", "It is cheaper.") == 0
    last = read_history("adult", root=project).decisions[-1]
    assert (last.reason, last.evidence["overridden"]) == ("It is cheaper.", True)


@pytest.mark.slow
def test_a_check_that_blocks_blocks_here_too(project, bundles, monkeypatch, capsys):
    shutil.rmtree(project / "runs/second")
    finish(bundles["second"], project / "runs/second", blocks=True)
    treadle("rollout", "start", "runs/second")
    write_log(project, monkeypatch, error=0.1)

    assert treadle("rollout", "promote", "--log", "log") == 1
    assert "refuse: blocked by a-check" in capsys.readouterr().out


def test_a_stopped_trial_leaves_the_champion_and_a_line(project, capsys):
    treadle("rollout", "start", "runs/second")

    assert treadle("rollout", "stop", "--reason", "It is late.") == 0

    history = read_history("adult", root=project)
    assert [decision.action for decision in history.decisions] == ["promote", "challenge", "stop"]
    assert history.challenger is None
    assert history.champion == digest_bundle(project / "runs/first")
    capsys.readouterr()
    assert treadle("log", "adult") == 0
    assert "is challenger no more\n  reason: It is late." in capsys.readouterr().out
    assert treadle("rollout", "stop") == 2
    assert "no challenger; `treadle rollout start RUN` names one" in capsys.readouterr().err


def test_a_bundle_whose_trial_was_stopped_is_found_when_it_is_tried_again(project):
    for words in (["start", "runs/second"], ["stop"], ["start", "runs/second"]):
        assert treadle("rollout", *words) == 0

    assert find_bundle("challenger", root=project) == project / "runs/second"
    verdict = ask_gate(project / "runs/second", champion="adult@challenger", root=project)
    assert verdict.champion.bundle == digest_bundle(project / "runs/second")  # of the role that is named


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["start"], "name the challenger's run"),
        (["start", "runs/first"], "is the champion of 'adult' already"),
        (["stop", "runs/first"], "leave RUN out"),
        (["status"], "--log names the folder of serving.log"),
        (["status", "--log", "log"], "has no challenger"),
        (["stop", "--alpha", "0.7"], "--alpha must be above 0 and at most 0.5; found 0.7"),
        (["stop", "--model", "none"], "'none' has no champion"),
        (["promote", "--log", "log", "--override", " "], "--override needs a written reason"),
    ],
    ids=lambda given: " ".join(given) if isinstance(given, list) else "",
)
def test_a_mistake_is_told(project, capsys, words, message):
    assert treadle("rollout", *words) == 2
    assert message in capsys.readouterr().err
