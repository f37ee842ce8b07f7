"""The difference between two selections, runs or git revisions: values, and the stages that run again because of it."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from rich.markup import escape
from rich.table import Table

from treadle.check.resolve import resolve
from treadle.config.selection import FILE as SELECTION
from treadle.config.selection import read_selection
from treadle.console import Console
from treadle.disk import read_record
from treadle.errors import TreadleError
from treadle.experiment.changes import Change, find_reruns, list_changes
from treadle.experiment.dvc_lock import DATA, read_data_version, read_version
from treadle.experiment.identity import sign_stages
from treadle.experiment.resolved import parse, read_values
from treadle.experiment.run_folder import RESOLVED, RunFolder
from treadle.experiment.stages import CODE, STAGES, Values, find_reader, list_needed
from treadle.keys import ABSENT


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    title: str
    values: Values
    signature: str | None = None  # of the stage that reads the data, where it is known: it holds the files' fingerprint
    version: str | None = None  # of the data, from data.dvc


def read_side(text: str, *, root: Path) -> Side:
    """A selection (`model=mlp seed=1`, or a params.yaml), a run's folder, a resolved.yaml, or a git revision.

    Args:
        text: which; an empty one is the default selection. What exists as a file is taken as one.
        root: the project.

    Raises:
        TreadleError: it is none of these, or does not compose.
    """
    path = root / text
    if not text.strip():
        return _select("the defaults", {}, root)
    if _is_file(path) and path.name != RESOLVED and not _is_resolved(path):
        return _select(text, read_selection(path, root=root), root)
    for file in (path, RunFolder(path).resolved):
        if _is_file(file):
            return _read_run(text, file)
    if "=" in text or text.startswith("~"):
        return _select(text, dict.fromkeys(_split(text)), root)
    return _read_revision(text, root)


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # a selection that is longer than a file's name may be
        return False


def _is_resolved(file: Path) -> bool:
    return f"\n{CODE}:\n" in file.read_text(encoding="utf-8", errors="replace")


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError as error:
        raise TreadleError(f"the selection {text!r} cannot be split as a shell does: {error}") from error


def _select(title: str, overrides: dict[str, Any], root: Path) -> Side:
    places = {override: place for override, place in overrides.items() if place is not None}
    resolved = resolve(overrides=list(overrides), root=root, places=places, absent="pass")
    try:
        signature = sign_stages(resolved, root=root, remember=False)[find_reader(resolved.values).name]
    except TreadleError:  # the data is not here
        signature = None
    return Side(title, resolved.values, signature, read_data_version(root))


def _read_run(title: str, file: Path) -> Side:
    signatures = (read_record(RunFolder(file.parent).signatures) or {}) if file.name == RESOLVED else {}
    values = read_values(file)
    return Side(title, values, signatures.get(find_reader(values).name))


def _read_revision(text: str, root: Path) -> Side:
    resolved = _show(f"{text}:./{RESOLVED}", root)
    if resolved is None:
        known = _show(f"{text}^{{commit}}", root) is not None
        rule = f"the revision {text!r} holds no {RESOLVED}" if known else f"{text!r} is nothing to compare"
        raise TreadleError(
            f"{rule}; give a selection such as 'model=mlp seed=1', {SELECTION}, a run's folder, or a revision of git "
            f"in which {RESOLVED} is committed"
        )
    return Side(text, parse(resolved, name=f"{text}:{RESOLVED}"), version=read_version(_show(f"{text}:./{DATA}", root)))


def _show(name: str, root: Path) -> str | None:
    command = ["git", "show", "--no-patch", "--end-of-options", name]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - git, and a name that it takes as one
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True)
class Difference:
    """What differs, and which stages run again."""

    changes: list[Change]
    reruns: dict[str, list[str]]  # stage: reasons
    data: Literal["same", "new", "unknown"]


def compare_sides(before: Side, after: Side) -> Difference:
    """The values that differ, and the stages that run again on the way from one side to the other."""
    data = _compare_data(before, after)
    reruns = find_reruns(before.values, after.values, new_data=data == "new")
    return Difference(list_changes(before.values, after.values), reruns, data)


def _compare_data(before: Side, after: Side) -> Literal["same", "new", "unknown"]:
    """By the fingerprint of the files, where nothing else of the signature differs; else by the version."""
    first = find_reader(after.values).name
    if before.signature and after.signature and first not in find_reruns(before.values, after.values):
        return "same" if before.signature == after.signature else "new"
    if before.version and after.version:
        return "same" if before.version == after.version else "new"
    return "unknown"


def print_difference(before: Side, after: Side, console: Console) -> None:
    """A table of the values that differ, then a line for each stage."""
    found = compare_sides(before, after)
    if found.changes:
        table = Table(title="Values", title_justify="left")
        table.add_column("key", no_wrap=True)
        for side in (before, after):
            table.add_column(escape(side.title), overflow="fold")
        for change in found.changes:
            table.add_row(*map(escape, (change.key, _write(change.before), _write(change.after))))
        console.print(table)
    for stage in list_needed(STAGES[-1].name, after.values):
        reasons = ", ".join(found.reruns.get(stage.name, []))
        text = f"{stage.name:<10} {f'runs again: {reasons}' if reasons else 'the same'}"
        console.print(text, highlight=False, markup=False, soft_wrap=True)
    if found.data == "unknown" and find_reader(after.values).name not in found.reruns:
        console.print("data       not compared: the version of one side is unknown", highlight=False)


def _write(value: Any) -> str:
    if value is ABSENT:
        return "-"
    return value if isinstance(value, str) else json.dumps(value, default=str)
