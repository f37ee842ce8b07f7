"""The schema files of a project: one per group of `conf/`, for `config.yaml` and `params.yaml`, and what they share.

They refer to one another by relative paths, so that an option, a component or a key stands in one file alone.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.config.compose import find_option, list_options
from treadle.config.lint import lint
from treadle.config.merged import CONFIG_NAME, find_conf
from treadle.config.origins import read_file
from treadle.config.selection import FILE, SET
from treadle.experiment.spec import RECORDS, Experiment
from treadle.explain.explanation import describe_option
from treadle.problems import ConfigError
from treadle.schemas.sections import SECTIONS, Writer, find_section, make_section
from treadle.schemas.values import OPEN_TEXT, Schema, make_closed_enum, refer

FOLDER = Path("conf", ".schema")
DRAFT = "http://json-schema.org/draft-07/schema#"
WIDTH = 120  # of a line, where its content can be broken
_DEFAULTS = "defaults"
_LIST = "What this file is composed of, in order; `_self_` is the file itself"
_HYDRA: dict[str, Schema] = {"hydra": {"description": "Hydra's own settings"}}
_GLOBAL = "# @package _global_"


def make_schemas(root: Path) -> dict[str, str]:
    """The text of each schema file, by name.

    Raises:
        ConfigError: files of conf/ are broken.
    """
    problems = lint(find_conf(root), options=list_options(root), root=root)
    if problems:
        raise ConfigError(problems)
    options = _read_options(root)
    prefixes = tuple(map(str, read_file(find_conf(root) / f"{CONFIG_NAME}.yaml").get("targets", ())))
    deltas = [group for group in options if group not in SECTIONS and _is_global(group, options[group], root)]
    schemas = {group: Writer(root, prefixes).make_group(group, _refer_to_list(group)) for group in SECTIONS}
    for group in _list_inner(options):
        key = group.replace("/", ".")
        schemas[key] = Writer(root, prefixes).make_group(key, _refer_to_list(group))
    schemas[CONFIG_NAME] = Writer(root, prefixes).make_experiment({"defaults": _refer_to_list(CONFIG_NAME), **_HYDRA})
    schemas |= {group: _make_delta(group) for group in deltas}
    schemas[Path(FILE).stem] = _make_selection(options)
    schemas[_DEFAULTS] = _make_defaults(options, deltas)
    return {f"{name}.json": _write(name, schema) for name, schema in sorted(schemas.items())}


def write_schemas(root: Path, folder: Path) -> list[Path]:
    """Write every schema file; the paths of those that changed."""
    texts = make_schemas(root)
    changed = _find_changed(texts, folder)
    for path in changed:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(texts[path.relative_to(folder).as_posix()], encoding="utf-8")
    return changed


def find_stale(root: Path, folder: Path) -> list[Path]:
    """The files that are absent, or differ from what would be written now."""
    return _find_changed(make_schemas(root), folder)


def _find_changed(texts: Mapping[str, str], folder: Path) -> list[Path]:
    return [folder / name for name, text in texts.items() if not _holds(folder / name, text)]


def _holds(path: Path, text: str) -> bool:
    return path.is_file() and path.read_text(encoding="utf-8") == text


def _write(name: str, schema: Schema) -> str:
    head = {"$schema": DRAFT, "title": f"Treadle: {name}"}
    return _format({**head, "type": "object", **schema}, indent=0) + "\n"


def _format(node: Any, *, indent: int) -> str:
    """JSON with each part on one line that fits there."""
    if not isinstance(node, dict | list) or not node:
        return json.dumps(node, ensure_ascii=False)
    if isinstance(node, dict):
        items = [f"{json.dumps(key)}: {_format(item, indent=indent + 1)}" for key, item in node.items()]
    else:
        items = [_format(item, indent=indent + 1) for item in node]
    begin, end = "{}" if isinstance(node, dict) else "[]"
    flat = f"{begin}{', '.join(items)}{end}"
    if "\n" not in flat and len(flat) + indent <= WIDTH:  # where a part takes several lines, so does the whole
        return flat
    lines = f",\n{' ' * (indent + 1)}".join(items)
    return f"{begin}\n{' ' * (indent + 1)}{lines}\n{' ' * indent}{end}"


# --- files --------------------------------------------------------------------------------------------

Options = Mapping[str, Mapping[str, str]]  # the description of each option, by group and name


def _read_options(root: Path) -> Options:
    groups = list_options(root).items()
    return {group: {name: describe_option(find_option(root, group, name)) for name in names} for group, names in groups}


def _is_global(group: str, names: Mapping[str, str], root: Path) -> bool:
    """Whether every file of a group stands at the root of the experiment."""
    texts = (find_option(root, group, name).read_text(encoding="utf-8") for name in names)
    return all(text.startswith(_GLOBAL) for text in texts)


def _make_delta(group: str) -> Schema:
    """The schema of a file at the root of the experiment, other than config.yaml."""
    return make_section({"defaults": _refer_to_list(group), **_HYDRA, **_refer_to_keys()})


def _refer_to_keys() -> dict[str, Schema]:
    keys = [key for key in Experiment.model_fields if key not in RECORDS]
    return {key: refer("properties", key, file=f"{CONFIG_NAME}.json") for key in keys}


def _make_selection(options: Options) -> Schema:
    """The schema of params.yaml."""
    groups = {
        group: {
            "description": f"Option of the group `{group}`; null: as the experiment selects",
            **refer("definitions", f"selected.{group}", file=f"{_DEFAULTS}.json"),
        }
        for group in options
    }
    dotted: Schema = {"description": "Single values, as overrides", "patternProperties": {r"\.": {}}}
    return {
        "properties": {**groups, SET: {**make_section(_refer_to_keys()), **dotted}},
        "additionalProperties": False,
    }


# --- defaults lists -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Form:
    """How entries of a defaults list name a group."""

    listed: str  # the usual way, which is completed; empty: none
    others: str  # a pattern of the other ways, which are only validated


_CONFIG = _Form("{}", "^(override )?/{0}$|^override {0}$")
_DELTA = _Form("override /{}", "^/{0}$")
_GROUP = _Form("", "^(override )?/{0}$")
# What names another package, is optional, or is Hydra's own is not validated here.
_UNCHECKED = "@|^optional |^(override )?/?hydra/"


def _refer_to_list(owner: str) -> Schema:
    return refer("definitions", f"list.{owner}", file=f"{_DEFAULTS}.json")


def _make_defaults(options: Options, deltas: Collection[str]) -> Schema:
    """What the other files refer to: the options of each group, and the defaults list of each kind of file."""
    forms = {CONFIG_NAME: _CONFIG, **dict.fromkeys(deltas, _DELTA), **dict.fromkeys(SECTIONS, _GROUP)}
    forms |= dict.fromkeys(_list_inner(options), _GROUP)
    names = {f"option.{group}": make_closed_enum(names) for group, names in options.items()}
    selected = {f"selected.{group}": _make_selected(group) for group in options}
    lists = {f"list.{owner}": _make_list(owner, options, form) for owner, form in forms.items()}
    return {"definitions": {**names, **selected, **lists}}


def _list_inner(options: Options) -> list[str]:
    """The groups of sections within sections."""
    return [group for group in options if "/" in group and find_section(group.replace("/", ".")) is not None]


def _make_selected(group: str) -> Schema:
    """One option of a group, several, or none."""
    option = refer("definitions", f"option.{group}")
    return {"anyOf": [option, OPEN_TEXT, {"type": "null"}, {"type": "array", "items": option}]}


def _make_list(owner: str, options: Options, form: _Form) -> Schema:
    """The schema of a defaults list in a file of the group `owner`, or in config.yaml."""
    selected = {group: refer("definitions", f"selected.{group}") for group in options}
    inner = {g.removeprefix(f"{owner}/"): schema for g, schema in selected.items() if g.startswith(f"{owner}/")}
    listed = {form.listed.format(group): schema for group, schema in selected.items()} if form.listed else {}
    others = {form.others.format(re.escape(group)): schema for group, schema in selected.items()}
    entry = {
        "type": "object",
        "properties": {**listed, **inner},
        "patternProperties": {_UNCHECKED: {}, **others},
        "additionalProperties": False,
        "minProperties": 1,
    }
    siblings = [refer("definitions", f"option.{owner}")] if owner in options else []
    items = [make_closed_enum({"_self_": "This file"}), *siblings, OPEN_TEXT, entry]
    return {"description": _LIST, "type": "array", "items": {"anyOf": items}}
