"""What each column of a table holds: read once from a sample, then held against every row."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from treadle.experiment.cells import lost_mark, read_cells
from treadle.experiment.columns import RESERVED
from treadle.experiment.spec import Column
from treadle.scaffold.source import Source
from treadle.scaffold.texts import MAX_STRAYS, MIN_SHARE, Reading, read_texts
from treadle.schema import TreadleError

SAMPLE = 20_000  # rows, evenly from the whole table
_CELLS = 40_000_000  # of the sample: of a table with very many columns it takes fewer rows
_PIECE = 64  # columns that are read at a time: a plan of Polars costs memory and time by the square of its columns
EXACT = 1_000_000  # rows up to which distinct values are counted; beyond, they are estimated
MAX_LISTED = 100  # distinct values of a column that are listed
_COUNT = "|rows"  # beside a column of any name but this
_TEXTS = 2_000  # distinct texts of a column that tell its type
_UNREADABLE = "of type "
_AWKWARD = re.compile(r"[.${}\[\]=,~\\\"'*^\n\r\t]+|^__+")
Rows = pl.DataFrame | pl.LazyFrame  # of texts or of the file's types


@dataclass(frozen=True)
class Profile:
    """One column."""

    name: str  # as the project calls it
    column: Column  # how it is read
    num_rows: int
    num_missing: int
    num_distinct: int  # missing aside
    low: Any = None  # smallest value of a number or a moment
    high: Any = None
    mean_length: float = 0.0  # of texts, in characters
    values: tuple[tuple[Any, int], ...] = ()  # each value with its rows, the most frequent first, where they are few
    note: str = ""  # what to know of how it is read

    @property
    def num_present(self) -> int:
        """Rows with a value."""
        return self.num_rows - self.num_missing

    @property
    def is_estimated(self) -> bool:
        """Whether the number of different values is an estimate, within some percent."""
        return self.num_rows > EXACT

    @property
    def is_readable(self) -> bool:
        """Whether its values are numbers, texts, truth values or moments; lists and spans of time are none of them."""
        return not self.note.startswith(_UNREADABLE)


@dataclass(frozen=True)
class Profiles:
    """The table as a whole."""

    columns: dict[str, Profile]
    num_rows: int
    sample: pl.DataFrame  # typed values of up to SAMPLE rows, in the order of the table


def profile_table(source: Source, *, missing: Sequence[str], scratch: Path) -> Profiles:
    """Read every row of a table, in pieces, and tell what its columns hold.

    Args:
        source: its files.
        missing: further texts that mean "no value".
        scratch: a folder for files that are in the way of being read.

    Raises:
        TreadleError: the files cannot be read, or hold no row.
    """
    try:
        return _profile(source, missing, scratch)
    except pl.exceptions.PolarsError as error:
        raise source.explain(error) from error


def _profile(source: Source, missing: Sequence[str], scratch: Path) -> Profiles:
    names = name_columns(source.header)
    # By position: a name such as `*` is a pattern to Polars.
    raw = source.scan(scratch=scratch).select(pl.nth(index).alias(name) for index, name in enumerate(names))
    num_rows = int(_collect(raw.select(pl.len())).item())
    if not num_rows:
        raise TreadleError(f"{source.files[0]} holds no row: only the header {', '.join(source.header[:5])}")
    sample = _collect(raw.gather_every(max(1, num_rows // min(SAMPLE, max(1_000, _CELLS // len(names))))))
    notes = {name: _guess(sample[name], source, missing) for name in names}
    columns = {name: _make_column(name, names[name], notes[name]) for name in names}
    # What is no value here is not read: nulls stand for it.
    blank = [pl.lit(None, dtype=pl.String).alias(name) for name in names if notes[name].dtype == "other"]
    sample = sample.with_columns(blank)
    rows = sample if len(sample) == num_rows else raw.with_columns(blank)  # nothing is read twice
    columns, notes = _settle(rows, columns, notes)
    profiles = _list_values(rows, _measure(rows, columns, num_rows, notes))
    return Profiles(profiles, num_rows, _read_sample(sample, columns))


def name_columns(header: Sequence[str]) -> dict[str, str]:
    """A name for each column of a file: its own, where that is not reserved here and can stand in a dotted key."""
    names: dict[str, str] = {}
    taken = set(header)
    for position, old in enumerate(header, start=1):
        plain = _AWKWARD.sub("_", old.strip())
        new = (plain if plain == old else plain.strip("_")) or f"column_{position}"
        new = f"{new}_" if new in RESERVED else new
        while new != old and (new in names or new in taken):
            new = f"{new}_"
        names[new] = old
    return names


def _collect(frame: pl.LazyFrame) -> pl.DataFrame:
    return frame.collect(engine="streaming")


def _cut_in_pieces(names: Iterable[str]) -> Iterator[list[str]]:
    """A few columns at a time."""
    rest = iter(names)
    while piece := list(islice(rest, _PIECE)):
        yield piece


def _read_sample(sample: pl.DataFrame, columns: dict[str, Column]) -> pl.DataFrame:
    """Typed values of all columns."""
    pieces = [_read(sample.select(piece), columns).select(piece) for piece in _cut_in_pieces(columns)]
    return pl.concat([piece.collect() for piece in pieces], how="horizontal")


# --- types --------------------------------------------------------------------------------------------


def _guess(values: pl.Series, source: Source, missing: Sequence[str]) -> Reading:
    dtype = values.dtype
    if dtype == pl.String():
        counts = values.drop_nulls().str.strip_chars().value_counts(sort=True, name=_COUNT).head(_TEXTS)
        texts = {text: count for text, count in counts.iter_rows() if text not in missing}
        reading = read_texts(texts, decimal_comma=source.dialect.get("separator") == ";")
        if not source.is_text and reading.dtype in {"int", "float", "bool"}:
            reading = Reading("str")  # a file with types says text and means it: these are codes
        return replace(reading, missing=sorted({*reading.missing, *missing}))
    return Reading(
        _name_type(dtype), reason=f"{_UNREADABLE}{dtype} in the file" if _name_type(dtype) == "other" else ""
    )


def _name_type(dtype: pl.DataType) -> str:
    if dtype.is_integer():
        return "int"
    if dtype.is_float() or dtype.is_decimal():
        return "float"
    if isinstance(dtype, pl.Datetime):
        return "datetime"
    if dtype == pl.Date():
        return "date"
    if dtype == pl.Boolean():
        return "bool"
    return "str" if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null) else "other"


def _make_column(name: str, source: str, reading: Reading) -> Column:
    dtype: Any = "str" if reading.dtype == "other" else reading.dtype
    options: dict[str, Any] = reading.options | ({"source": source} if name != source else {})
    return Column(dtype=dtype, missing=reading.missing, **options)


def _read(raw: Rows, columns: Mapping[str, Column]) -> pl.LazyFrame:
    """Typed values, and marks of those that are lost; `raw` has some of the columns, by the project's names."""
    schema = raw.collect_schema()
    own = {name: columns[name].model_copy(update={"source": None}) for name in schema}
    return read_cells(raw.lazy(), own, schema=schema)


