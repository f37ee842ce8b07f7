"""The reference: pages written from the specification, the signatures and docstrings of components, and the parser."""

from __future__ import annotations

import argparse
import inspect
import re
import typing
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pydantic
import yaml
from pydantic.fields import FieldInfo

from treadle.check.structure import list_models
from treadle.cli.parser import build_parser
from treadle.config.compose import Composed, compose
from treadle.experiment import spec
from treadle.experiment.stages import LEARNER_STAGES, STAGES, Stage
from treadle.explain.explanation import Explanation
from treadle.explain.meanings import (
    NO_DEFAULT,
    Meaning,
    describe_argument,
    describe_limits,
    find_meaning,
    list_kinds,
    read_default,
)
from treadle.explain.spec_types import join_metadata
from treadle.metrics.registry import METRICS
from treadle.sql.expressions import AGGREGATES, ROW_WISE
from treadle.targets.components import Component, list_components
from treadle.targets.docstrings import read_words
from treadle.targets.injected import list_context
from treadle.targets.signatures import Parameter

ROOT = Path(__file__).parents[1]
NAME = "<name>"  # stands for a name of the user's in a key
EXAMPLES = ("data", "features", "model")  # groups whose values in conf/ belong to an experiment: no defaults
PLACES = {
    "model": "Models",
    "schedule.optimizer": "Optimizers",
    "schedule.lr_schedule": "Learning-rate schedules",
    "loss.function": "Losses",
    "augmentation": "Augmentations",
    f"evaluation.checks.{NAME}.function": "Checks of an evaluation",
    f"features.blocks.{NAME}.steps.{NAME}": "Transforms",
}


def write_pages(folder: Path) -> None:
    """Write every page of the reference that is not written by hand; unchanged files stay as they are."""
    pages = {
        "commands": write_commands(),
        "configuration": write_configuration(),
        "components": write_components(),
        "sql": write_sql(),
        "metrics": write_metrics(),
    }
    for name, text in pages.items():
        file = folder / f"{name}.md"
        if not file.is_file() or file.read_text(encoding="utf-8") != text:
            file.write_text(text, encoding="utf-8")


# --- Markdown -----------------------------------------------------------------------------------------


