"""What follows from a decision: a promotion, a way back, the begin or the end of a trial; done once."""

from __future__ import annotations

from pathlib import Path

from treadle.champions.bundles import CHAMPION
from treadle.champions.chain import Chain
from treadle.champions.ledger import History, read_history
from treadle.gate.announce import announce
from treadle.gate.decide import ask_gate
from treadle.gate.promote import promote, roll_back
from treadle.pipeline.provenance import describe_git
from treadle.retraining.ledger import CHALLENGER, TRIAL, Decided, read_time
from treadle.rollout.trial import start, stop

_OF_TRIALS, _MAKES_CHAMPION = {"challenge", "stop"}, {"promote", "rollback"}


def complete(chain: Chain[Decided], *, name: str, root: Path, announces: bool) -> None:
    """Do what the last decision says, unless it is done, or somebody has decided otherwise since.

    Args:
        chain: the decisions.
        name: of the model.
        root: the project.
        announces: whether a registry is told of another champion: not of those that a simulation makes.
    """
    last = chain.items[-1] if chain.items else None
    if last is None or (last.bundle == last.champion and last.action not in _OF_TRIALS):
        return
    history = read_history(name, root=root)
    if _is_done(last, history) or history.champion != last.champion:
        return
    git, now = describe_git(root), read_time(last)
    match last.action:
        case "rollback":
            history = roll_back(name, reason="; ".join(last.reasons), git=git, now=now, root=root)
        case "challenge":
            if history.challenger is None:  # else somebody tries another one since
                start(_find_run(last, root), git=git, now=now, root=root)
        case "stop":
            if history.challenger == last.evidence[CHALLENGER]:
                stop(history, reason="; ".join(last.reasons), git=git, now=now, root=root)
        case _:
            verdict = ask_gate(_find_run(last, root), champion=f"{name}@{CHAMPION}", root=root)
            is_decided_apart = TRIAL in last.evidence or not verdict.promotes  # as where seeds have been added since
            reason = last.sentence if is_decided_apart else "; ".join(last.reasons)
            history = promote(verdict, reason=reason, git=git, now=now, root=root)
    if announces and last.action in _MAKES_CHAMPION:
        announce(history, root=root)


def _is_done(last: Decided, history: History) -> bool:
    actions = {last.action} if last.action in _OF_TRIALS else _MAKES_CHAMPION
    return any((d.time, d.bundle) == (last.time, last.bundle) and d.action in actions for d in history.decisions)


def _find_run(last: Decided, root: Path) -> Path:
    assert last.run is not None, "what trains, promotes or tries names its run"
    return root / last.run
