"""A challenger on trial: lines in the champion's ledger that begin the trial, end it, or promote the challenger."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from treadle.bundle.card import read_card
from treadle.champions.bundles import CARD, CHALLENGER, find_by_digest
from treadle.champions.ledger import Action, Decision, History, append, list_models, read_history
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.gate.decide import Challenger, Champion, read_challenger
from treadle.gate.promote import find_user
from treadle.outcomes import Finding
from treadle.rollout.evidence import Evidence, Kind, find_evidence


@dataclass(frozen=True)
class Trial:
    """A challenger with its evidence, as the road of promotion wants it."""

    challenger: Challenger
    champion: Champion
    evidence: Evidence

    @property
    def blockers(self) -> list[Finding]:
        """The checks that refuse."""
        return [finding for finding in self.challenger.findings if finding.blocks]

    @property
    def promotes(self) -> bool:
        """No check refuses, and the challenger is better beyond doubt where it was used."""
        return not self.blockers and self.evidence.verdict == "better"

    @property
    def sentence(self) -> str:
        """The decision and its reason."""
        blocked = f"blocked by {', '.join(finding.code for finding in self.blockers)}; " if self.blockers else ""
        return f"{'promote' if self.promotes else 'refuse'}: {blocked}{self.evidence.sentence}"

    def to_plain(self) -> dict[str, Any]:
        """For the ledger."""
        return {
            "promotes": self.promotes,
            "sentence": self.sentence,
            "champion": self.champion.bundle,
            "rollout": self.evidence.to_plain(),
        }


def find_model(name: str | None, *, root: Path) -> History:
    """The ledger of a model; of the only one where none is named.

    Raises:
        TreadleError: there is none, or there are several.
    """
    names = list_models(root)
    if name is None and len(names) != 1:
        fix = f"say which by --model: {', '.join(names)}" if names else "`treadle promote RUN` makes one"
        raise TreadleError(f"there is {'more than one' if names else 'no'} champion in models/; {fix}")
    history = read_history(name or names[0], root=root)
    if history.champion is None:
        raise TreadleError(f"{history.name!r} has no champion; `treadle promote RUN` makes one")
    return history


def start(run: Path, *, git: Mapping[str, Any], now: datetime, root: Path) -> History:
    """Name a run the challenger of its model's champion.

    Raises:
        TreadleError: the run is not finished, there is no champion, or it is the champion.
    """
    challenger = read_challenger(run)
    if not isinstance(challenger.experiment, Experiment):
        raise TreadleError(f"{run} holds a learner of your own, which is not served: no live rows could judge it")
    history = find_model(challenger.experiment.name, root=root)
    if challenger.bundle == history.champion:
        raise TreadleError(f"{run} is the champion of {history.name!r} already")
    folder = run.resolve()
    shown = folder.relative_to(root.resolve()) if folder.is_relative_to(root.resolve()) else folder
    evidence = {
        CHALLENGER: challenger.bundle,
        "run": shown.as_posix(),
        "sentence": f"{shown.as_posix()} (bundle {challenger.bundle[:12]}) is the challenger",
    }
    return _write(history, "challenge", evidence, reason=None, git=git, now=now, root=root)


def judge(
    history: History, *, log: Path, alpha: float, min_share: float, root: Path, kind: Kind | None, now: datetime
) -> Trial:
    """The evidence about the challenger of a model, as `find_evidence`.

    Raises:
        TreadleError: there is no challenger, no label, or no answer of it.
    """
    digest, champion = _require_challenger(history), history.champion
    assert champion is not None, "a challenger has one"
    run, own = (find_by_digest(each, history, root=root) for each in (digest, champion))
    evidence = find_evidence(
        log,
        champion=champion,
        challenger=digest,
        card=read_card(_find_card(own)),
        alpha=alpha,
        min_share=min_share,
        kind=kind,
        now=now,
    )
    return Trial(read_challenger(run), Champion(own, champion), evidence)


def stop(history: History, *, reason: str | None, git: Mapping[str, Any], now: datetime, root: Path) -> History:
    """End the trial: the champion stays.

    Raises:
        TreadleError: there is no challenger.
    """
    digest = _require_challenger(history)
    evidence = {CHALLENGER: digest, "sentence": f"the bundle {digest[:12]} is challenger no more"}
    return _write(history, "stop", evidence, reason=reason, git=git, now=now, root=root)


def _require_challenger(history: History) -> str:
    if history.challenger is None:
        raise TreadleError(f"{history.name!r} has no challenger; `treadle rollout start RUN` names one")
    return history.challenger


def _find_card(folder: Path) -> Path:
    inside = RunFolder(folder).bundle / CARD
    return inside if inside.is_file() else folder / CARD


def _write(
    history: History,
    action: Action,
    evidence: Mapping[str, Any],
    *,
    reason: str | None,
    git: Mapping[str, Any],
    now: datetime,
    root: Path,
) -> History:
    """A line that leaves the champion as it is."""
    assert history.champion is not None, "of a model that has one"
    decision = Decision(
        time=now.isoformat(timespec="seconds"),
        action=action,
        bundle=history.champion,
        run=history.find_run(history.champion) or "",
        git=git,
        evidence=evidence,
        reason=reason,
        who=find_user(root),
    )
    return append(history.name, decision, expected=history.champion, root=root)
