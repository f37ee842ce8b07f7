"""Plain values of a JSON row, read without Polars: those that are of their column's type already.

The cells of a row are None, int, float, str, bool and, of an image, bytes; a moment is microseconds since
1970, a date days, a time of day nanoseconds: as Polars holds them. Any other value is odd. Whether it can be read, and
with what error it cannot, only `Predictor.conform` decides, so that a server answers as a batch does.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from datetime import date, datetime
from typing import Any

import polars as pl

from treadle.data.bounds import read_bound, read_value
from treadle.data.casting import DTYPES, STRINGS, WHOLE, cast_cells
from treadle.experiment.spec import Column
from treadle.images import Size, find_fault, measure, read_base64

Reader = Callable[[Any], Any]  # raises `OddError`
Check = Callable[[Any], bool]  # whether a cell may break a rule of its column

_INT64 = range(-(1 << 63), 1 << 63)
_DATE = re.compile(r"\d{4}-\d\d-\d\d", re.ASCII)
_MOMENT = re.compile(r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(\.\d{1,6})?Z?", re.ASCII)
_FIRST_DAY = date(1970, 1, 1)
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - moments are UTC without saying so
_MICROS_A_DAY = 86_400 * 1_000_000


class OddError(ValueError):
    """A value that is not plainly of its column's type."""


def make_reader(column: Column) -> Reader:
    """Reads the plain values of a column."""
    if column.dtype in STRINGS:
        return _read_texts(column)
    make = _READERS.get(column.dtype)
    if make is None or column.format is not None or column.epoch is not None:
        return _refuse
    read, marks = make, find_marked(column)
    if not marks:
        return read

    def read_unmarked(value: Any) -> Any:
        cell = read(value)
        if cell in marks:
            raise OddError  # Polars decides whether it is missing
        return cell

    return read_unmarked


def make_check(column: Column) -> Check | None:
    """Whether a cell may break the contract; None where it has no rule.

    Polars has the last word about a cell that may, and gives the error its words.
    """
    checks: list[Check] = []
    if column.min is not None:
        least = to_physical(read_bound(column.min, column))
        checks.append(lambda cell: cell < least)
    if column.max is not None:
        most = to_physical(read_bound(column.max, column))
        checks.append(lambda cell: cell > most)
    if column.allowed is not None:
        allowed = frozenset(to_physical(read_value(word, column)) for word in column.allowed)
        checks.append(lambda cell: cell not in allowed)
    if sizes := {part: size for part in Size._fields if (size := getattr(column, part)) is not None}:
        checks.append(lambda cell: any(getattr(measure(cell), part) != size for part, size in sizes.items()))
    if column.dtype == "int":
        checks = [*checks, lambda cell: abs(cell) > WHOLE] if checks else checks  # a float would round it
    if not checks:
        return None if column.nullable else _is_missing
    nullable = column.nullable

    def check(cell: Any) -> bool:
        return not nullable if cell is None else any(breaks(cell) for breaks in checks)

    return check


def find_marked(column: Column) -> frozenset[float]:
    """The numbers that a mark of missing values may stand for, in whatever notation."""
    if not column.missing:
        return frozenset()
    found = set()
    for mark in column.missing:
        try:
            found.add(float(mark))
        except ValueError:
            continue
    rows = pl.DataFrame({"mark": column.missing}, schema={"mark": pl.String()})
    plain = column.model_copy(update={"missing": [], "source": None, "unreadable": "missing"})
    read = cast_cells(rows.lazy(), {"mark": plain}, schema=rows.schema).collect()["mark"].drop_nulls()
    return frozenset(found | {float(cell) for cell in read.to_physical().to_list()})


def to_cells(frame: pl.DataFrame) -> list[tuple[Any, ...]]:
    """The rows of a conformed frame as cells."""
    return frame.select(pl.all().to_physical()).rows()


def to_frame(cells: list[Any], schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """Rows of cells as a conformed frame; the inverse of `to_cells`."""
    columns = zip(*cells, strict=True) if cells else ([] for _ in schema)
    physical = {dtype: pl.Series([], dtype=dtype).to_physical().dtype for dtype in set(schema.values())}
    pairs = zip(schema.items(), columns, strict=True)
    return pl.DataFrame([pl.Series(n, list(values), dtype=physical[t]).cast(t) for (n, t), values in pairs])


def list_types(columns: Mapping[str, Column]) -> dict[str, pl.DataType]:
    """The Polars type of each column."""
    return {name: DTYPES[column.dtype] for name, column in columns.items()}


def to_physical(value: Any) -> Any:
    """A bound or an allowed value as a cell."""
    dtype = {datetime: DTYPES["datetime"], date: pl.Date()}.get(type(value))
    if dtype is not None or not isinstance(value, bool | int | float | str):
        return pl.Series([value], dtype=dtype).to_physical().item()
    return value


def _is_missing(cell: Any) -> bool:
    return cell is None


def _refuse(value: Any) -> Any:
    if value is not None:
        raise OddError
    return None


def _read_int(value: Any) -> int | None:
    if type(value) is int and value in _INT64:
        return value
    if value is None:
        return None
    if type(value) is float and value.is_integer() and abs(value) < WHOLE:
        return int(value)
    raise OddError


def _read_float(value: Any) -> float | None:
    if type(value) is float and math.isfinite(value):
        return value
    if value is None:
        return None
    if type(value) is int and -WHOLE <= value <= WHOLE:
        return float(value)
    raise OddError


def _read_bool(value: Any) -> bool | None:
    if value is None or type(value) is bool:
        return value
    raise OddError


def _read_date(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not str or not _DATE.fullmatch(value):
        raise OddError
    try:
        return (date.fromisoformat(value) - _FIRST_DAY).days
    except ValueError as error:
        raise OddError from error


def _read_moment(value: Any) -> int | None:
    if value is None:
        return None
    if type(value) is not str or not _MOMENT.fullmatch(value):
        raise OddError
    try:
        passed = datetime.fromisoformat(value.removesuffix("Z")) - _EPOCH
    except ValueError as error:
        raise OddError from error
    return passed.days * _MICROS_A_DAY + passed.seconds * 1_000_000 + passed.microseconds


def _read_texts(column: Column) -> Reader:
    """Texts without blanks around them."""
    marks = frozenset(mark.strip() for mark in column.missing)
    folded = {spelling.lower(): spelling for spelling in column.spellings}

    def read(value: Any) -> str | None:
        if value is None:
            return None
        if type(value) is not str or value != value.strip() or (folded and not value.isascii()):
            raise OddError
        if not value or value in marks:
            return None
        return folded.get(value.lower(), value) if folded else value

    return read


def _read_image(value: Any) -> bytes | None:
    if value is None:
        return None
    content = read_base64(value) if type(value) is str else None
    if content is None or find_fault(content):
        raise OddError
    return content


_READERS: dict[str, Reader] = {
    "image": _read_image,
    "int": _read_int,
    "float": _read_float,
    "bool": _read_bool,
    "date": _read_date,
    "datetime": _read_moment,
}
