"""The difference between two selections, runs or git revisions: values, and the stages that run again for it."""

from __future__ import annotations

import json
import shlex
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from treadle.experiment.changes import Change, Values, find_reruns, list_changes
from treadle.experiment.resolved import FILE, read, resolve
from treadle.experiment.selection import FILE as SELECTION
from treadle.experiment.selection import read_selection
from treadle.experiment.stages import STAGES, sign_stages
from treadle.schema import TreadleError

DATA = "data.dvc"  # names the version of the data, in git
RECORD = "stages.json"  # of a run folder: the signature of each stage


@dataclass(frozen=True)
class Side:
    """One of the two that are compared."""

    title: str
    values: Values
    signature: str | None = None  # of the stage `prepare`, where it is known: it holds the files' fingerprint
    version: str | None = None  # of the data, as data.dvc says


def read_side(text: str, *, root: Path, memory: Path) -> Side:
    """A selection (`model=mlp seed=1`, or a params.yaml), a run's folder, a resolved.yaml, or a git revision.

    Args:
        text: which; an empty one is the default selection.
        root: the project.
        memory: where hashes of data files are remembered.

    Raises:
        TreadleError: it is none of these, or does not compose.
    """
    path = root / text
    if not text or "=" in text or text.startswith("~"):
        return _select(text or "the defaults", dict.fromkeys(shlex.split(text)), root, memory)
    if path.is_file() and path.name != FILE:
        return _select(text, read_selection(path, root=root), root, memory)
    if (path / FILE).is_file() or path.is_file():
        return _read_run(text, path if path.is_dir() else path.parent, path / FILE if path.is_dir() else path)
    return _read_revision(text, root)


def _select(title: str, overrides: dict[str, Any], root: Path, memory: Path) -> Side:
    places = {override: place for override, place in overrides.items() if place is not None}
    _, values = resolve(overrides=list(overrides), root=root, places=places)
    try:
        signature = sign_stages(values, root=root, memory=memory)[STAGES[0].name]
    except TreadleError:  # the data is not here
        signature = None
    version = (root / DATA).read_text(encoding="utf-8") if (root / DATA).is_file() else None
    return Side(title, values, signature, version)


def _read_run(title: str, folder: Path, file: Path) -> Side:
    _, values = read(file)
    record = json.loads((folder / RECORD).read_text(encoding="utf-8")) if (folder / RECORD).is_file() else {}
    return Side(title, values, record.get(STAGES[0].name))


def _read_revision(text: str, root: Path) -> Side:
    resolved = _show(f"{text}:./{FILE}", root)
    if resolved is None:
        known = _show(f"{text}^{{commit}}", root) is not None
        rule = f"the revision {text!r} holds no {FILE}" if known else f"{text!r} is nothing to compare"
        raise TreadleError(
            f"{rule}; give a selection such as 'model=mlp seed=1', {SELECTION}, a run's folder, or a revision of git "
            f"in which {FILE} is committed"
        )
    return Side(text, yaml.load(resolved, Loader=yaml.CSafeLoader), version=_show(f"{text}:./{DATA}", root))


def _show(name: str, root: Path) -> str | None:
    command = ["git", "show", "--no-patch", "--end-of-options", name]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - git, and a name that it takes as one
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None


@dataclass(frozen=True)
class Difference:
    """What differs, and what that means."""

    changes: list[Change]
    reruns: dict[str, list[str]]  # stage: reasons


def compare_sides(before: Side, after: Side) -> Difference:
    """The values that differ, and the stages that run again on the way from one side to the other."""
    same = find_reruns(before.values, after.values)
    signed = before.signature is not None and after.signature is not None and STAGES[0].name not in same
    versioned = before.version is not None and after.version is not None
    new_data = (signed and before.signature != after.signature) or (versioned and before.version != after.version)
    reruns = find_reruns(before.values, after.values, new_data=new_data)
    return Difference(list_changes(before.values, after.values), reruns)


def print_difference(before: Side, after: Side, console: Console) -> None:
    """A table of the values that differ, then a line for each stage."""
    found = compare_sides(before, after)
    if found.changes:
        table = Table(title="Values", title_justify="left")
        table.add_column("key", no_wrap=True)
        for side in (before, after):
            table.add_column(side.title, overflow="fold")
        for change in found.changes:
            table.add_row(change.key, _write(change.before), _write(change.after))
        console.print(table)
    for stage in STAGES:
        reasons = ", ".join(found.reruns.get(stage.name, []))
        console.print(f"{stage.name:<10} {f'runs again: {reasons}' if reasons else 'the same'}", highlight=False)


def _write(value: Any) -> str:
    return "-" if value is None else str(value).replace("[", r"\[")
