"""Columns and expressions of an experiment, in the order of the stages: names, types and leakage.

No rows are read. Every expression runs on one row of nulls, so that the engine itself reports unknown columns and
types that do not fit; the resulting types are the input of the next expression.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import polars as pl

from treadle.check.first_steps import check_order, find_misfit
from treadle.check.leaks import find_label_namesakes, find_leaks, find_same_tables
from treadle.data.casting import DTYPES
from treadle.experiment.spec import AsOf, Data, Experiment, History, Table
from treadle.hints import NO_HINT, Hint, nearest
from treadle.lineage.graph import Graph, trace_experiment
from treadle.problems import Problem, Span
from treadle.schema import KNOWN_AT, LABEL, PREDICT_AT, ROW, SHARES, STEP, WEIGHT
from treadle.sql.expressions import (
    ExpressionError,
    limit_derived,
    list_columns,
    parse_expression,
    run,
    split_aggregate,
)
from treadle.tasks import TRAITS

RESERVED = (ROW, LABEL, WEIGHT, SHARES, PREDICT_AT, KNOWN_AT)  # columns that the stages add
_MADE = ("data.examples.asof.", "data.examples.history.", "features.derive.")


@dataclass
class Walk:
    """One row of nulls for each table, then for the examples, and the problems found so far."""

    tables: dict[str, pl.DataFrame] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def find(self, key: str, rule: str, fix: str = "", *, hint: Hint = NO_HINT, span: Span | None = None) -> None:
        """Note a problem."""
        self.problems.append(Problem(key, rule, fix, hint=hint, span=span))

    def run(self, text: str, rows: pl.DataFrame, *, key: str, shift: int = 0, inner: str | None = None) -> pl.Series:
        """The expression's value; a null of unknown type if it is invalid, or reads an invalid one."""
        expression = inner if inner is not None else text
        try:
            parse_expression(expression)
            if any(rows.schema.get(column) == pl.Null() for column in list_columns(expression)):
                return _unknown()
            value = run(expression, rows)
            return value.cast(pl.Int64) if value.dtype == pl.Int128() else value  # as the stages will, where it fits
        except ExpressionError as error:
            self.find(key, error.fault.rule, hint=error.fault.hint, span=Span(text, error.fault.offset + shift))
            return _unknown()

    def add(self, rows: pl.DataFrame, name: str, value: pl.Series, *, key: str) -> pl.DataFrame:
        """The row with one more column; a name that exists already, or that is reserved, is refused."""
        fault = find_name_fault(name)
        if fault:
            self.find(key, fault, "rename the column")
        if name in rows.columns:
            self.find(key, f"the column {name!r} exists already", "rename the new one")
            return rows
        return rows.with_columns(value.alias(name))


def find_name_fault(name: str) -> str:
    """Why no column may have this name; empty if one may."""
    if not name.strip():
        return "a column needs a name"
    pattern = name == "*" or (name.startswith("^") and name.endswith("$"))  # to Polars
    return f"the name {name!r} is reserved" if name in RESERVED or name.startswith("__") or pattern else ""


def check_columns(experiment: Experiment) -> list[Problem]:
    """Names, types and expressions of the whole experiment."""
    walk = Walk()
    examples = walk_data(walk, experiment.data)
    if examples is not None:
        _walk_features(walk, experiment, examples)
    return walk.problems


def walk_data(walk: Walk, data: Data) -> pl.DataFrame | None:
    """One row of nulls of the examples; None if their table does not exist."""
    raw = {
        name: _null_row({c: DTYPES[s.dtype] for c, s in table.columns.items()}) for name, table in data.tables.items()
    }
    for name, table in data.tables.items():
        walk.tables[name] = _walk_table(walk, name, table, raw)
    return _walk_examples(walk, data) if data.examples.table in walk.tables else None


def walk_derived(walk: Walk, derive: Mapping[str, str], rows: pl.DataFrame, *, key: str) -> pl.DataFrame:
    """The rows with new columns, each of which may read the ones before it."""
    for column, text in derive.items():
        rows = walk.add(rows, column, walk.run(text, rows, key=f"{key}.{column}"), key=f"{key}.{column}")
    if not any(problem.key.startswith(f"{key}.") for problem in walk.problems):  # else each has its own message
        try:
            limit_derived(derive)
        except ExpressionError as error:
            walk.find(key, str(error))
    return rows


def _unknown() -> pl.Series:
    """The value of an invalid expression: expressions that read it are not checked."""
    return pl.Series([None], dtype=pl.Null)