def _settle(
    raw: Rows, columns: dict[str, Column], readings: dict[str, Reading]
) -> tuple[dict[str, Column], dict[str, Reading]]:
    """Hold the types of the sample against every row; where values are lost, take them for missing, or read texts."""
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
    for piece in _cut_in_pieces(doubtful):
        read = _read(raw.select(piece), columns)
        shares = _collect(read.select(pl.col(lost_mark(name)).mean().alias(name) for name in piece))
        lost |= {name: share for name, share in shares.row(0, named=True).items() if share}
    for name in lost:
        if schema[name] in wide:
            columns = {**columns, name: Column(dtype="str", source=columns[name].source)}
            readings = {**readings, name: replace(readings[name], reason="whole numbers too large to be read as such")}
        else:
            strays = _list_strays(raw, name, columns[name])
            columns, readings = _give_way(name, strays, columns, readings, few=1 - lost[name] >= MIN_SHARE)
    return columns, readings


def _list_strays(raw: Rows, name: str, column: Column) -> list[str]:
    """Texts that cannot be read as the column's type: all, or one more than may be taken for missing."""
    both = raw.lazy().select(name, pl.col(name).str.strip_chars().alias(f"{name} text"))
    own = {name: column.model_copy(update={"source": None})}
    read = read_cells(both, own, schema=both.collect_schema(), keep=[pl.col(f"{name} text")])
    lost = read.filter(lost_mark(name)).select(pl.col(f"{name} text").unique().head(MAX_STRAYS + 1))
    return _collect(lost).to_series().sort().to_list()


