"""The schema files of a project: one a group of `conf/`, one for `config.yaml`, one for `params.yaml`."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from treadle.config.compose import CONFIG_NAME, find_conf, find_option, list_options
from treadle.config.lint import lint
from treadle.config.origins import read_file
from treadle.config.selection import FILE, SET
from treadle.experiment.spec import Experiment
from treadle.explain.explanation import describe_option
from treadle.problems import ConfigError
from treadle.schemas.sections import Writer
from treadle.schemas.values import Schema, make_enum

FOLDER = Path("conf", ".schema")
DRAFT = "http://json-schema.org/draft-07/schema#"
_LIST = "what this file is composed from, in order; `_self_` is the file itself"
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
    writer = Writer(root, tuple(map(str, read_file(find_conf(root) / f"{CONFIG_NAME}.yaml").get("targets", ()))))
    schemas = {group: _make_group(group, options, writer) for group in options if group in Experiment.model_fields}
    deltas = [group for group in options if group not in schemas and _is_global(group, options[group], root)]
    schemas |= {group: _make_delta(_make_defaults(group, options, _DELTA), writer) for group in deltas}
    schemas[CONFIG_NAME] = _make_delta(_make_defaults("", options, _CONFIG), writer)
    schemas[Path(FILE).stem] = _make_selection(options, writer)
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
    return json.dumps({**head, **schema}, ensure_ascii=False, separators=(",", ":"), indent=1) + "\n"


# --- groups -------------------------------------------------------------------------------------------

Options = Mapping[str, Mapping[str, str]]  # what each option is, by group and name


def _read_options(root: Path) -> Options:
    groups = list_options(root).items()
    return {group: {name: describe_option(find_option(root, group, name)) for name in names} for group, names in groups}


def _is_global(group: str, names: Mapping[str, str], root: Path) -> bool:
    """Whether every file of a group stands at the root of the experiment."""
    texts = (find_option(root, group, name).read_text(encoding="utf-8") for name in names)
    return all(text.startswith(_GLOBAL) for text in texts)


def _make_group(group: str, options: Options, writer: Writer) -> Schema:
    return {**writer.make_group(group, _make_defaults(group, options, _GROUP)), "type": "object"}


def _make_delta(defaults: Schema, writer: Writer) -> Schema:
    hydra = {"description": "Hydra's own settings"}
    return {**writer.make_experiment({"defaults": defaults, "hydra": hydra}), "type": "object"}


def _make_selection(options: Options, writer: Writer) -> Schema:
    """The schema of params.yaml."""
    groups = {
        group: {"description": f"the option of the group `{group}`; null: as the experiment says", **_choose(names)}
        for group, names in options.items()
    }
    single = writer.make_experiment({})
    dotted: Schema = {"patternProperties": {r"\.": {}}}
    one = {**single, **dotted, "type": "object", "description": "single values, as overrides"}
    return {"type": "object", "properties": {**groups, SET: one}, "additionalProperties": False}


# --- defaults lists -----------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Form:
    """How entries of a defaults list name a group."""

    listed: str  # the usual way, which is completed; empty: none
    others: str  # a pattern of the other ways, which are only checked


_CONFIG = _Form("{}", "^(override )?/{0}$|^override {0}$")
_DELTA = _Form("override /{}", "^/{0}$")
_GROUP = _Form("", "^(override )?/{0}$")
# What names another package, is optional, or is Hydra's own is not judged here.
_UNJUDGED = "@|^optional |^(override )?/?hydra/"


def _make_defaults(own: str, options: Options, form: _Form) -> Schema:
    """The schema of a defaults list in a file of the group `own` (empty: in config.yaml)."""
    chosen = {group: _choose(names) for group, names in options.items()}
    inner = {group.removeprefix(f"{own}/"): schema for group, schema in chosen.items() if group.startswith(f"{own}/")}
    listed = {form.listed.format(group): schema for group, schema in chosen.items()} if form.listed else {}
    others = {form.others.format(re.escape(group)): schema for group, schema in chosen.items()}
    entry = {
        "type": "object",
        "properties": {**listed, **inner},
        "patternProperties": {_UNJUDGED: {}, **others},
        "additionalProperties": False,
        "minProperties": 1,
    }
    sibling = make_enum({"_self_": "this file", **options.get(own, {})})
    return {"description": _LIST, "type": "array", "items": {"anyOf": [*sibling["anyOf"], entry]}}


def _choose(names: Mapping[str, str]) -> Schema:
    """One option of a group, several, or none."""
    return {"anyOf": [*make_enum(names)["anyOf"], {"type": "null"}, {"type": "array", "items": {"enum": list(names)}}]}