def make_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table without the columns in which nothing stands."""
    used = [index for index in range(len(head)) if any(row[index] for row in rows)]
    lines = [[head[index] for index in used], ["---"] * len(used), *([row[index] for index in used] for row in rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def code(value: Any) -> str:
    """A value as it is written in YAML, in a cell of a table."""
    text = (
        yaml.safe_dump(value, default_flow_style=True, allow_unicode=True, width=10_000).removesuffix("...\n").strip()
    )
    return f"`{text}`".replace("|", "\\|")


def prose(text: str) -> str:
    """A sentence in a cell of a table or a paragraph; reST's literals become Markdown's."""
    text = re.sub(r":\w+:`~?([^`]+)`", r"`\1`", text.replace("``", "`"))
    return text.replace("|", "\\|").replace("<", "&lt;").replace("*", "\\*")


def head(title: str, words: str) -> str:
    """The first lines of a page."""
    return f"<!-- Written by docs/generate.py. -->\n# {title}\n\n{words}\n"


# --- commands -----------------------------------------------------------------------------------------


def write_commands() -> str:
    """Every verb, with its arguments and options, from the parser."""
    parser = build_parser()
    parts = [
        head("Commands", "Every verb takes `--help`. Exit codes: see [files and exit codes](files.md#exit-codes).")
    ]
    (verbs,) = [action for action in parser._actions if isinstance(action, argparse._SubParsersAction)]  # noqa: SLF001
    for name, verb in verbs.choices.items():
        usage = " ".join(verb.format_usage().removeprefix("usage: ").replace("[-h] [--traceback] ", "").split())
        rows = [_describe_option(a) for a in verb._actions if a.dest not in {"help", "traceback"}]  # noqa: SLF001
        table = make_table(("Argument", "Meaning", "Choices"), [row for row in rows if row])
        parts.append(f"## treadle {name}\n\n{prose(verb.description or '')}\n\n```text\n{usage}\n```\n\n{table}")
    return "\n".join(parts)


def _describe_option(action: argparse.Action) -> tuple[str, str, str] | None:
    if action.help == argparse.SUPPRESS:
        return None
    names = ", ".join(action.option_strings) or str(action.metavar or action.dest)
    takes = f" {action.metavar}" if action.option_strings and action.metavar else ""
    choices = ", ".join(f"`{choice}`" for choice in action.choices or ())
    return f"`{names}{takes}`".replace("|", "\\|"), prose(action.help or ""), choices


# --- keys ---------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Section:
    """A part of an experiment that holds keys."""

    key: str  # dotted; empty for the whole
    model: type[pydantic.BaseModel]
    kind: str = ""  # the value of `by` that chooses it
    is_of_learner: bool = False  # of an experiment that has a learner in place of a table
    around: tuple[tuple[str, str], ...] = ()  # the sections that hold it and have a kind: their keys and kinds

    @property
    def values(self) -> dict[str, Any]:
        """Values by which its keys are found."""
        if self.key.startswith("model"):
            return {"model": {name: {} for name in ("members", "candidates") if name in _find_model(self).model_fields}}
        values: dict[str, Any] = {"learner": {}} if self.is_of_learner else {}
        for key, kind in (*self.around, (self.key, self.kind)):
            section = values
            for part in key.split(".") if key else []:
                section = section.setdefault(part, {})
            section.update({"by": kind} if kind else {})
        return values

    @property
    def fields(self) -> dict[str, FieldInfo]:
        """Its keys that a configuration may hold."""
        without = spec.Experiment.model_fields if self.is_of_learner else spec.RECORDS
        return {name: f for name, f in self.model.model_fields.items() if self.key or name not in without}

    @property
    def inner(self) -> list[Section]:
        """The sections inside it, in order."""
        groups = _SECTIONS if issubclass(self.model, spec.Member) else ()  # which are described by themselves
        fields = {name: f for name, f in self.fields.items() if name not in groups}
        found = ((name, *pair) for name, f in fields.items() for pair in _list_models(join_metadata(f)))
        around = (*self.around, (self.key, self.kind)) if self.kind else self.around
        return [
            Section(f"{self.key}.{name}{step}".lstrip("."), m, "".join(list_kinds(m)), self.is_of_learner, around)
            for name, step, m in found
        ]


def _list_models(annotation: Any) -> Iterator[tuple[str, type[pydantic.BaseModel]]]:
    """The models that may stand at a key, or in each entry of it, with the step from the key to them."""
    yield from (("", model) for model in list_models(annotation))
    bare = typing.get_args(annotation)[0] if typing.get_origin(annotation) is typing.Annotated else annotation
    if typing.get_origin(bare) in {dict, list}:
        step = f".{NAME}" if typing.get_origin(bare) is dict else ".0"
        yield from ((step, model) for model in list_models(typing.get_args(bare)[-1]))


# The heading of each section; where a section has several kinds, that of the first.
_PLACES = {spec.Blend: ", a blend", spec.ModelRule: ", a rule"}
_ANCHORS = {
    section.key: f"{section.key}-by-{section.kind}"
    if section.kind
    else f"{section.key}{_PLACES.get(section.model, '')}".replace(", ", "-").replace(" ", "-")
    for section in reversed(Section("", spec.Experiment).inner)
}


def _find_model(section: Section) -> type[pydantic.BaseModel]:
    """The section in place of a model that this one is, or is a part of."""
    return spec.ModelRule if section.model in (spec.ModelRule, spec.Candidate, spec.Cost) else spec.Blend


_SECTIONS = {"data", "features", "schedule", "loss"}
_SECTIONS |= _ANCHORS.keys()


def write_configuration() -> str:
    """Every key of an experiment, section by section."""
    words = """\
