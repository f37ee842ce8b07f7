"""Check: every mistake of a composed configuration at once, before anything heavy is imported."""

from __future__ import annotations

import re
import types
import typing
from collections.abc import Iterator
from typing import Any

import pydantic

from treadle.experiment.compose import Composed
from treadle.experiment.problems import ConfigError, Problem, nearest
from treadle.experiment.signatures import Parameter, UnknownTargetError, read_signature
from treadle.experiment.spec import Experiment, Table
from treadle.schema import LABEL, find_metric, monitor_names

# Arguments that Treadle itself hands to the target at a place; a configuration must not give them.
CONTEXT: dict[str, tuple[str, ...]] = {
    r"model": ("num_numeric", "cardinalities", "num_outputs"),
    r"features\.blocks\.[^.]+\.steps\.[^.]+": ("columns",),
    r"schedule\.optimizer": ("params",),
    r"schedule\.lr_schedule": ("num_steps",),
}


def check(composed: Composed) -> Experiment:
    """The typed experiment, or every problem of the configuration.

    Raises:
        ConfigError: with all problems, each with key, place and fix.
    """
    problems = list(composed.problems)
    reported = {problem.key for problem in problems}
    experiment: Experiment | None = None
    try:
        experiment = Experiment.model_validate(composed.values)
    except pydantic.ValidationError as error:
        shape = (_describe(e, composed) for e in error.errors(include_url=False))
        problems += [p for p in shape if p.key not in reported]
    problems += _check_targets(composed)
    if experiment is not None:
        problems += _check_names(experiment, composed)
    if problems:
        raise ConfigError(problems)
    assert experiment is not None
    return experiment


# --- shape --------------------------------------------------------------------------------------------


def _describe(error: Any, composed: Composed) -> Problem:
    key = _dotted(error["loc"], composed.values)
    place = composed.locate(key)
    if error["type"] == "extra_forbidden":
        name = str(error["loc"][-1])
        return Problem(key, f"unknown key {name!r}", nearest(name, _keys_at(error["loc"][:-1])), place)
    if error["type"] == "missing":
        return Problem(key, "this key is required", f"add {key}", place)
    return Problem(key, f"{error['msg']}; found {error['input']!r}", "", place)


def _dotted(location: tuple[Any, ...], values: Any) -> str:
    """The dotted key of a pydantic location, which also names the member of a union."""
    parts = []
    for index, part in enumerate(location):
        inside = (isinstance(values, dict) and part in values) or (isinstance(values, list) and isinstance(part, int))
        if inside:
            values = values[part]
        if inside or (index == len(location) - 1 and isinstance(values, dict)):
            parts.append(str(part))
    return ".".join(parts)


def _keys_at(location: tuple[Any, ...]) -> list[str]:
    """The keys that the specification knows at a location."""
    shape: Any = Experiment
    for part in location:
        if isinstance(shape, type) and issubclass(shape, pydantic.BaseModel):
            shape = shape.model_fields[part].annotation
        shape = _step_into(shape, part)
    models = [m for m in _members(shape) if isinstance(m, type) and issubclass(m, pydantic.BaseModel)]
    return sorted({name for model in models for name in model.model_fields})


def _members(shape: Any) -> list[Any]:
    origin = typing.get_origin(shape)
    if origin is typing.Annotated:
        return _members(typing.get_args(shape)[0])
    if origin in {typing.Union, types.UnionType}:
        return [m for arg in typing.get_args(shape) for m in _members(arg)]
    return [shape]


def _step_into(shape: Any, part: Any) -> Any:
    for member in _members(shape):
        if typing.get_origin(member) in {dict, list} and len(_members(shape)) == 1:
            field_type = typing.get_args(member)[-1]
            return field_type if not isinstance(field_type, str) else shape
        by = getattr(member, "model_fields", {}).get("by")
        if by is not None and part in typing.get_args(by.annotation):
            return member
    return shape


# --- targets ------------------------------------------------------------------------------------------


def _check_targets(composed: Composed) -> Iterator[Problem]:
    allowed = composed.values.get("targets") or []
    for key, node in _find_targets(composed.values, ""):
        for name, rule, fix in _check_target(key, node, allowed):
            dotted = f"{key}.{name}" if name else key
            yield Problem(dotted, rule, fix, composed.locate(dotted))


