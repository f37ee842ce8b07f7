"""How each column of a table is read: inferred from a sample, then validated on every row."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from itertools import islice
from typing import Any

import polars as pl

from treadle.data.casting import cast_cells, lost_mark
from treadle.experiment.spec import Column
from treadle.scaffold.reading.dates import read_digits
from treadle.scaffold.reading.texts import MAX_STRAYS, MIN_SHARE, Around, Reading, read_texts, take_as_missing

UNREADABLE = "of type "  # prefix of the reason, where the type of a column cannot be read
_PIECE = 64  # columns that are read at a time: a plan of Polars costs memory and time by the square of its columns
_SHOWN = 3  # of the texts and of the rows that a message lists
_COUNT = "|rows"  # beside a column of any name but this
_TEXTS = 2_000  # distinct texts of a column from which its type is inferred
Rows = pl.DataFrame | pl.LazyFrame  # of texts or of the file's types


def collect(frame: pl.LazyFrame) -> pl.DataFrame:
    """The rows, some at a time."""
    return frame.collect(engine="streaming")


def cut_in_pieces(names: Iterable[str]) -> Iterator[list[str]]:
    """A few columns at a time."""
    rest = iter(names)
    while piece := list(islice(rest, _PIECE)):
        yield piece


def guess_all(
    sample: pl.DataFrame, arounds: Mapping[str, Around], missing: Sequence[str], *, has_types: bool
) -> dict[str, Reading]:
    """A reading of each column; where one has decimal commas, the points of the others may stand between thousands.

    Args:
        sample: rows of the table.
        arounds: what is known of each column.
        missing: texts that mean "no value", as the user says.
        has_types: whether the file's columns have types, so that a text is meant as one.
    """
    readings = {name: _guess(sample[name], around, missing, has_types=has_types) for name, around in arounds.items()}
    if not any(around.has_semicolons for around in arounds.values()):
        return readings
    if any(reading.options.get("decimal") == "," for reading in readings.values()):
        for name, reading in readings.items():
            if reading.dtype == "float" and not reading.options.keys() & {"thousands", "decimal"}:
                readings[name] = _guess(
                    sample[name], replace(arounds[name], has_commas=True), missing, has_types=has_types
                )
    return readings


def _guess(values: pl.Series, around: Around, missing: Sequence[str], *, has_types: bool) -> Reading:
    if values.dtype == pl.String():
        counts = values.drop_nulls().str.strip_chars().value_counts(sort=True, name=_COUNT).head(_TEXTS)
        texts = {text: count for text, count in counts.iter_rows() if not _is_mark(text, missing)}
        reading = read_texts(texts, around=around)
        if has_types and _is_code(reading):
            reading = Reading("str")  # a file with types, so it is text
        return replace(reading, missing=sorted({*reading.missing, *missing}))
    dtype = _name_type(values.dtype)
    if dtype == "other":
        return Reading(dtype, reason=f"{UNREADABLE}{values.dtype} in the file")
    found = _guess_digits(values, around) if dtype in {"int", "float"} else None
    if found is not None:
        return Reading(found[0], dict(found[1]), list(missing), found[2])
    return Reading(dtype, missing=list(missing))


def _is_mark(text: str, missing: Sequence[str]) -> bool:
    """Whether a text means a missing value; a number does so however it is written."""
    return text in missing or (bool(missing) and _to_number(text) in {_to_number(mark) for mark in missing} - {None})


def _to_number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _is_code(reading: Reading) -> bool:
    """Whether texts of a file with types are digits alone: anything else had to be a text, whatever it means."""
    plain = not reading.options and not reading.missing
    return reading.dtype == "bool" or (reading.dtype in {"int", "float"} and plain) or "%Y%m" in str(reading.options)


def _guess_digits(values: pl.Series, around: Around) -> tuple[str, dict[str, str], str] | None:
    """Numbers of a file with types as moments, where they are some."""
    numbers = values.drop_nulls().unique().head(_TEXTS)
    if around.use == "target" or not len(numbers):
        return None
    if not numbers.dtype.is_integer() and not (numbers == numbers.cast(pl.Float64).floor()).all():
        return None
    whole = numbers.cast(pl.Int64, strict=False)
    return None if whole.has_nulls() else read_digits(whole.to_list(), name=around.name, asked=around.use == "moment")


def _name_type(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "int"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null):
        return "str"
    names = {pl.Datetime: "datetime", pl.Date: "date", pl.Time: "time", pl.Boolean: "bool"}
    return next((name for kind, name in names.items() if isinstance(dtype, kind)), "other")


def make_column(name: str, source: str, reading: Reading) -> Column:
    """The keys of a column's contract that control how values are read; `source` is its name in the file."""
    dtype: Any = "str" if reading.dtype == "other" else reading.dtype
    options: dict[str, Any] = reading.options | ({"source": source} if name != source else {})
    return Column(dtype=dtype, missing=reading.missing, **options)