Every key that an experiment may hold. `treadle explain KEY` prints the same for a key of your experiment, with its
value and every place that sets it. *Default* is the value in `conf/` where no option of a group is chosen; a key
without one belongs to each experiment. Names in angle brackets are yours; a target is a node with a `_target_` (see
[components](components.md))."""
    whole = (Section("", spec.Experiment), Section("", spec.LearnerExperiment, is_of_learner=True))
    return "\n".join([head("Configuration", words), *(text for section in whole for text in _write_sections(section))])


_WHOLE = {False: "The experiment", True: "An experiment of a learner"}  # of which the keys that a table lacks
_OF_LEARNER = spec.LearnerExperiment.model_fields.keys() - spec.Experiment.model_fields.keys()


def _write_sections(section: Section) -> Iterator[str]:
    rows = [_describe_key(section, name) for name in section.fields]
    key = section.key.replace(".0", ".<n>")
    kind = f" by {section.kind}" if section.kind else _PLACES.get(section.model, "")
    title = f"`{key}`{kind}" if key else _WHOLE[section.is_of_learner]
    words = prose(_first_paragraph(section.model))
    table = make_table(("Key", "Type", "Default", "Meaning"), rows)
    level = "##" if section.key.count(".") == 0 else "###"
    yield f"{level} {title}\n\n{words}\n\n{_describe_readers(section.key)}\n{table}"
    for inner in section.inner:
        yield from _write_sections(inner)


def _describe_key(section: Section, name: str) -> tuple[str, str, str, str]:
    key = f"{section.key}.{name}".lstrip(".")
    meaning = find_meaning(key, section.values)
    assert meaning is not None, key
    limits = describe_limits(meaning.type)
    kind = f"`{meaning.type}`".replace("|", "\\|") + (f", {limits}" if limits else "")
    unit = f" [{meaning.unit}]" if meaning.unit else ""
    own = _list_readers(key)
    extra = f" (read by {', '.join(own) or 'no stage'})" if own != _list_readers(section.key) and section.key else ""
    shown = f"[`{name}`](#{_ANCHORS[name]})" if not section.key and name in _ANCHORS else f"`{name}`"
    return shown, kind, _find_default(key, meaning), prose(f"{meaning.text}{unit}{extra}")


def _first_paragraph(model: type[pydantic.BaseModel]) -> str:
    return " ".join(inspect.cleandoc(model.__doc__ or "").split("\n\n", 1)[0].split())


def _find_default(key: str, meaning: Meaning) -> str:
    """The value of conf/ where nothing is chosen, else that of the specification."""
    group = key.partition(".")[0]
    own = (f"conf/{group}/", "conf/config.yaml") if group not in EXAMPLES else ()
    found = (
        [s.value for s in _compose_defaults().origins.trace(key) if str(s.place.file).startswith(own)] if own else []
    )
    if found and not isinstance(found[-1], dict):
        return code(found[-1]) if found[-1] != "???" else ""
    return "" if meaning.default is NO_DEFAULT or meaning.default is ... else code(meaning.default)


@cache
def _compose_defaults() -> Composed:
    return compose(overrides=["schedule=default"], root=ROOT)


def _list_readers(key: str) -> list[str]:
    """The stages whose slices hold the key, or a part of it."""
    stages = LEARNER_STAGES if key.partition(".")[0] in _OF_LEARNER else STAGES
    return Explanation(key, None, None, Meaning(), [], all_stages=stages).stages


def _describe_readers(key: str) -> str:
    """Which stages read a section, and which run again after a change of it."""
    if not key:
        return ""
    readers = _list_readers(key)
    if not readers:
        return "Read by no stage: a change reruns nothing.\n"
    again = list(readers)
    again += [stage.name for stage in STAGES if stage.name not in again and set(_list_sources(stage)) & set(readers)]
    return f"Read by {', '.join(readers)}. A change reruns {', '.join(again)}.\n"


def _list_sources(stage: Stage) -> Iterator[str]:
    """The stages whose outputs a stage reads, and those before them."""
    for name in stage.reads:
        yield name
        yield from _list_sources(next(other for other in STAGES if other.name == name))


# --- components ---------------------------------------------------------------------------------------


def write_components() -> str:
    """Every component that can stand at a place of the configuration, with its arguments."""
    words = """\