def _give_way(
    name: str, strays: list[str], columns: dict[str, Column], readings: dict[str, Reading], *, few: bool
) -> tuple[dict[str, Column], dict[str, Reading]]:
    old = columns[name]
    if few and len(strays) <= MAX_STRAYS:
        column = old.model_copy(update={"missing": sorted({*old.missing, *strays})})
        reason = f"numbers or dates, but for {', '.join(map(repr, strays))}"
    else:
        column = Column(dtype="str", source=old.source)
        reason = f"values of several types, such as {strays[0]!r} among those of type {old.dtype}"
    return {**columns, name: column}, {**readings, name: replace(readings[name], reason=reason)}


# --- values -------------------------------------------------------------------------------------------


def _measure(raw: Rows, columns: dict[str, Column], num_rows: int, readings: dict[str, Reading]) -> dict[str, Profile]:
    fact: dict[str, Any] = {}
    for piece in _cut_in_pieces(columns):
        typed = _read(raw.select(piece), columns)
        facts = _collect(typed.select(expr for name in piece for expr in _list_facts(name, columns[name], num_rows)))
        fact |= facts.row(0, named=True)
    profiles = {}
    for name, column in columns.items():
        num_missing = fact[f"{name}|missing"]
        profiles[name] = Profile(
            name,
            column.model_copy(update={"nullable": num_missing > 0}),
            num_rows,
            num_missing,
            min(fact[f"{name}|distinct"] - (num_missing > 0), num_rows - num_missing),  # an estimate may be above
            fact.get(f"{name}|low"),
            fact.get(f"{name}|high"),
            fact.get(f"{name}|length") or 0.0,
            note=readings[name].reason,
        )
    return profiles


def _list_facts(name: str, column: Column, num_rows: int) -> list[pl.Expr]:
    value = pl.col(name)
    facts = [value.null_count().alias(f"{name}|missing")]
    facts.append((value.n_unique() if num_rows <= EXACT else value.approx_n_unique()).alias(f"{name}|distinct"))
    if column.dtype == "str":
        facts.append(value.str.len_chars().mean().alias(f"{name}|length"))
    elif column.dtype != "bool":
        facts += [value.min().alias(f"{name}|low"), value.max().alias(f"{name}|high")]
    return facts


def _list_values(raw: Rows, profiles: dict[str, Profile]) -> dict[str, Profile]:
    """Add each value with its rows where a column has few."""
    few = {name: profile.column for name, profile in profiles.items() if profile.num_distinct <= MAX_LISTED}
    for piece in _cut_in_pieces(few):
        part = raw.select(piece).lazy()
        frames = [_count_values(part.select(name), few) for name in piece]
        for name, counts in zip(piece, pl.collect_all(frames, engine="streaming"), strict=True):
            profiles[name] = replace(profiles[name], values=tuple(counts.rows()))
    return profiles


def _count_values(column: pl.LazyFrame, columns: Mapping[str, Column]) -> pl.LazyFrame:
    value = pl.col("value")
    (name,) = column.collect_schema()
    counts = _read(column, columns).select(pl.col(name).alias("value")).filter(value.is_not_null()).group_by("value")
    return counts.len("rows").sort(["rows", "value"], descending=[True, False])