def _null_row(schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    return pl.DataFrame({name: [None] for name in schema}, schema=dict(schema))


# --- tables -------------------------------------------------------------------------------------------


def _walk_table(walk: Walk, name: str, table: Table, raw: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    key, rows = f"data.tables.{name}", raw[name]
    for index, column in enumerate(table.key):
        if column not in table.columns:
            walk.find(f"{key}.key.{index}", f"no column {column!r} in {name!r}", hint=nearest(column, table.columns))
    for join_name, join in table.joins.items():
        place = f"{key}.joins.{join_name}"
        if join.table not in raw:
            walk.find(f"{place}.table", f"no table {join.table!r}", hint=nearest(join.table, raw))
            rows = rows.with_columns(_unknown().alias(column) for column in join.columns)
            continue
        other = raw[join.table]
        _check_keys(walk, join.by, rows, other, key=f"{place}.by", here=name, there=join.table)
        for column, text in join.columns.items():
            value = walk.run(text, other, key=f"{place}.columns.{column}")
            rows = walk.add(rows, column, value, key=f"{place}.columns.{column}")
    for column, text in table.derive.items():
        value = walk.run(text, rows, key=f"{key}.derive.{column}")
        rows = walk.add(rows, column, value, key=f"{key}.derive.{column}")
    if table.known_at is not None:
        _check_moment(walk, walk.run(table.known_at, rows, key=f"{key}.known_at"), key=f"{key}.known_at")
    return rows


def _check_keys(
    walk: Walk, by: Mapping[str, str], rows: pl.DataFrame, other: pl.DataFrame, *, key: str, here: str, there: str
) -> None:
    for own, theirs in by.items():
        place = f"{key}.{own}"
        if own not in rows.columns:
            walk.find(place, f"no column {own!r} in {here!r}", hint=nearest(own, rows.columns))
        elif theirs not in other.columns:
            walk.find(place, f"no column {theirs!r} in {there!r}", hint=nearest(theirs, other.columns))
        elif rows.schema[own] != other.schema[theirs] and pl.Null() not in {rows.schema[own], other.schema[theirs]}:
            types = [name_type(rows.schema[own]), name_type(other.schema[theirs])]
            rule = f"keys must have the same type: {own!r} is {types[0]} here, {theirs!r} is {types[1]} in {there!r}"
            walk.find(place, rule, "declare the same dtype for both")


def _check_moment(walk: Walk, value: pl.Series, *, key: str) -> None:
    if not isinstance(value.dtype, pl.Datetime | pl.Date | pl.Null):
        fix = "derive it from a column of dtype datetime or date"
        if value.dtype.is_integer():
            fix += "; numbers that count from 1970 are one by {dtype: datetime, epoch: s}, or ms, us, ns"
        walk.find(key, f"must be a date or datetime, found {name_type(value.dtype)}", fix)


# --- examples -----------------------------------------------------------------------------------------


def _walk_examples(walk: Walk, data: Data) -> pl.DataFrame:
    spec = data.examples
    rows = walk.tables[spec.table]
    if data.forecast is not None and STEP not in rows.columns:
        rows = rows.with_columns(pl.lit(None, dtype=pl.Int64).alias(STEP))
        rows = walk_derived(walk, data.forecast.derive, rows, key="data.forecast.derive")
    label = _walk_label(walk, rows, data)
    for name, text in ({} if data.labels is None else data.labels.rules).items():
        key = f"data.labels.rules.{name}"
        _check_vote(walk, walk.run(text, rows, key=key), data, key=key)
    if spec.predict_at is not None:
        _check_moment(
            walk, walk.run(spec.predict_at, rows, key="data.examples.predict_at"), key="data.examples.predict_at"
        )
    if spec.weight is not None:
        weight = walk.run(spec.weight, rows, key="data.examples.weight")
        if not (weight.dtype.is_numeric() or weight.dtype == pl.Null()):
            walk.find("data.examples.weight", f"must be a number, found {name_type(weight.dtype)}")
    with_label = rows.with_columns(label.alias(LABEL)) if LABEL not in rows.columns else rows
    for reason, text in spec.exclude.items():
        _check_condition(walk, text, with_label, key=f"data.examples.exclude.{reason}")
    examples = _take_known(walk, rows, data)
    for name, asof in spec.asof.items():
        examples = _walk_past(walk, asof, rows, examples, key=f"data.examples.asof.{name}", table=spec.table)
    for name, history in spec.history.items():
        examples = _walk_past(walk, history, rows, examples, key=f"data.examples.history.{name}", table=spec.table)
    return examples


def _walk_label(walk: Walk, rows: pl.DataFrame, data: Data) -> pl.Series:
    """The label, or the struct of several."""
    label = data.examples.label
    found = {place: walk.run(text, rows, key=place) for place, text in data.examples.labels.items()}
    for place, values in found.items():
        _check_label(walk, values, data, key=place)
    if isinstance(label, str):
        return next(iter(found.values()))
    return pl.DataFrame([values.alias(name) for name, values in zip(label, found.values(), strict=True)]).to_struct()


def _check_label(walk: Walk, label: pl.Series, data: Data, *, key: str) -> None:
    dtype = label.dtype
    if TRAITS[data.answer].is_value and (dtype == pl.Boolean() or not (dtype.is_numeric() or dtype == pl.Null())):
        fix = "set data.task to binary" if dtype == pl.Boolean() else "set data.task to multiclass, or make it a number"
        walk.find(key, f"the label of a {data.answer} must be a number, found {name_type(dtype)}", fix)
    decides = dtype.is_integer() or dtype in {pl.Boolean(), pl.Null(), pl.Float64()}
    if TRAITS[data.answer].activation == "sigmoid" and not decides:
        fix = "compare it with the positive value, such as income = '>50K'"
        walk.find(key, f"a {data.answer} label must be true or false, found {name_type(dtype)}", fix)


def _check_vote(walk: Walk, vote: pl.Series, data: Data, *, key: str) -> None:
    dtype = vote.dtype
    if data.answer == "binary" and not (dtype.is_numeric() or dtype in {pl.Boolean(), pl.Null()}):
        fix = "such as CASE WHEN age < 25 THEN FALSE END, which abstains from 25 on"
        walk.find(key, f"a vote must be true, false or NULL, found {name_type(dtype)}", fix)


def _check_condition(walk: Walk, text: str, rows: pl.DataFrame, *, key: str) -> None:
    value = walk.run(text, rows, key=key)
    if value.dtype not in {pl.Boolean(), pl.Null()}:
        walk.find(key, f"a condition must be true or false, found {name_type(value.dtype)}", "write a comparison")


def _take_known(walk: Walk, rows: pl.DataFrame, data: Data) -> pl.DataFrame:
    present = {values.name: values for values in rows.get_columns()}
    examples: dict[str, pl.Series] = {}
    for index, column in enumerate(data.examples.known):
        key = f"data.examples.known.{index}"
        if column not in present:
            walk.find(key, f"no column {column!r} in {data.examples.table!r}", hint=nearest(column, present))
        elif column in examples:
            walk.find(key, f"{column!r} is listed twice", "remove one of them")
        else:
            examples[column] = _unify(present[column])
    return pl.DataFrame(list(examples.values()))


def _walk_past(
    walk: Walk, look: AsOf | History, rows: pl.DataFrame, examples: pl.DataFrame, *, key: str, table: str
) -> pl.DataFrame:
    if look.table not in walk.tables:
        walk.find(f"{key}.table", f"no table {look.table!r}", hint=nearest(look.table, walk.tables))
        return examples.with_columns(_unknown().alias(column) for column in look.columns)
    other = walk.tables[look.table]
    _check_keys(walk, look.by, rows, other, key=f"{key}.by", here=table, there=look.table)
    for column, text in look.columns.items():
        place = f"{key}.columns.{column}"
        if isinstance(look, AsOf):
            value = walk.run(text, other, key=place)
        else:
            value = _run_aggregate(walk, text, other, key=place)
        examples = walk.add(examples, column, _unify(value), key=place)
    return examples


def _run_aggregate(walk: Walk, text: str, rows: pl.DataFrame, *, key: str) -> pl.Series:
    number = pl.Series([None], dtype=pl.Float64)
    try:
        function, inner, shift = split_aggregate(text)
    except ExpressionError as error:
        walk.find(key, error.fault.rule, hint=error.fault.hint, span=Span(text))
        return number
    if inner == "*":
        if function != "COUNT":
            walk.find(key, f"{function}(*) has no value to aggregate", "aggregate a column")
        return number
    value = walk.run(text, rows, key=key, shift=shift, inner=inner)
    if not (value.dtype.is_numeric() or value.dtype in {pl.Boolean(), pl.Null()}):
        walk.find(key, f"{function} aggregates numbers, found {name_type(value.dtype)}")
    return number


def _unify(value: pl.Series) -> pl.Series:
    """The types of the columns of examples, as the stage `prepare` writes them."""
    if value.dtype.is_integer():
        return value.cast(pl.Int64)
    return value.cast(pl.Float64) if value.dtype.is_float() or value.dtype.is_decimal() else value


# --- features -----------------------------------------------------------------------------------------


def _walk_features(walk: Walk, experiment: Experiment, rows: pl.DataFrame) -> None:
    features, data = experiment.features, experiment.data
    rows = walk_derived(walk, features.derive, rows, key="features.derive")
    declared = data.tables[data.examples.table].columns
    words = {name: name_type(dtype) for name, dtype in rows.schema.items()}
    words |= {name: declared[name].dtype for name in declared.keys() & set(data.examples.known) & words.keys()}
    for name, block in features.blocks.items():
        seen: set[str] = set()
        for index, column in enumerate(block.columns):
            key = f"features.blocks.{name}.columns.{index}"
            if column not in words:
                walk.find(
                    key,
                    f"no column {column!r} among those of the examples and the derived features",
                    hint=nearest(column, rows.columns),
                )
            elif column in seen:
                walk.find(key, f"{column!r} is listed twice in one block", "remove one of them")
            else:
                walk.problems += find_misfit(column, words[column], block, key=key)
            seen.add(column)
        walk.problems += check_order(name, block)


def name_type(dtype: pl.DataType) -> str:
    """A type by its name in contracts."""
    if dtype.is_integer():
        return "int"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    names = {pl.Boolean: "bool", pl.String: "str", pl.Binary: "image", pl.Null: "null"}
    names |= {pl.Date: "date", pl.Datetime: "datetime", pl.Time: "time"}
    return next((word for kind, word in names.items() if isinstance(dtype, kind)), str(dtype).lower())


# --- lineage ------------------------------------------------------------------------------------------


def check_leaks(experiment: Experiment, *, root: Path) -> list[Problem]:
    """Features that could leak the label, each with its path through the lineage."""
    data = experiment.data
    leaks = find_leaks(trace_experiment(experiment), data, same=find_same_tables(data, root=root))
    return [
        Problem(leak.key, f"{leak.path[0].name!r} depends on what is known only after the prediction: {leak}", leak.fix)
        for leak in leaks
    ]


def find_possible_leaks(experiment: Experiment, *, root: Path) -> Iterator[Problem]:
    """Looked-up columns that may hold the example's own label, which cannot be proved from the configuration."""
    data = experiment.data
    for node, source in find_label_namesakes(
        trace_experiment(experiment), data, same=find_same_tables(data, root=root)
    ):
        rule = f"{source!r} has the name of a column that the label is computed from"
        fix = "make sure that its table does not hold the examples' own rows: of another file they cannot be left out"
        yield Problem(node.key, rule, fix)


def find_unused(experiment: Experiment) -> Iterator[Problem]:
    """Tables and columns that nothing reads: valid, but worth a warning."""
    graph, data = trace_experiment(experiment), experiment.data
    read = _list_read(graph, data)
    looked_up = {join.table for table in data.tables.values() for join in table.joins.values()}
    looked_up |= {look.table for look in _list_lookups(data)}
    for name, table in data.tables.items():
        if name not in looked_up and name != data.examples.table:
            yield Problem(f"data.tables.{name}", "nothing reads this table", "remove it")
        else:
            made = [*table.derive, *(column for join in table.joins.values() for column in join.columns)]
            yield from _find_unused_columns(graph, read, [f"{name}.{column}" for column in made])
    made = [name for name, node in graph.nodes.items() if node.key.startswith(_MADE)]
    yield from _find_unused_columns(graph, read, made)


def _list_lookups(data: Data) -> list[AsOf | History]:
    return [*data.examples.asof.values(), *data.examples.history.values()]


def _list_read(graph: Graph, data: Data) -> set[str]:
    """Every column that another one, a key of a lookup or the split names."""
    own = data.examples.table
    read = {edge.source for node in graph.nodes.values() for edge in node.reads}
    read |= {f"{own}.{getattr(data.split, 'column', '')}"}
    for here, join in ((name, join) for name, table in data.tables.items() for join in table.joins.values()):
        read |= {f"{here}.{column}" for column in join.by} | {f"{join.table}.{column}" for column in join.by.values()}
    for look in _list_lookups(data):
        read |= {f"{own}.{column}" for column in look.by} | {f"{look.table}.{column}" for column in look.by.values()}
    return read


def _find_unused_columns(graph: Graph, read: set[str], names: list[str]) -> Iterator[Problem]:
    for name in names:
        if name not in read and name in graph.nodes:
            yield Problem(graph.nodes[name].key, f"nothing reads the column {name.partition('.')[2]!r}", "remove it")
