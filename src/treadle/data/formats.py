"""The kinds of files that a table is read from: one table of them, by suffix."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

import polars as pl
from polars.exceptions import PolarsError

from treadle.data import text_files
from treadle.data.compression import COMPRESSIONS, is_compressed, kind_of
from treadle.data.typed_files import LAKES, TYPED_FORMATS
from treadle.errors import TreadleError
from treadle.experiment.spec import Table

READ_ERRORS = (PolarsError, OSError)  # of a file that cannot be read


class Format(Protocol):
    """A kind of files of rows."""

    @property
    def name(self) -> str:
        """In messages."""

    @property
    def suffixes(self) -> tuple[str, ...]:
        """Of its files, in small letters."""

    @property
    def is_text(self) -> bool:
        """Whether every value is a text at first, in a dialect that the table declares."""

    @property
    def is_compressible(self) -> bool:
        """Whether its files may be compressed as a whole."""

    @property
    def has_sheets(self) -> bool:
        """Whether a file holds several tables by name."""

    @property
    def extra(self) -> str:
        """Of Treadle, which installs the library that it needs; empty: none."""

    def scan(self, path: Path, table: Table, *, scratch: Path) -> pl.LazyFrame:
        """Every row; `scratch` is a folder for a copy that the frame reads.

        Raises:
            TreadleError: its library is not installed, or the file cannot be read.
            PolarsError, OSError: it cannot be read; see `explain`.
        """

    def scan_directly(self, path: Path, table: Table) -> pl.LazyFrame | None:
        """The same rows sooner, where there is a way that may fail."""

    def scan_head(self, path: Path, table: Table, *, num_rows: int) -> pl.LazyFrame:
        """The first rows as `scan` gives them, without reading the rest.

        Raises:
            TreadleError: the file cannot be read.
        """

    def shows_columns(self, path: Path) -> bool:
        """Whether the head of a file shows all columns."""

    def count_rows(self, path: Path, table: Table) -> int | None:
        """The number of rows; None where it is extrapolated from the first HEAD_BYTES, which `scan_head` reads."""

    def explain(self, error: Exception, path: Path, table: Table) -> TreadleError:
        """What is wrong with the file, and where."""

    def find_fault(self, path: Path, table: Table) -> str:
        """What is wrong with a file that can be read, in words; else empty."""


class TextFormat:
    """CSV and its relatives."""

    name = "text"
    suffixes = text_files.SUFFIXES
    is_text = is_compressible = True
    has_sheets = False
    extra = ""

    def scan(self, path: Path, table: Table, *, scratch: Path) -> pl.LazyFrame:
        """Every column as texts."""
        return text_files.scan_text(path, table, scratch=scratch)

    def scan_directly(self, path: Path, table: Table) -> pl.LazyFrame | None:
        """With the numbers parsed by Polars."""
        return text_files.scan_directly(path, table) if table.encoding == "utf-8" else None

    def scan_head(self, path: Path, table: Table, *, num_rows: int) -> pl.LazyFrame:
        """The first rows of the first megabytes."""
        return text_files.read_head(path, table, num_rows=num_rows).lazy()

    def shows_columns(self, path: Path) -> bool:  # noqa: ARG002 - see `Format`
        """True: its header does."""
        return True

    def count_rows(self, path: Path, table: Table) -> int | None:  # noqa: ARG002 - see `Format`
        """None: lines would have to be counted."""
        return None

    def explain(self, error: Exception, path: Path, table: Table) -> TreadleError:
        """The first wrong row."""
        return text_files.explain(error, path, table)

    def find_fault(self, path: Path, table: Table) -> str:
        """The first row that has more or fewer fields than the header."""
        return text_files.find_ragged(path, table)


TEXT = TextFormat()
FORMATS: tuple[Format, ...] = (TEXT, *TYPED_FORMATS)
_BY_SUFFIX: dict[str, Format] = {suffix: known for known in FORMATS for suffix in known.suffixes}


def find_format(path: Path, table: Table | None = None) -> Format:
    """The kind of a file by its suffix, of a folder by what it holds; a text where the table declares a `separator`.

    Raises:
        TreadleError: none of the kinds that are read.
    """
    if lake := next((known for mark, known in LAKES.items() if (path / mark).is_dir()), None):
        return lake
    found = guess_format(path.name, table)
    if found is None:
        fix = "a text of another suffix needs the table's `separator`"
        raise TreadleError(f"a table is read from {list_formats()}, found {path.name!r}; {fix}")
    if is_compressed(path) and not found.is_compressible:
        raise TreadleError(f"{found.name} is compressed in itself; unpack {path.name!r}")
    return found


def guess_format(name: str, table: Table | None = None) -> Format | None:
    """The same by the name alone, or by the end of a pattern; None where it does not tell."""
    found = _BY_SUFFIX.get(kind_of(name))
    return TEXT if found is None and table is not None and table.separator is not None else found


def list_formats() -> str:
    """The kinds and their suffixes, for messages."""
    kinds = "; ".join(f"{known.name} ({', '.join(known.suffixes)})" for known in FORMATS)
    return f"{kinds}; text and JSON Lines also compressed ({', '.join(COMPRESSIONS)})"
