"""A challenger that the gate would promote is first tried beside the champion; nothing is promoted or begun twice."""

import json
from datetime import datetime

import pytest

from drifting import decide
from shadow_logs import write_shadow
from treadle.champions.ledger import read_history
from treadle.retraining.ledger import find_training, read_decisions

pytestmark = pytest.mark.slow
SHADOW = ["retrain=shadow"]


@pytest.fixture(scope="module")
def lived(settle):
    """A project whose rule broke, and a challenger on trial since 20 July."""
    with settle(breaks_at=150) as folder:
        decide("2020-04-15", "2020-07-20", "2020-07-20T01:00", rules=SHADOW)
    return folder


@pytest.fixture
def project(copied):
    return copied


def answer(project, monkeypatch, *, error, days=40, known=None):
    """The log of a server with a shadow, and its labels."""
    history = read_history("visits", root=project)
    monkeypatch.setattr("shadow_logs.CHAMPION", history.champion)
    monkeypatch.setattr("shadow_logs.CHALLENGER", history.challenger)
    monkeypatch.setattr("shadow_logs.BEGIN", datetime(2020, 2, 1))  # noqa: DTZ001 - UTC
    write_shadow(project / "serving/log", error=error, days=days, known_at=known)
    return history


def find_decided(project, now, *more):
    decide(now, rules=[*SHADOW, *more])
    return read_decisions("visits", root=project).items[-1]


def test_the_first_champion_is_promoted_and_the_next_model_is_tried(lived):
    first, tried_one = read_decisions("visits", root=lived).items
    history = read_history("visits", root=lived)

    assert (first.action, tried_one.action) == ("promote", "challenge")
    assert tried_one.sentence.startswith("promote: better than the champion beyond noise")
    assert [decision.action for decision in history.decisions] == ["promote", "challenge"]
    assert (history.champion, history.challenger) == (first.bundle, tried_one.evidence["challenger"])


def test_without_a_verdict_the_trial_goes_on_and_nothing_is_trained(project):
    runs = set(project.glob("runs/*"))

    decided = find_decided(project, "2020-07-21")

    assert (decided.action, decided.reasons) == ("nothing", ["on trial since 2020-07-20T00:00"])
    assert decided.sentence.startswith("in the shadow: not yet: ")
    assert set(project.glob("runs/*")) == runs


@pytest.mark.parametrize(
    ("seen", "action", "reason"),
    [
        ({"error": 0.1}, "promote", "the challenger is better on live rows"),
        ({"error": 3.0, "days": 150}, "stop", "the challenger is worse on live rows"),
    ],
    ids=["better", "worse"],
)
def test_a_verdict_of_live_rows_decides(project, monkeypatch, seen, action, reason):
    before = answer(project, monkeypatch, **seen)

    decided = find_decided(project, "2020-07-25")

    history = read_history("visits", root=project)
    assert (decided.action, decided.reasons) == (action, [reason])
    assert (history.decisions[-1].action, history.challenger) == (action, None)
    assert history.champion == (before.challenger if action == "promote" else before.champion)
    trained = find_training(read_decisions("visits", root=project), history.champion)
    assert trained.action == ("challenge" if action == "promote" else "promote")


@pytest.mark.parametrize(
    ("days", "otherwise", "action"),
    [(10, "promote", "promote"), (10, "stop", "stop"), (0, "promote", "stop")],
    ids=["the gate's word", "the champion stays", "never asked"],
)
def test_a_trial_without_a_verdict_ends(project, monkeypatch, days, otherwise, action):
    if days:
        answer(project, monkeypatch, error=1.0, days=days)

    decided = find_decided(project, "2020-08-18", f"retrain.shadow.otherwise={otherwise}")

    assert decided.action == action
    assert decided.reasons[0].startswith("no verdict in 28d")
    assert read_history("visits", root=project).challenger is None


def test_what_came_after_the_moment_is_not_looked_at(project, monkeypatch):
    """A decision as of a day before the labels came."""
    answer(project, monkeypatch, error=0.1, known=datetime(2020, 7, 26))  # noqa: DTZ001 - UTC

    assert (before := find_decided(project, "2020-07-25")).action == "nothing"
    assert "0 days of labels, which say nothing" in before.sentence
    assert find_decided(project, "2020-07-27").action == "promote"


def test_what_a_kill_left_undone_of_a_trial_is_done_by_the_next_call(project):
    ledger = project / "models/visits.jsonl"
    whole = ledger.read_text()
    ledger.write_text(whole.splitlines(keepends=True)[0])  # killed between the decision and the begin of the trial

    decide("2020-07-20T02:00", rules=SHADOW)

    assert json.loads(ledger.read_text().splitlines()[1])["action"] == "challenge"
    assert ledger.read_text() == whole
