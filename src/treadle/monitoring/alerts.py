"""Tell somebody of an alarm, once: by a request to a webhook, or by a command."""

from __future__ import annotations

import json
import shlex
import subprocess
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from http.client import HTTPException
from pathlib import Path
from typing import Any

from treadle.disk import read_record, write_json
from treadle.errors import TreadleError
from treadle.monitoring.findings import Block, Findings
from treadle.monitoring.views import UNITS, describe_alarm

_TIMEOUT = 10.0  # seconds for a webhook
_COMMAND_TIMEOUT = 60.0  # seconds
_KEPT = timedelta(days=400)  # of what was told
_SHOWN = 5  # subjects of a block


@dataclass(frozen=True)
class Alerting:
    """How somebody is told.

    Raises:
        TreadleError: the webhook is no address of the web, or the command is no command line.
    """

    webhook: str | None  # URL to which the alert is posted as JSON
    command: str | None  # that gets the alert as JSON on its standard input
    quiet: timedelta  # for which the same columns of the same bundle are not told again
    state: Path  # file that remembers what was told

    def __post_init__(self) -> None:
        """Refuse what could never be delivered, before anything is judged."""
        if self.webhook is not None and not self.webhook.startswith(("https://", "http://")):
            raise TreadleError(f"--webhook must be an address of http or https; found {self.webhook!r}")
        if self.command is not None and not _split(self.command):
            raise TreadleError(f"--command {self.command!r} is no command: it is empty")


def _split(command: str) -> list[str]:
    try:
        return shlex.split(command)
    except ValueError as error:
        raise TreadleError(f"--command {command!r} is no command: {error}") from error


def send_alerts(findings: Findings, alerting: Alerting, *, now: datetime) -> list[str]:
    """Tell of the blocks that alarm and were not told before; the names of those that are told now.

    A block is told once. The same subjects are told again only after the quiet time, in whatever block. What could not
    be delivered counts as not told, and is tried again by the next call.

    Raises:
        TreadleError: an alert could not be delivered.
    """
    told = _read(alerting.state, now=now)
    new = [block for block in findings.alarmed if _is_new(block, findings, told, alerting, now=now)]
    if not new:
        return []
    _deliver(_make_alert(findings, new), alerting)
    for block in new:
        told[_name_block(block, findings)] = now.isoformat()
        told[_name_subjects(block, findings)] = now.isoformat()
    alerting.state.parent.mkdir(parents=True, exist_ok=True)
    write_json(alerting.state, told)
    return [block.judged.block for block in new]


def _read(state: Path, *, now: datetime) -> dict[str, str]:
    """What was told, and when; a damaged file counts as none, so that an alarm is rather told twice than never."""
    found = read_record(state) or {}
    return {name: time for name, time in found.items() if now - datetime.fromisoformat(time) < _KEPT}


def _is_new(block: Block, findings: Findings, told: Mapping[str, str], alerting: Alerting, *, now: datetime) -> bool:
    if _name_block(block, findings) in told:
        return False
    last = told.get(_name_subjects(block, findings))
    return last is None or now - datetime.fromisoformat(last) >= alerting.quiet


def _name_block(block: Block, findings: Findings) -> str:
    """Labels come later than inputs: an alarm of the performance is news of a block that was told for its inputs."""
    kind = "" if block.performance is None else " performance"
    return f"{findings.digest[:12]} block {block.identity}{kind}"


def _name_subjects(block: Block, findings: Findings) -> str:
    """With the first alarm's among them, which weighs most."""
    first = block.alarms[0].signal.subject
    others = sorted({alarm.signal.subject for alarm in block.alarms} - {first})
    return f"{findings.digest[:12]} subjects {', '.join(sorted([first, *others[: _SHOWN - 1]]))}"


def _make_alert(findings: Findings, blocks: list[Block]) -> dict[str, Any]:
    """`text` is what chat services show."""
    units = UNITS[findings.reference.blocking.unit]
    lines = [f"{findings.model}: {len(blocks)} of the {units} alarm{'s' if len(blocks) == 1 else ''}"]
    lines += [
        f"{block.judged.block}: {describe_alarm(alarm, block.effects.get(alarm.signal.columns))}"
        for block in blocks
        for alarm in block.alarms[:_SHOWN]
    ]
    return {
        "text": "\n".join(lines),
        "model": findings.model,
        "bundle": findings.digest,
        "blocks": [block.to_plain() for block in blocks],
    }


def _deliver(alert: dict[str, Any], alerting: Alerting) -> None:
    body = json.dumps(alert, allow_nan=False).encode()
    if alerting.webhook is not None:
        _post(alerting.webhook, body)
    if alerting.command is not None:
        _call(alerting.command, body)


def _post(url: str, body: bytes) -> None:
    request = urllib.request.Request(url, body, {"Content-Type": "application/json"})  # noqa: S310 - `Alerting` checks it
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT):  # noqa: S310
            pass
    except (OSError, HTTPException) as error:
        host = url.split("/")[2]  # the rest may be a secret
        reason = error if isinstance(error, OSError) else type(error).__name__
        raise TreadleError(f"the webhook at {host} did not take the alert: {reason}") from error


def _call(command: str, body: bytes) -> None:
    try:
        done = subprocess.run(  # noqa: S603 - the user's own command, without a shell
            _split(command), input=body, capture_output=True, timeout=_COMMAND_TIMEOUT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise TreadleError(f"--command {command!r} failed: {error}") from error
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines()
        raise TreadleError(f"--command {command!r} ended with {done.returncode}: {said[-1] if said else ''}")
