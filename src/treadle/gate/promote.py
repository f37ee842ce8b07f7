"""Record a promotion, or a way back, in the ledger of the model."""

from __future__ import annotations

import getpass
import os
import subprocess
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, Protocol

from treadle.champions.ledger import Decision, History, append, read_history
from treadle.errors import TreadleError
from treadle.gate.announce import describe_upload
from treadle.gate.decide import Challenger, Champion


class Judged(Protocol):
    """What was found about a challenger, by whatever evidence."""

    @property
    def challenger(self) -> Challenger:
        """Who asks to be champion."""

    @property
    def champion(self) -> Champion | None:
        """Whom it was compared with."""

    @property
    def promotes(self) -> bool:
        """Whether the evidence is enough."""

    @property
    def sentence(self) -> str:
        """The decision and its reason."""

    def to_plain(self) -> dict[str, Any]:
        """For the ledger."""


def promote(verdict: Judged, *, reason: str | None, git: Mapping[str, Any], now: datetime, root: Path) -> History:
    """Make the challenger champion, if the gate says so or a reason overrides it.

    Args:
        verdict: of the gate, or of a rollout; the ledger must still have the champion that it compared with.
        reason: why it is promoted, also against the gate; None: only if the gate promotes.
        git: the commit, and whether tracked files differ from it.
        now: moment of the decision.
        root: the project.

    Raises:
        TreadleError: the gate refuses and there is no reason; it is the champion already; another was promoted since.
    """
    challenger, champion = verdict.challenger, verdict.champion
    if champion is not None and champion.bundle == challenger.bundle:
        raise TreadleError(f"{challenger.run} is the champion of {challenger.experiment.name!r} already")
    if not verdict.promotes and not (reason or "").strip():
        raise TreadleError(f"{verdict.sentence}. `--override REASON` promotes it nevertheless, and records the reason")
    evidence = {**verdict.to_plain(), "overridden": not verdict.promotes, **describe_upload(challenger.run)}
    run = challenger.run.resolve()
    shown = run.relative_to(root.resolve()) if run.is_relative_to(root.resolve()) else run
    decision = Decision(
        time=now.isoformat(timespec="seconds"),
        action="promote",
        bundle=challenger.bundle,
        run=shown.as_posix(),
        git=git,
        evidence=evidence,
        reason=reason,
        who=find_user(root),
    )
    expected = None if champion is None else champion.bundle
    return append(challenger.experiment.name, decision, expected=expected, root=root)


def roll_back(name: str, *, reason: str | None, git: Mapping[str, Any], now: datetime, root: Path) -> History:
    """Make the champion before the present one champion again: a new line.

    Raises:
        TreadleError: there is none before it.
    """
    history = read_history(name, root=root)
    if history.champion is None:
        raise TreadleError(f"{name!r} has no champion; `treadle promote RUN` makes one")
    stack = history.list_champions()
    if len(stack) < 2:  # noqa: PLR2004 - the champion, and one before
        raise TreadleError(f"{name!r} has no champion before the present one; `treadle log {name}` shows its history")
    decision = Decision(
        time=now.isoformat(timespec="seconds"),
        action="rollback",
        bundle=stack[-2],
        run=history.find_run(stack[-2]) or "",
        git=git,
        evidence={"champion": history.champion},
        reason=reason,
        who=find_user(root),
    )
    return append(name, decision, expected=history.champion, root=root)


def find_user(root: Path) -> str:
    """Who decides, as git knows them, else the name of the login."""
    command = ["git", "config", "user.name"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - git alone
    except FileNotFoundError:
        return _find_login()
    return done.stdout.strip() or _find_login()


def _find_login() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a container without a name for its user
        return str(os.getuid())
