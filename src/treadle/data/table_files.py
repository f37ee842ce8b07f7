"""The files of a table: opened as they are, and cast to the declared types, as lazy frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from treadle.data.casting import cast_cells, column_of, lost_mark
from treadle.data.compression import estimate_size
from treadle.data.contract import NUM_EXAMPLES, Breach, describe_type, show_value
from treadle.data.formats import READ_ERRORS, Format, find_format
from treadle.data.lazy_frames import count_rows
from treadle.errors import TreadleError
from treadle.experiment.files import REMOTE, list_sources
from treadle.experiment.spec import Table
from treadle.hints import nearest
from treadle.images import read_files
from treadle.remote import is_remote
from treadle.remote_images import fetch_images

LOST = "__lost"  # mark of a row that holds a value which its declared type cannot
SHORT = "__short"  # mark of a row of a text file that may have fewer fields than the header
BLANK = "__blank"  # mark of a row of a text file that may hold no value at all
_CELLS = {"image": 4_096}  # numbers that take the memory of a value, where it is more than one
LETTERS = 4  # of a field of a text file, its separator included, at least as a rule


@dataclass(frozen=True)
class TableFile:
    """One file of a table, with its columns as they are in the file."""

    path: Path
    format: Format
    rows: pl.LazyFrame
    schema: dict[str, pl.DataType]
    direct: pl.LazyFrame | None  # the same rows as `scan_directly` gives them, where it can

    @property
    def is_text(self) -> bool:
        """Whether every value is a text at first."""
        return self.format.is_text

    def cast(self, spec: Table) -> pl.LazyFrame:
        """The declared columns in their declared types, then marks of each row: LOST, SHORT and BLANK."""
        last = column_of(list(self.schema)[-1])
        short = last.is_null() if self.is_text else _never(last)
        return _cast(self.rows, spec, self.schema, [short.alias(SHORT), _never(last).alias(BLANK)])

    def cast_directly(self, spec: Table) -> pl.LazyFrame:
        """The same, sooner; wrong where a row is marked as BLANK, or where it fails."""
        if self.direct is None:
            return self.cast(spec)
        schema = dict(self.direct.collect_schema())
        last = list(schema)[-1]
        read = dict.fromkeys([*(column.name_in_file(name) for name, column in spec.columns.items()), last])
        blank = pl.all_horizontal(column_of(name).is_null() for name in read)
        marks = [column_of(last).is_null().alias(SHORT), (blank & pl.lit(len(schema) > 1)).alias(BLANK)]
        return _cast(self.direct, spec, schema, marks)

    def estimate_cells(self, spec: Table) -> int:
        """About how many values there are, seldom fewer."""
        if self.is_text and not any(column.folder for column in spec.columns.values()):
            return estimate_size(self.path) * len(spec.columns) // (LETTERS * len(self.schema))
        per_row = sum(_CELLS.get(column.dtype, 1) for column in spec.columns.values())
        return count_rows(self.rows) * per_row

    def find_losses(self, spec: Table, *, place: str) -> Iterator[Breach]:
        """The values that their declared types cannot hold, by column."""
        cells = cast_cells(self.rows, spec.columns, schema=self.schema)
        marks = cells.select(pl.col(lost_mark(name)).sum().alias(name) for name in spec.columns)
        for name, count in marks.collect(engine="streaming").row(0, named=True).items():
            if count:
                yield Breach(name, describe_type(spec.columns[name].dtype), count, self._show(spec, name, place))

    def _show(self, spec: Table, name: str, place: str) -> list[str]:
        column = spec.columns[name]
        kept = [pl.col("__row"), column_of(column.name_in_file(name)).alias("__raw")]
        numbered = self.rows.with_row_index("__row", offset=1)
        cells = cast_cells(numbered, {name: column}, schema=self.schema, keep=kept).filter(lost_mark(name))
        lost = cells.select("__row", "__raw").head(NUM_EXAMPLES).collect(engine="streaming")
        return [f"{place}row {row:,}: {show_value(value)}" for row, value in lost.iter_rows()]


def _cast(rows: pl.LazyFrame, spec: Table, schema: dict[str, pl.DataType], marks: list[pl.Expr]) -> pl.LazyFrame:
    cells = cast_cells(rows, spec.columns, schema=schema, keep=marks)
    lost = pl.any_horizontal(lost_mark(name) for name in spec.columns)
    return cells.select(*(pl.col(name) for name in spec.columns), lost.alias(LOST), pl.col(SHORT, BLANK))


def _never(column: pl.Expr) -> pl.Expr:
    return column.is_null() & pl.lit(value=False)


def open_table_files(spec: Table, *, key: str, root: Path, scratch: Path) -> list[TableFile]:
    """The files of a table, which have all its columns.

    Raises:
        TreadleError: there is no file, one cannot be read, one lacks a column, or two differ in their columns.
    """
    paths = list_sources(spec.path, root=root)
    if not paths:
        raise TreadleError(f"{key}.path: no file at {spec.path!r}; `dvc pull` fetches versioned data")
    files = [_open(path, spec, key=key, root=root, scratch=scratch) for path in paths]
    if len({file.format.name for file in files}) > 1:
        kinds = sorted({file.path.suffix for file in files})
        raise TreadleError(f"{key}.path: the files of a table are of one kind, found {kinds}")
    _require_columns(files[0], spec, key=key)
    for file in files[1:]:
        _require_same(files[0], file, key=key)
    return files


def read_names(spec: Table, *, root: Path) -> set[str]:
    """The names of the declared columns that the files of a table have; empty where none can be read."""
    try:
        with TemporaryDirectory() as scratch:
            files = [
                _open(path, spec, key="", root=root, scratch=Path(scratch))
                for path in list_sources(spec.path, root=root)[:1]
            ]
            return {
                name
                for name, column in spec.columns.items()
                for file in files
                if column.name_in_file(name) in file.schema
            }
    except TreadleError:
        return set()


def refuse_ragged(files: list[TableFile], spec: Table, *, key: str) -> None:
    """Raise where a row of a text file has fewer fields than its header."""
    for file in files:
        found = file.format.find_fault(file.path, spec)
        if found:
            raise TreadleError(f"{key}.path: cannot read {file.path}: {found}")


def explain_unreadable(error: Exception, files: list[TableFile], spec: Table, *, key: str) -> TreadleError:
    """Which file cannot be parsed, and where."""
    for file in files:
        try:
            file.rows.select(pl.len(), pl.all().null_count()).collect(engine="streaming")
        except READ_ERRORS as own:
            told = file.format.explain(own, file.path, spec)
            return TreadleError(f"{key}.path: cannot read {file.path}: {told}")
    return TreadleError(f"{key}.path: cannot read {spec.path}: {_first_line(error)}")


class RowNames:
    """Names rows of a table as their files do: "row 3", or "b.csv row 1" where there are several files."""

    def __init__(self, files: list[TableFile]) -> None:
        self._files = files

    def __call__(self, row: int) -> str:
        """The name of a row, counted from 1 over all files."""
        if len(self._files) == 1:
            return f"row {row:,}"
        for file, length in zip(self._files, self._lengths, strict=True):
            if row <= length:
                return f"{file.path.name} row {row:,}"
            row -= length
        raise AssertionError("the row is one of the table's")

    @cached_property
    def _lengths(self) -> list[int]:
        return [file.rows.select(pl.len()).collect(engine="streaming").item() for file in self._files]


def merge_losses(files: list[TableFile], spec: Table) -> list[Breach]:
    """The breaches of all files together, one a column; rows are counted in their own file."""
    merged: dict[str, Breach] = {}
    for file in files:
        place = f"{file.path.name} " if len(files) > 1 else ""
        for breach in file.find_losses(spec, place=place):
            before = merged.get(breach.column, replace(breach, count=0, examples=[]))
            examples = [*before.examples, *breach.examples][:NUM_EXAMPLES]
            merged[breach.column] = replace(breach, count=before.count + breach.count, examples=examples)
    return [merged[name] for name in spec.columns if name in merged]


def _open(path: Path, spec: Table, *, key: str, root: Path, scratch: Path) -> TableFile:
    known = _find_format(path, spec, key=key)
    try:
        rows = read_named_files(known.scan(path, spec, scratch=scratch), spec, root=root)
        schema = dict(rows.collect_schema())
    except (*READ_ERRORS, TreadleError) as error:
        told = _first_line(error) if isinstance(error, TreadleError) else known.explain(error, path, spec)
        raise TreadleError(f"{key}.path: cannot read {path}: {told}") from error
    direct = known.scan_directly(path, spec)
    return TableFile(path, known, rows, schema, None if direct is None else read_named_files(direct, spec, root=root))


def read_named_files(rows: pl.LazyFrame, spec: Table, *, root: Path) -> pl.LazyFrame:
    """Rows as a file gives them, with what is in the files that columns of images name, in place of their names.

    Args:
        rows: a column stands under its name in the file, or its own.
        spec: whose columns with `folder` name files.
        root: the folders are relative to it.
    """
    schema = rows.collect_schema()
    readers = {
        place: _choose_reader(column.folder, root)
        for name, column in spec.columns.items()
        for place in (name, column.name_in_file(name))
        if column.folder is not None and schema.get(place) == pl.String()
    }
    return rows.with_columns(
        column_of(name).map_batches(read, return_dtype=pl.Binary, is_elementwise=True) for name, read in readers.items()
    )


def _choose_reader(folder: str, root: Path) -> Callable[[pl.Series], pl.Series]:
    if is_remote(folder):
        return partial(fetch_images, address=folder, copies=root / REMOTE / "images")
    return partial(read_files, folder=root / folder)


def _find_format(path: Path, spec: Table, *, key: str) -> Format:
    try:
        return find_format(path, spec)
    except TreadleError as error:
        raise TreadleError(f"{key}.path: {error}") from error


def _require_columns(file: TableFile, spec: Table, *, key: str) -> None:
    for name, column in spec.columns.items():
        wanted = column.name_in_file(name)
        if wanted not in file.schema:
            hint = nearest(wanted, file.schema)
            raise TreadleError(f"{key}.columns.{name}: {spec.path} has no such column. {hint}")


def _require_same(first: TableFile, other: TableFile, *, key: str) -> None:
    for column in first.schema.keys() ^ other.schema.keys():
        here, there = (first, other) if column in first.schema else (other, first)
        rule = f"{there.path} has no column {column!r}, which {here.path.name} has"
        raise TreadleError(f"{key}.path: {rule}; the files of a table have the same columns")


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0]