def read_columns(raw: Rows, columns: Mapping[str, Column]) -> pl.LazyFrame:
    """Typed values, and flags of those that are lost; `raw` has some of the columns, by the project's names."""
    schema = raw.collect_schema()
    own = {name: columns[name].model_copy(update={"source": None}) for name in schema}
    return cast_cells(raw.lazy(), own, schema=schema)


def settle(
    raw: Rows, columns: dict[str, Column], readings: dict[str, Reading]
) -> tuple[dict[str, Column], dict[str, Reading]]:
    """Validate the types of the sample on every row; where values are lost, treat them as missing, or read texts."""
    schema = raw.collect_schema()
    wide = {pl.UInt64(), pl.Int128(), pl.UInt128()}
    doubtful = [
        name
        for name, dtype in schema.items()
        if dtype in wide or (dtype == pl.String() and columns[name].dtype != "str")
    ]
    if not doubtful:
        return columns, readings
    lost: dict[str, float] = {}
    for piece in cut_in_pieces(doubtful):
        read = read_columns(raw.select(piece), columns)
        shares = collect(read.select(pl.col(lost_mark(name)).mean().alias(name) for name in piece))
        lost |= {name: share for name, share in shares.row(0, named=True).items() if share}
    columns, readings = dict(columns), dict(readings)
    for name in lost:
        if schema[name] in wide:
            columns[name] = Column(dtype="str", source=columns[name].source)
            readings[name] = replace(readings[name], reason="whole numbers too large to be read as such")
        else:
            lost_texts = _find_lost(raw, name, columns[name]).select(pl.col("text").unique().head(MAX_STRAYS + 1))
            strays = collect(lost_texts).to_series().sort().to_list()
            if 1 - lost[name] >= MIN_SHARE:
                readings[name] = take_as_missing(readings[name], strays)
            else:
                reason = f"values of several types, such as {strays[0]!r} among those of type {columns[name].dtype}"
                readings[name] = Reading("str", reason=reason)
            columns[name] = make_column(name, columns[name].name_in_file(name), readings[name])
    return columns, readings


def _find_lost(raw: Rows, name: str, column: Column) -> pl.LazyFrame:
    """Each `row` that cannot be read as the column's type, and its `text`."""
    both = (
        raw.lazy().select(name, pl.col(name).str.strip_chars().alias(f"{name} text")).with_row_index("|row", offset=1)
    )
    own = {name: column.model_copy(update={"source": None, "unreadable": "refuse"})}
    kept = [pl.col("|row"), pl.col(f"{name} text")]
    lost = cast_cells(both, own, schema=both.collect_schema(), keep=kept).filter(lost_mark(name))
    return lost.select(pl.col("|row").alias("row"), pl.col(f"{name} text").alias("text"))


def report_strays(raw: Rows, columns: dict[str, Column], readings: dict[str, Reading]) -> dict[str, Reading]:
    """Add to the reasons which texts are treated as missing values, and their rows."""
    reported = dict(readings)
    for name, reading in readings.items():
        if reading.strays:
            marks = [mark for mark in columns[name].missing if mark not in reading.strays]
            lost = collect(_find_lost(raw, name, columns[name].model_copy(update={"missing": marks})))
            if lost.is_empty():
                continue
            texts = _list_some(map(repr, lost["text"].unique(maintain_order=True)))
            rows = _list_some(f"{row:,}" for row in lost["row"])
            kind = "number" if reading.dtype in {"int", "float"} else reading.dtype
            places = f"{len(lost):,} rows ({rows})" if len(lost) > 1 else f"row {rows}"
            reason = f"missing where not a {kind}: {places}: {texts}"
            reported[name] = replace(reading, reason="; ".join(filter(None, (reason, reading.reason))))
    return reported


def _list_some(words: Iterable[str]) -> str:
    some = list(words)
    return ", ".join(some if len(some) <= _SHOWN else [*some[:_SHOWN], "…"])
