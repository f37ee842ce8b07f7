"""Profile the columns of a table: types inferred from a sample, then validated on every row."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import polars as pl

from treadle.check.columns import RESERVED
from treadle.data.formats import READ_ERRORS
from treadle.errors import TreadleError
from treadle.experiment.spec import Column
from treadle.scaffold.reading.readings import (
    UNREADABLE,
    Rows,
    collect,
    cut_in_pieces,
    guess_all,
    make_column,
    read_columns,
    report_strays,
    settle,
)
from treadle.scaffold.reading.source import TableFiles
from treadle.scaffold.reading.texts import Around, Reading
from treadle.wording import number_of

SAMPLE = 20_000  # rows, evenly from the whole table
_CELLS = 40_000_000  # of the sample: of a table with very many columns it takes fewer rows
EXACT = 1_000_000  # rows up to which distinct values are counted; beyond, they are estimated
MAX_LISTED = 100  # distinct values of a column that are listed
_AWKWARD = re.compile(r"[.${}\[\]=,~\\\"'*^\n\r\t]+|^__+")
Use = Literal["moment", "target"]


@dataclass(frozen=True)
class Profile:
    """One column."""

    name: str  # in the project
    column: Column  # how it is read
    num_rows: int
    num_missing: int
    num_distinct: int  # missing aside
    low: Any = None  # smallest value of a number or a moment
    high: Any = None
    is_whole: bool = False  # whether all are whole numbers, such as counts that are written as 2.0
    mean_length: float = 0.0  # of texts, in characters
    values: tuple[tuple[Any, int], ...] = ()  # each value with its rows, the most frequent first, where they are few
    note: str = ""  # on how it is read

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
        return not self.note.startswith(UNREADABLE)


@dataclass(frozen=True)
class Profiles:
    """The table as a whole."""

    columns: dict[str, Profile]
    num_rows: int
    sample: pl.DataFrame  # typed values of up to SAMPLE rows, in the order of the table


def profile_table(source: TableFiles, *, missing: Sequence[str], uses: Mapping[str, Use], scratch: Path) -> Profiles:
    """Read every row of a table, in chunks, and profile its columns.

    Args:
        source: its files.
        missing: further texts that mean "no value".
        uses: what the user says of a column, by its name here or in the files.
        scratch: a folder for files that are in the way of being read.

    Raises:
        TreadleError: the files cannot be read, or hold no row.
    """
    try:
        return _profile(source, missing, uses, scratch)
    except READ_ERRORS as error:
        raise source.explain(error) from error


def _profile(source: TableFiles, missing: Sequence[str], uses: Mapping[str, Use], scratch: Path) -> Profiles:
    names = name_columns(source.header)
    # By position: a name such as `*` is a pattern to Polars.
    raw = source.scan(scratch=scratch).select(pl.nth(index).alias(name) for index, name in enumerate(names))
    num_rows = int(collect(raw.select(pl.len())).item())
    if not num_rows:
        raise TreadleError(f"{source.files[0]} holds no row: only the header {', '.join(source.header[:5])}")
    sample = collect(raw.gather_every(max(1, num_rows // min(SAMPLE, max(1_000, _CELLS // len(names))))))
    arounds = {name: _look_around(name, old, source, uses) for name, old in names.items()}
    notes = guess_all(sample, arounds, missing, has_types=not source.is_text)
    columns = {name: make_column(name, names[name], notes[name]) for name in names}
    # What is missing here is not read, but replaced by nulls.
    blank = [pl.lit(None, dtype=pl.String).alias(name) for name in names if notes[name].dtype == "other"]
    sample = sample.with_columns(blank)
    rows = sample if len(sample) == num_rows else raw.with_columns(blank)  # nothing is read twice
    columns, notes = settle(rows, columns, notes)
    notes = report_strays(rows, columns, notes)
    profiles = _list_values(rows, _measure(rows, columns, num_rows, notes))
    profiles = {name: _join_spellings(profile) for name, profile in profiles.items()}
    return Profiles(profiles, num_rows, _read_sample(sample, {name: profiles[name].column for name in names}))


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


def _look_around(name: str, old: str, source: TableFiles, uses: Mapping[str, Use]) -> Around:
    use: Use | Literal[""] = uses.get(name) or uses.get(old) or ""
    return Around(name, has_semicolons=source.dialect.get("separator") == ";", use=use)


def _read_sample(sample: pl.DataFrame, columns: dict[str, Column]) -> pl.DataFrame:
    """Typed values of all columns."""
    pieces = [read_columns(sample.select(piece), columns).select(piece) for piece in cut_in_pieces(columns)]
    return pl.concat([piece.collect() for piece in pieces], how="horizontal")


# --- values -------------------------------------------------------------------------------------------


def _measure(raw: Rows, columns: dict[str, Column], num_rows: int, readings: dict[str, Reading]) -> dict[str, Profile]:
    fact: dict[str, Any] = {}
    schema = raw.collect_schema()
    for piece in cut_in_pieces(columns):
        typed = read_columns(raw.select(piece), columns)
        facts = collect(typed.select(expr for name in piece for expr in _list_facts(name, columns[name], num_rows)))
        fact |= facts.row(0, named=True)
        endless = [
            pl.col(name).is_infinite().sum().alias(f"{name}|endless") for name in piece if schema[name].is_float()
        ]
        fact |= collect(raw.lazy().select(endless)).row(0, named=True) if endless else {}
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
            column.dtype == "int" or fact.get(f"{name}|whole", False),
            fact.get(f"{name}|length") or 0.0,
            note="; ".join(filter(None, (readings[name].reason, _describe_infinite(fact.get(f"{name}|endless"))))),
        )
    return profiles


def _describe_infinite(count: int | None) -> str:
    return f"infinite in {number_of(count, 'row')}, read as missing" if count else ""


def _list_facts(name: str, column: Column, num_rows: int) -> list[pl.Expr]:
    value = pl.col(name)
    facts = [value.null_count().alias(f"{name}|missing")]
    facts.append((value.n_unique() if num_rows <= EXACT else value.approx_n_unique()).alias(f"{name}|distinct"))
    if column.dtype == "str":
        facts.append(value.str.len_chars().mean().alias(f"{name}|length"))
    elif column.dtype != "bool":
        if column.dtype == "float":
            facts.append((value == value.round()).all().alias(f"{name}|whole"))
        facts += [value.min().alias(f"{name}|low"), value.max().alias(f"{name}|high")]
    return facts


def _list_values(raw: Rows, profiles: dict[str, Profile]) -> dict[str, Profile]:
    """Add each value with its rows where a column has few."""
    few = {name: profile.column for name, profile in profiles.items() if profile.num_distinct <= MAX_LISTED}
    for piece in cut_in_pieces(few):
        part = raw.select(piece).lazy()
        frames = [_count_values(part.select(name), few) for name in piece]
        for name, counts in zip(piece, pl.collect_all(frames, engine="streaming"), strict=True):
            profiles[name] = replace(profiles[name], values=tuple(counts.rows()))
    return profiles


def _count_values(column: pl.LazyFrame, columns: Mapping[str, Column]) -> pl.LazyFrame:
    value = pl.col("value")
    (name,) = column.collect_schema()
    counts = (
        read_columns(column, columns).select(pl.col(name).alias("value")).filter(value.is_not_null()).group_by("value")
    )
    return counts.len("rows").sort(["rows", "value"], descending=[True, False])


def _join_spellings(profile: Profile) -> Profile:
    """Names that differ in the case of their letters alone as one, unless there is no other."""
    if profile.column.dtype != "str" or not profile.values:
        return profile
    counts: Counter[str] = Counter()
    spellings: dict[str, str] = {}
    for value, count in profile.values:  # the most frequent first
        counts[spellings.setdefault(value.lower(), value)] += count
    if len(counts) in {1, len(profile.values)}:
        return profile
    several = [name for name in counts if counts[name] != dict(profile.values)[name]]
    note = f"{', '.join(map(repr, several[:3]))} stand for all that differ from them in the case of letters alone"
    return replace(
        profile,
        column=profile.column.model_copy(update={"spellings": sorted(several)}),
        values=tuple(sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))),
        num_distinct=len(counts),
        note="; ".join(filter(None, (profile.note, note))),
    )
