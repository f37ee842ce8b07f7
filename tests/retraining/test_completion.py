"""What a decision leads to, where somebody has decided otherwise meanwhile."""

import hashlib
from dataclasses import replace

import pytest

from treadle.champions.ledger import Decision, append, read_history
from treadle.errors import TreadleError
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

    complete(read_decisions("flights", root=tmp_path), name="flights", root=tmp_path, announces=True)

    assert read_history("flights", root=tmp_path).challenger == theirs


def test_a_registry_is_told_of_a_champion_that_is_none_of_a_simulation(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    digests = []
    for name in ("a", "b"):
        bundle = tmp_path / "runs" / name / "bundle"
        bundle.mkdir(parents=True)
        (bundle / "bundle.json").write_text(name)
        digests.append(hashlib.sha256(name.encode()).hexdigest())
        evidence = {"artifact": f"wandb:flights/{name}", "registry": "model"}
        promoted = Decision(
            f"2020-01-0{len(digests)}", "promote", digests[-1], f"runs/{name}", {}, evidence, None, "me"
        )
        append("flights", promoted, expected=digests[0] if len(digests) > 1 else None, root=tmp_path)
    first, second = digests
    decided = Decided("2020-01-03T00:00:00", "", second, "rollback", ("worse",), {}, None, first, None, "")
    record(read_decisions("flights", root=tmp_path), decided)
    chain, ledger = read_decisions("flights", root=tmp_path), tmp_path / "models/flights.jsonl"
    before = ledger.read_text()

    with pytest.raises(TreadleError, match="has the decision, and the registry does not"):
        complete(chain, name="flights", root=tmp_path, announces=True)
    ledger.write_text(before)
    complete(chain, name="flights", root=tmp_path, announces=False)

    assert read_history("flights", root=tmp_path).champion == first