def _find_targets(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield key, node
        for name, value in node.items():
            yield from _find_targets(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _find_targets(value, f"{key}.{index}")


def _check_target(key: str, node: dict[str, Any], allowed: list[str]) -> Iterator[tuple[str, str, str]]:
    path = node["_target_"]
    if not any(path.startswith(prefix) for prefix in allowed):
        rule = f"{path!r} is outside the allowed targets"
        yield (
            "_target_",
            rule,
            f"allowed prefixes: {', '.join(allowed)}; add yours to `targets` in conf/config.yaml",
        )
        return
    try:
        signature = read_signature(path)
    except UnknownTargetError as error:
        hint = nearest(error.missing, error.options)
        yield "_target_", str(error), hint or "a package of your own must lie in the project's folder, or be installed"
        return
    given = {name for name in node if name not in {"_target_", "_partial_"}}
    context = {name for form, names in CONTEXT.items() if re.fullmatch(form, key) for name in names}
    for name in sorted(given & context):
        yield name, f"{name!r} is handed to {path} by Treadle and cannot be configured", "remove it"
    takes = signature.parameters
    for name in sorted(given - context - takes.keys() if not signature.open else ()):
        yield name, f"{path} does not take {name!r}", nearest(name, takes.keys() - context)
    for parameter in takes.values():
        if parameter.required and parameter.name not in given | context and "_partial_" not in node:
            yield "", f"{path} needs the argument {parameter.name!r}", f"add {key}.{parameter.name}"
    for name in sorted(given & takes.keys()):
        rule = _check_type(takes[name], node[name])
        if rule:
            yield name, f"{path}: {rule}", ""


_SIMPLE = {
    "int": lambda v: isinstance(v, int) and not isinstance(v, bool),
    "float": lambda v: isinstance(v, int | float) and not isinstance(v, bool),
    "bool": lambda v: isinstance(v, bool),
    "str": lambda v: isinstance(v, str),
    "None": lambda v: v is None,
}


def _check_type(parameter: Parameter, value: Any) -> str:
    """Empty when the value fits the annotation, or when the annotation cannot be judged statically."""
    text = parameter.annotation
    literal = re.fullmatch(r"(?:typing\.)?Literal\[(.*)\]", text)
    if literal:
        options = [o.strip().strip("'\"") for o in literal[1].split(",")]
        return "" if str(value) in options else f"{parameter.name} is {value!r}; {nearest(str(value), options)}"
    members = [member.strip() for member in text.split("|")]
    if not all(member in _SIMPLE for member in members) or isinstance(value, dict):
        return ""
    if any(_SIMPLE[member](value) for member in members):
        return ""
    return f"{parameter.name} must be {text}, found {value!r}"


# --- names that refer to names ------------------------------------------------------------------------


def _check_names(experiment: Experiment, composed: Composed) -> Iterator[Problem]:
    for key, rule, fix in (
        *_check_metrics(experiment),
        *_check_tables(experiment),
        *_check_columns(experiment),
        *_check_moments(experiment),
    ):
        yield Problem(key, rule, fix, composed.locate(key))


Finding = tuple[str, str, str]  # key, rule, fix


def _check_metrics(experiment: Experiment) -> Iterator[Finding]:
    task = experiment.data.task
    for key, name in (
        ("schedule.monitor", experiment.schedule.monitor),
        ("evaluation.metric", experiment.evaluation.metric),
    ):
        if find_metric(task=task, name=name) is None:
            yield key, f"{name!r} is not a metric of the task {task!r}", nearest(name, monitor_names(task))


def _check_tables(experiment: Experiment) -> Iterator[Finding]:
    tables = experiment.data.tables
    for key, name in _table_references(experiment):
        if name not in tables:
            yield key, f"no table {name!r}", nearest(name, tables)


def _table_references(experiment: Experiment) -> Iterator[tuple[str, str]]:
    examples = experiment.data.examples
    yield "data.examples.table", examples.table
    for name, table in experiment.data.tables.items():
        for join_name, join in table.joins.items():
            yield f"data.tables.{name}.joins.{join_name}.table", join.table
    for name, asof in examples.asof.items():
        yield f"data.examples.asof.{name}.table", asof.table
    for name, history in examples.history.items():
        yield f"data.examples.history.{name}.table", history.table


def _check_columns(experiment: Experiment) -> Iterator[Finding]:
    """Columns that are named, not computed; expressions are judged when they run."""
    data = experiment.data
    if data.examples.table not in data.tables:
        return
    own = _list_columns(data.tables[data.examples.table])
    for index, name in enumerate(data.examples.known):
        if name not in own:
            yield f"data.examples.known.{index}", f"no column {name!r} in {data.examples.table!r}", nearest(name, own)
    column = getattr(data.split, "column", None)
    if column is not None and column not in {*own, LABEL}:
        yield "data.split.column", f"no column {column!r} in {data.examples.table!r}", nearest(column, {*own, LABEL})
    for name, table in data.tables.items():
        for index, column in enumerate(table.key):
            if column not in table.columns:
                yield f"data.tables.{name}.key.{index}", f"no column {column!r}", nearest(column, table.columns)


def _list_columns(table: Table) -> set[str]:
    return {*table.columns, *(column for join in table.joins.values() for column in join.columns), *table.derive}


def _check_moments(experiment: Experiment) -> Iterator[Finding]:
    """Looking back needs a moment to look back from, and tables that say when a row is known."""
    data = experiment.data
    looked_up = [asof.table for asof in data.examples.asof.values()]
    looked_up += [history.table for history in data.examples.history.values()]
    if data.examples.predict_at is None:
        if looked_up:
            yield "data.examples.predict_at", "must be given: `asof` and `history` look back from it", ""
        if data.split.by == "time":
            yield "data.examples.predict_at", "must be given: the split is by time", ""
    for table in dict.fromkeys(looked_up):
        if table in data.tables and data.tables[table].known_at is None:
            yield f"data.tables.{table}.known_at", "must be given: `asof` and `history` look it up by it", ""
    if data.split.by == "time" and data.split.valid_from >= data.split.test_from:
        rule = f"{data.split.valid_from!r} must be before test_from {data.split.test_from!r}"
        yield "data.split.valid_from", rule, ""
