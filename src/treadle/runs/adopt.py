"""Adopt a run: its choices become an experiment of the project, which params.yaml selects for `dvc repro`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from ruamel.yaml import YAML

from treadle.check.resolve import resolve
from treadle.config.compose import compose, list_options
from treadle.config.overrides import key_of, parse
from treadle.config.selection import FILE, SET
from treadle.disk import read_text, write_text
from treadle.errors import TreadleError
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.stages import STAGES, take_slice
from treadle.runs.marks import ADOPTED, EXPERIMENTS

_EXPERIMENT = "experiment"
_HEAD = f"# @package _global_\n{ADOPTED}\n# yaml-language-server: $schema=../.schema/experiment.json\n"


def adopt(run: Path, *, name: str, root: Path) -> list[Path]:
    """Write `conf/experiment/<name>.yaml`, and select it in params.yaml where there is one; gives the files.

    Args:
        run: a run folder.
        name: of the experiment; a file of that name must not exist.
        root: the project, with a conf/ of its own.

    Raises:
        TreadleError: the run did not record its overrides, they cannot stand in a file, or conf/ has changed since, so
            that the experiment would not be the run.
    """
    folder = RunFolder(run)
    file = root / EXPERIMENTS / f"{name}.yaml"
    if file.exists():
        raise TreadleError(f"{file.relative_to(root)} exists; give another name, or remove it")
    if not (root / "conf").is_dir():
        raise TreadleError(f"no conf/ in {root}: an experiment is a file of the project's own conf/")
    overrides = _read_overrides(folder)
    file.parent.mkdir(parents=True, exist_ok=True)
    write_text(file, _HEAD.format(run=_show(run, root)) + _write_experiment(overrides, name=name, root=root))
    try:
        _require_same(folder, name=name, root=root)
    except BaseException:
        file.unlink()
        raise
    selection = root / FILE
    if not selection.is_file():
        return [file]
    _select(selection, name)
    return [file, selection]


def _read_overrides(folder: RunFolder) -> list[str]:
    if not folder.overrides.is_file():
        raise TreadleError(
            f"{folder.path} has no {folder.overrides.name}: it is no run, or was made by DVC or before 0.2"
        )
    overrides: list[str] = json.loads(read_text(folder.overrides))
    return overrides


def _write_experiment(overrides: Sequence[str], *, name: str, root: Path) -> str:
    """A delta to the experiment that the run was made from: its groups, then its single values."""
    options = list_options(root)
    chosen = {key_of(text): text.partition("=")[2] for text in overrides if key_of(text) in options}
    base = compose(overrides=overrides, root=root).choices.get(_EXPERIMENT)
    groups = {key: option for key, option in chosen.items() if key != _EXPERIMENT}
    defaults: list[Any] = [] if base is None else [base]
    defaults += [{f"override /{key}": option} for key, option in groups.items()]
    values: dict[str, Any] = {}
    for text in overrides:
        parsed = parse(text)
        if key_of(text) in options:
            continue
        if parsed.is_delete() or "@" in text.partition("=")[0]:
            raise TreadleError(f"{text!r} cannot stand in a file of an experiment; write the file by hand")
        _put(values, key_of(text).split("."), parsed.value())
    values = {"name": name, **{key: value for key, value in values.items() if key not in {"name", "sweep"}}}
    text = yaml.safe_dump({"defaults": [*defaults, "_self_"]}, sort_keys=False, allow_unicode=True)
    return text + yaml.safe_dump(json.loads(json.dumps(values, default=str)), sort_keys=False, allow_unicode=True)


def _put(node: dict[str, Any], path: list[str], value: Any) -> None:
    for name in path[:-1]:
        node = node.setdefault(name, {})
    node[path[-1]] = value


def _require_same(folder: RunFolder, *, name: str, root: Path) -> None:
    """What the experiment composes to must be what the run was, wherever that can change a result."""
    ours, theirs = resolve(overrides=[f"{_EXPERIMENT}={name}"], root=root).values, read(folder.resolved).values
    for stage in STAGES:
        mine, its = take_slice(ours, stage), take_slice(theirs, stage)
        different = [key for key in its if mine[key] != its[key]]
        if different:
            keys = ", ".join(different)
            raise TreadleError(
                f"{folder.path}: conf/ has changed since the run: {keys} would differ; nothing was written"
            )


def _select(path: Path, name: str) -> None:
    """Select the experiment alone: what else params.yaml chose would come on top of it."""
    editor = YAML()
    editor.preserve_quotes = True
    editor.representer.add_representer(type(None), _write_null)
    selection = editor.load(read_text(path))
    for key in selection:
        selection[key] = {} if key == SET else None
    selection[_EXPERIMENT] = name
    with path.open("w", encoding="utf-8") as file:
        editor.dump(selection, file)


def _write_null(representer: Any, value: None) -> Any:  # noqa: ARG001 - as the library calls it
    """As params.yaml has it; the library's own null is nothing at all."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _show(path: Path, root: Path) -> str:
    return str(path.resolve().relative_to(root)) if path.resolve().is_relative_to(root) else str(path)
