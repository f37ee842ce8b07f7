"""`retraining/<name>.jsonl`: one line for each decision about training again, as a chain that is only appended to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

from treadle.champions.chain import Chain, append_line, read_chain
from treadle.experiment.run_folder import RUNS
from treadle.retraining import FOLDER

# `challenge`: the gate would promote, and a trial in the shadow begins; `stop`: it ends, and the champion stays.
# `stuck`: no rule can decide, and a person has to. `replay` and `retrain` are what a dry run would do; no line of a
# file has them.
# Keys of the evidence: digest of who is on trial; what the trial showed; why there is no way back; the newest row,
# where it is too old to decide anything by.
CHALLENGER, TRIAL, LOST, NEWEST = "challenger", "trial", "no_way_back", "newest_row"
Action = Literal[
    "nothing", "suggest", "promote", "refuse", "rollback", "challenge", "stop", "stuck", "replay", "retrain"
]


@dataclass(frozen=True)
class Decided:
    """One line."""

    time: str  # ISO 8601, UTC
    until: str  # end of the newest rows with labels, which it was decided by
    champion: str | None  # digest of the bundle before the decision
    action: Action
    reasons: Sequence[str]
    evidence: Mapping[str, Any]  # about the champion; empty where there was none
    run: str | None  # the challenger's folder, where one was trained
    bundle: str | None  # digest of the champion after the decision
    sentence: str | None  # of the gate
    settings: str  # digest of the section `retrain`

    @property
    def key(self) -> tuple[str, str | None, str | None, str]:
        """What a decision follows from: where it is the same, there is nothing to decide."""
        return self.until, self.bundle, self.evidence.get("data"), self.settings

    @property
    def challenger(self) -> str | None:
        """Digest of the bundle that is on trial after the decision; None: there is none."""
        return self.evidence.get(CHALLENGER) if self.action in ("challenge", "nothing") else None

    @property
    def newest(self) -> str | None:
        """The newest row with a label [ISO 8601, UTC], where newer ones are waited for."""
        return self.evidence.get(NEWEST)

    def describe(self) -> str:
        """A line for people."""
        why = "; ".join(self.reasons) or "no rule holds"
        gate = f"; {self.sentence}" if self.sentence else ""
        return f"{self.time[:16]}  {self.action:<8}  {why}{gate}"


def locate(name: str, *, root: Path) -> Path:
    """The ledger of a model."""
    return root / FOLDER / f"{name}.jsonl"


def name_lock(name: str, *, root: Path) -> Path:
    """The lock that a process holds while it decides about a model, in a folder that is there then."""
    (root / RUNS).mkdir(exist_ok=True)
    return root / RUNS / f".retrain-{name}.lock"


def read_decisions(name: str, *, root: Path) -> Chain[Decided]:
    """Every decision.

    Raises:
        TreadleError: a line was changed or removed.
    """
    return read_chain(locate(name, root=root), Decided)


def record(chain: Chain[Decided], decided: Decided) -> None:
    """Add a decision; the caller holds the lock."""
    chain.path.parent.mkdir(parents=True, exist_ok=True)
    append_line(chain, asdict(decided))


def find_last_training(chain: Chain[Decided]) -> Decided | None:
    """The newest line with a training."""
    return next((decided for decided in reversed(chain.items) if _has_trained(decided)), None)


def find_training(chain: Chain[Decided], bundle: str | None) -> Decided | None:
    """The newest line whose training made a bundle that became champion."""
    trained = (d for d in reversed(chain.items) if _has_trained(d) and d.action != "refuse")
    return next((d for d in trained if d.evidence.get(CHALLENGER, d.bundle) == bundle), None)


def _has_trained(decided: Decided) -> bool:
    """A promotion that ends a trial trains nothing: the trial began with the training."""
    return decided.action in ("promote", "refuse", "challenge") and TRIAL not in decided.evidence


def read_time(decided: Decided) -> datetime:
    """When it was decided."""
    return datetime.fromisoformat(decided.time)
