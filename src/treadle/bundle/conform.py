"""From given rows to a frame with the columns and the types of the training examples."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from treadle.bundle.breaches import to_text
from treadle.data.casting import DECODED, DTYPES, STRINGS, WORDS, cast_cells, lost_mark
from treadle.data.contract import describe_type, show_value
from treadle.errors import TreadleError
from treadle.experiment.spec import Column
from treadle.hints import nearest_given
from treadle.schema import ROW

Rows = pl.DataFrame | Mapping[str, Any] | Sequence[Mapping[str, Any]]  # a frame, one row, or a list of rows


def conform_rows(rows: Rows, columns: Mapping[str, Column], *, first: int = 0) -> pl.DataFrame:
    """The rows as a frame with these columns in their types, and the column `row` if they have one.

    Args:
        rows: as they were given.
        columns: how they are read.
        first: position of the first row, for errors.

    Raises:
        TreadleError: a column is missing, or cannot be read as its type.
    """
    if isinstance(rows, Mapping):
        rows = [rows]
    if not isinstance(rows, pl.DataFrame):
        names = None if rows else list(columns)
        rows = pl.DataFrame(list(rows), schema=names, infer_schema_length=None)
    present = set(rows.columns)
    columns = {name: _take_name(column, name, present) for name, column in columns.items()}
    wanted = _read_columns(rows, columns, first=first)
    return pl.DataFrame([*([rows[ROW]] if ROW in rows.columns else []), *wanted])


def read_leniently(rows: pl.DataFrame, columns: Mapping[str, Column]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """As `conform_rows`, with null for each value that cannot be read.

    Returns:
        The rows, and for each such value `position` of the row from 0, `column`, `rule`, and `value` as text.

    Raises:
        TreadleError: a column is missing, or is of a type that is never read as its own.
    """
    lenient = {name: column.model_copy(update={"unreadable": "missing"}) for name, column in columns.items()}
    frame = conform_rows(rows, lenient)
    present = set(rows.columns)
    lost = [_list_lost(rows, frame, name, _take_name(column, name, present)) for name, column in columns.items()]
    return frame, pl.concat(lost)


def _list_lost(rows: pl.DataFrame, frame: pl.DataFrame, name: str, column: Column) -> pl.DataFrame:
    """The values of one column that cannot be read."""
    raw, rule = rows[column.name_in_file(name)], describe_type(column.dtype)
    schema = {"position": pl.Int64(), "column": pl.String(), "rule": pl.String(), "value": pl.String()}
    if column.unreadable == "missing" or frame[name].null_count() == raw.null_count():
        return pl.DataFrame(schema=schema)
    marks = cast_cells(rows.lazy(), {name: column}, schema=rows.schema).select(lost_mark(name)).collect().to_series()
    places = marks.arg_true().cast(pl.Int64)
    values = raw.gather(places).to_frame("value").select(to_text(pl.col("value"), raw.dtype)).to_series()
    return pl.DataFrame({"position": places, "value": values}).select(
        "position", pl.lit(name).alias("column"), pl.lit(rule).alias("rule"), "value"
    )


def list_columns(types: Mapping[str, str], declared: Mapping[str, Column]) -> dict[str, Column]:
    """How columns are read, and their rules: as the table declares, or by the type alone for computed columns.

    Args:
        types: the Polars type of each column, as the stage `prepare` gives it.
        declared: the columns of the table that an example knows.
    """
    words = {str(dtype): word for dtype, word in WORDS.items()}
    made = {name: Column.model_validate({"dtype": words[dtype], "nullable": True}) for name, dtype in types.items()}
    same = {name for name, c in declared.items() if name in made and str(DTYPES[c.dtype]) == types[name]}
    return {name: declared[name] if name in same else column for name, column in made.items()}


def _take_name(column: Column, name: str, present: AbstractSet[str]) -> Column:
    """The column under its name in the rows: its own, or the one in the files."""
    if name in present:
        return column.model_copy(update={"source": None})
    if column.source is not None and column.source in present:
        return column
    raise TreadleError(f"the rows have no column {name!r}. {nearest_given(name, present)}")


def _read_columns(rows: pl.DataFrame, columns: Mapping[str, Column], *, first: int) -> list[pl.Series]:
    """The columns in their types, read as the stage `prepare` reads the table's files."""
    typed = {
        name: rows[column.name_in_file(name)].alias(name)
        for name, column in columns.items()
        if _is_read(rows[column.name_in_file(name)], column)
    }
    unread = {name: column for name, column in columns.items() if name not in typed}
    if unread:
        cells = _read_unread(rows, unread, first=first)
        typed |= {name: cells[name] for name in unread}
    return [typed[name] for name in columns]


def _is_read(values: pl.Series, column: Column) -> bool:
    """Whether reading would leave the values as they are: of the declared type, and none that counts as missing."""
    if values.dtype != DTYPES[column.dtype] or column.dtype in {*STRINGS, *DECODED} or column.missing:
        return False
    return column.dtype != "float" or bool(values.is_finite().all())


def _read_unread(rows: pl.DataFrame, columns: Mapping[str, Column], *, first: int) -> pl.DataFrame:
    try:
        cells = cast_cells(rows.lazy(), columns, schema=rows.schema).collect()
    except PolarsError as error:
        if len(columns) > 1:
            alone = [_read_unread(rows, {name: columns[name]}, first=first) for name in columns]
            return pl.concat(alone, how="horizontal")
        (name,) = columns
        raise _refuse(name, columns[name], str(error).splitlines()[0]) from error
    for name, column in columns.items():
        lost = cells[lost_mark(name)].arg_true()
        if len(lost):
            raise _refuse(
                name,
                column,
                f"row {first + lost[0] + 1:,} holds {show_value(rows[column.name_in_file(name)][lost[0]])}",
            )
    return cells


def _refuse(name: str, column: Column, reason: str) -> TreadleError:
    return TreadleError(f"the column {name!r} {_describe(column)}: {reason}")


def _describe(column: Column) -> str:
    """What its values must be."""
    return describe_type(column.dtype) if column.dtype in DECODED else f"must be of type {DTYPES[column.dtype]}"