What a `_target_` may name. Your own packages add to it (see [own models](../how-to/own-model.md) and
[own transforms and losses](../how-to/own-transform-or-loss.md)); `treadle schema` offers them in your editor, too.
The last column of a table holds the values of the options in `conf/`."""
    return "\n".join([head("Components", words), *map(_write_place, PLACES)])


def _write_place(key: str) -> str:
    prefixes = _compose_defaults().values["targets"]
    components = list_components(key, prefixes=prefixes, root=ROOT)
    shipped = [c for c in components if c.path.startswith("treadle.") or c.path in _read_uses()]
    others = ", ".join(f"`{c.path}`" for c in components if c not in shipped)
    handed = ", ".join(f"`{name}`" for name in sorted(list_context(key)))
    words = f"At `{key}`. Treadle hands over {handed}.\n" + (
        f"\nAlso, with their own arguments: {others}.\n" if others else ""
    )
    return "\n".join([f"## {PLACES[key]}\n", words, *(_write_component(c, list_context(key)) for c in shipped)])


def _write_component(component: Component, handed: set[str]) -> str:
    uses = _read_uses().get(component.path, {})
    parameters = [p for name, p in component.signature.parameters.items() if name not in handed]
    rows = [_describe_argument(component.path, p, uses) for p in parameters]
    last = f"With `{next(iter(uses))}`" if len(uses) == 1 else "In `conf/`"
    table = make_table(("Argument", "Type", "Default", "Meaning", last), rows) if rows else "Takes no arguments.\n"
    words = prose(read_words(component.path).summary)
    return f"### {component.path.rpartition('.')[2]}\n\n`{component.path}`: {words}\n\n{table}"


def _describe_argument(path: str, parameter: Parameter, uses: dict[str, dict[str, Any]]) -> tuple[str, ...]:
    text, unit = describe_argument(path, parameter.name)
    limits = describe_limits(parameter.type)
    kind = f"`{parameter.type}`".replace("|", "\\|") + (f", {limits}" if limits else "")
    default = read_default(parameter)
    given = {option: node[parameter.name] for option, node in uses.items() if parameter.name in node}
    option_of = {option: f" ({option})" if len(uses) > 1 else "" for option in given}
    values = ", ".join(f"{code(v)}{option_of[option]}" for option, v in given.items() if not isinstance(v, dict))
    shown = "" if default is NO_DEFAULT else code(default)
    return f"`{parameter.name}`", kind, shown, prose(f"{text} [{unit}]" if unit else text), values


@cache
def _read_uses() -> dict[str, dict[str, dict[str, Any]]]:
    """The nodes of conf/ by target and by option."""
    uses: dict[str, dict[str, dict[str, Any]]] = {}
    for file in sorted((ROOT / "conf").glob("*/*.yaml")):
        option = file.relative_to(ROOT / "conf").with_suffix("").as_posix().replace("/", "=")
        for node in _list_nodes(yaml.safe_load(file.read_text(encoding="utf-8"))):
            uses.setdefault(node["_target_"], {})[option] = node
    return uses


def _list_nodes(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, dict) and isinstance(value.get("_target_"), str):
        yield value
    if isinstance(value, dict | list):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from _list_nodes(inner)


# --- SQL and metrics ----------------------------------------------------------------------------------


def write_sql() -> str:
    """What an expression may call."""
    words = """\
Expressions of `data` and `features` are row-wise SQL with the meaning that it has in DuckDB and PostgreSQL (see
[SQL semantics](../explanation/sql.md)): operators, `CASE`, `CAST`, `EXTRACT`, `INTERVAL`, `LIKE`, `BETWEEN`, `IN`,
and the functions below. Sub-queries, windows, clocks and random numbers are refused."""
    names = ", ".join(f"`{name}`" for name in ROW_WISE)
    over = ", ".join(f"`{name}`" for name in AGGREGATES)
    parts = [head("SQL functions", words), "## Of one row\n", f"{names}\n", "## Of the rows of a window\n"]
    return "\n".join([*parts, f"In `history`: {over}.\n"])


def write_metrics() -> str:
    """The metrics of each task."""
    words = """\
Names as they stand in `metrics.json`, in `schedule.monitor` and in `evaluation.metric`. `loss` is what training
minimises, and can be monitored for every task."""
    parts = [head("Metrics", words)]
    for task, metrics in METRICS.items():
        rows = [(f"`{m.name}`", m.title, "higher" if m.higher_is_better else "lower") for m in metrics]
        parts.append(f"## {task}\n\n{make_table(('Name', 'Title', 'Better'), rows)}")
    return "\n".join(parts)
