"""`models/<name>.jsonl`: one line for each decision about the champion, as a chain that is appended to under a lock."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from treadle.champions.chain import Chain, append_line, read_chain
from treadle.errors import TreadleError
from treadle.experiment.run_folder import MODELS, RUNS

Action = Literal["promote", "rollback", "challenge", "stop"]  # the last two leave the champion as it is
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")


@dataclass(frozen=True)
class Decision:
    """One line of the ledger."""

    time: str  # ISO 8601, UTC
    action: Action
    bundle: str  # digest of the bundle that is champion from now on
    run: str  # folder from which it came
    git: Mapping[str, Any]  # commit, and whether tracked files differed from it
    evidence: Mapping[str, Any]  # what the gate found
    reason: str | None  # why, in somebody's words; an override has one
    who: str


@dataclass(frozen=True)
class History:
    """What a ledger holds."""

    name: str  # of the model
    path: Path
    decisions: tuple[Decision, ...]
    head: str  # digest of the last line
    torn: str  # a last line that was cut short; it counts for nothing, and goes with the next decision

    @property
    def champion(self) -> str | None:
        """Digest of the champion's bundle."""
        return self.decisions[-1].bundle if self.decisions else None

    @property
    def challenger(self) -> str | None:
        """Digest of the bundle that is on trial against the champion; None: there is none."""
        last = self.decisions[-1] if self.decisions else None
        return None if last is None or last.action != "challenge" else str(last.evidence["challenger"])

    def find_run(self, bundle: str) -> str | None:
        """The folder that the bundle came from."""
        return next((d.run for d in reversed(self.decisions) if d.bundle == bundle), None)

    def list_champions(self) -> list[str]:
        """The champion after those that a rollback leads back to, the oldest first."""
        stack: list[str] = []
        for decision in self.decisions:
            if decision.action in ("challenge", "stop"):
                continue
            if decision.action == "rollback" and decision.bundle in stack:
                del stack[len(stack) - stack[::-1].index(decision.bundle) :]
            else:
                stack.append(decision.bundle)
        return stack


class RaceError(TreadleError):
    """Another champion was promoted since the gate compared."""


def locate(name: str, *, root: Path) -> Path:
    """The ledger of a model.

    Raises:
        TreadleError: the name is none of a file.
    """
    if not _NAME.fullmatch(name):
        raise TreadleError(f"{name!r} is no name of a model: letters, digits, '_', '.' and '-'")
    return root / MODELS / f"{name}.jsonl"


def list_models(root: Path) -> list[str]:
    """The models that have a ledger."""
    return sorted(file.stem for file in (root / MODELS).glob("*.jsonl"))


def read_history(name: str, *, root: Path) -> History:
    """Every decision about a model; none where there is no ledger.

    Raises:
        TreadleError: a line was changed or removed, or is no decision.
    """
    chain = read_chain(locate(name, root=root), Decision)
    return History(name, chain.path, chain.items, chain.head, chain.torn)


def append(name: str, decision: Decision, *, expected: str | None, root: Path) -> History:
    """Add a decision, if the champion is still the one that it was made against.

    Args:
        name: of the model.
        decision: to be added.
        expected: digest of the champion that the gate compared with; None: there was none.
        root: the project.

    Raises:
        RaceError: another one is champion by now; nothing is written.
        TreadleError: the ledger is damaged.
    """
    path = locate(name, root=root)
    path.parent.mkdir(parents=True, exist_ok=True)
    (root / RUNS).mkdir(exist_ok=True)
    with FileLock(root / RUNS / f".{path.name}.lock"):  # not beside the ledger, which is in git
        history = read_history(name, root=root)
        if history.champion != expected:
            raise RaceError(
                f"{path}: the champion is {_show(history.champion)} by now, and the gate compared with "
                f"{_show(expected)}; nothing was written. Ask the gate again"
            )
        head = append_line(Chain(path, history.decisions, history.head, history.torn), asdict(decision))
    return History(name, path, (*history.decisions, decision), head, "")


def _show(bundle: str | None) -> str:
    return "none" if bundle is None else bundle[:12]
