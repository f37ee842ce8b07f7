"""What a decision leads to, where somebody has decided otherwise meanwhile."""

from dataclasses import replace

from treadle.champions.ledger import Decision, append, read_history
from treadle.retraining.completion import complete
from treadle.retraining.ledger import Decided, read_decisions, record


def test_a_trial_that_somebody_began_since_is_not_ended(tmp_path):
    champion, theirs, ours = "a" * 64, "b" * 64, "c" * 64
    first = Decision("2020-01-01T00:00:00", "promote", champion, "runs/a", {}, {}, None, "me")
    append("flights", first, expected=None, root=tmp_path)
    trial = replace(
        first, time="2020-01-02T00:00:00", action="challenge", evidence={"challenger": theirs, "run": "runs/b"}
    )
    append("flights", trial, expected=champion, root=tmp_path)
    evidence = {"challenger": ours}
    decided = Decided(
        "2020-01-01T12:00:00", "2020-01-01", champion, "challenge", (), evidence, "runs/c", champion, "", ""
    )
    record(read_decisions("flights", root=tmp_path), decided)

    complete(read_decisions("flights", root=tmp_path), name="flights", root=tmp_path)

    assert read_history("flights", root=tmp_path).challenger == theirs
