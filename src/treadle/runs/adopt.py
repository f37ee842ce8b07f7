"""Adopt a run: its choices become an experiment of the project, which params.yaml selects for `dvc repro`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from io import StringIO
from pathlib import Path
from typing import Any

import yaml
from pydantic import TypeAdapter, ValidationError
from ruamel.yaml import YAML

from treadle.check.resolve import resolve
from treadle.config.compose import compose, list_options
from treadle.config.overrides import key_of, parse
from treadle.config.selection import FILE, SET, read_selection
from treadle.disk import read_record, read_text, write_text
from treadle.errors import TreadleError
from treadle.experiment.identity import sign_stages
from treadle.experiment.resolved import Resolved, read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec.base import Name
from treadle.experiment.stages import NO_PART_OF_A_RUN, find_reader, list_stages, take_slice
from treadle.runs.marks import ADOPTED, EXPERIMENTS

EXPERIMENT = "experiment"
_SCHEMA = "# yaml-language-server: $schema=../.schema/experiment.json"
_NAME: TypeAdapter[str] = TypeAdapter(Name)


def adopt(run: Path, *, name: str, root: Path) -> list[Path]:
    """Write `conf/experiment/<name>.yaml`, and select it in params.yaml where there is one; gives the files.

    Args:
        run: a run folder.
        name: of the experiment; a file of that name must not exist.
        root: the project, with a conf/ of its own.

    Raises:
        TreadleError: the run did not record its overrides, they cannot stand in a file, or conf/, code or data has
            changed since, so that the experiment would not be the run. Nothing is written then.
    """
    folder = RunFolder(run)
    file = root / EXPERIMENTS / f"{_require_name(name)}.yaml"
    if file.exists():
        raise TreadleError(f"{file.relative_to(root)} exists; give another name, or remove it")
    if not (root / "conf").is_dir():
        raise TreadleError(f"no conf/ in {root}: an experiment is a file of the project's own conf/")
    texts = {file: _write_experiment(folder, name=name, root=root)}
    selection = root / FILE
    if selection.is_file():
        read_selection(selection, root=root)  # refuses what is damaged
        texts[selection] = select(read_text(selection), {EXPERIMENT: name}, {})
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        write_text(file, texts[file])
        require_same(folder, resolve(overrides=[f"{EXPERIMENT}={name}"], root=root), root=root)
        if selection in texts:
            write_text(selection, texts[selection])
    except BaseException:
        file.unlink(missing_ok=True)
        raise
    return list(texts)


def _require_name(name: str) -> str:
    try:
        return _NAME.validate_python(name)
    except ValidationError as error:
        raise TreadleError(
            f"{name!r} is no name of an experiment: it has letters, digits, '_', '.' and '-', and begins with a "
            "letter or a digit"
        ) from error


def read_overrides(folder: RunFolder) -> list[str]:
    """What the run was composed from, without what is no part of it."""
    if not folder.overrides.is_file():
        raise TreadleError(
            f"{folder.path} has no {folder.overrides.name}: it is no run, or was made by DVC, or by a version of "
            "Treadle that did not record it"
        )
    overrides: list[str] = json.loads(read_text(folder.overrides))
    return [text for text in overrides if key_of(text).partition(".")[0] not in NO_PART_OF_A_RUN]


def _write_experiment(folder: RunFolder, *, name: str, root: Path) -> str:
    """A delta to the experiment that the run was made from: its groups, then its single values."""
    overrides = read_overrides(folder)
    options = list_options(root)
    chosen = {key_of(text): text.partition("=")[2] for text in overrides if key_of(text) in options}
    base = compose(overrides=overrides, root=root).choices.get(EXPERIMENT)
    groups = {key: option for key, option in chosen.items() if key != EXPERIMENT}
    defaults: list[Any] = [] if base is None else [base]
    defaults += [{f"override /{key}": option} for key, option in groups.items()]
    values: dict[str, Any] = {}
    for text in overrides:
        parsed = parse(text)
        if key_of(text) in options:
            continue
        if parsed.is_delete() or "@" in text.partition("=")[0]:
            raise TreadleError(f"{text!r} cannot stand in a file of an experiment; write the file by hand")
        put(values, key_of(text).split("."), parsed.value())
    values = json.loads(json.dumps({**values, "name": name}, default=str))
    parts = ({"defaults": [*defaults, "_self_"]}, values)
    return _write_head(folder, root) + "".join(
        yaml.safe_dump(part, sort_keys=False, allow_unicode=True) for part in parts
    )


def _write_head(folder: RunFolder, root: Path) -> str:
    """The question of the run, which is the first comment, and apart from it whose choices the file has."""
    question = read(folder.resolved).experiment.question
    head = ["# @package _global_", *([] if question is None else [f"# {question}"]), _SCHEMA]
    return "\n".join([*head, "", ADOPTED.format(run=_show(folder.path, root)), ""])


def put(node: dict[str, Any], path: list[str], value: Any) -> None:
    """A value in nested ones."""
    for name in path[:-1]:
        node = node.setdefault(name, {})
    node[path[-1]] = value


def require_same(folder: RunFolder, resolved: Resolved, *, root: Path) -> None:
    """An experiment must be what the run was, wherever that can change a result.

    Raises:
        TreadleError: values, code or data differ.
    """
    theirs = read(folder.resolved)
    all_stages = list_stages(theirs.values)
    slices = [(take_slice(resolved.values, stage), take_slice(theirs.values, stage)) for stage in all_stages]
    keys = [key for mine, its in slices for key in its if mine.get(key) != its[key]]
    if keys:
        raise _refuse(folder, f"conf/ has changed since the run: {', '.join(keys)} would differ")
    stages = [stage for stage, code in resolved.code.items() if theirs.code.get(stage) != code]
    if stages:
        raise _refuse(folder, f"its code is not today's: that of {', '.join(stages)} has changed since the run")
    first = find_reader(theirs.values).name
    signature = (read_record(folder.signatures) or {}).get(first)
    if signature not in {None, sign_stages(resolved, root=root, remember=False)[first]}:
        raise _refuse(folder, "its data is not today's: files of tables have changed since the run")


def _refuse(folder: RunFolder, reason: str) -> TreadleError:
    return TreadleError(
        f"{folder.path}: {reason}; nothing was written. Put it back, or run it again and adopt that run"
    )


def select(text: str, groups: Mapping[str, str], values: Mapping[str, Any]) -> str:
    """The text of a params.yaml with these choices alone: what else it chose would come on top of them.

    Args:
        text: of before.
        groups: the option of each.
        values: single ones, nested.
    """
    editor = YAML()
    editor.preserve_quotes = True
    editor.representer.add_representer(type(None), _write_null)
    selection = editor.load(text)
    kept = f"{text.rstrip()}\n" if text.strip() and selection is None else ""  # comments alone: not in what is loaded
    selection = {} if selection is None else selection
    for key in selection:
        selection[key] = None
    selection.update(groups)
    if SET in selection or values:
        selection[SET] = dict(values)
    written = StringIO()
    editor.dump(selection, written)
    return kept + written.getvalue()


def _write_null(representer: Any, value: None) -> Any:  # noqa: ARG001 - as the library calls it
    """As params.yaml has it; the library's own null is nothing at all."""
    return representer.represent_scalar("tag:yaml.org,2002:null", "null")


def _show(path: Path, root: Path) -> str:
    return str(path.resolve().relative_to(root)) if path.resolve().is_relative_to(root) else str(path)
