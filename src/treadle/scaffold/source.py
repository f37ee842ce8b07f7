"""Where a table comes from, and how its files are written: separator, quotes, encoding, header."""

from __future__ import annotations

import codecs
import csv
import glob
import io
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import polars as pl

from treadle.experiment.cells import column_of
from treadle.experiment.spec import Column, Table
from treadle.experiment.text_files import explain, find_ragged, read_head, scan_text
from treadle.schema import TreadleError

SUFFIXES = (".csv", ".tsv", ".txt", ".parquet")
_SEPARATORS = (",", ";", "\t", "|")
_HEAD = 1 << 20  # bytes that tell the separator
_LINES = 200
_UNUSED = {0x81, 0x8D, 0x8F, 0x90, 0x9D}  # no letters of Windows-1252


@dataclass(frozen=True)
class Source:
    """The files of one table."""

    files: tuple[Path, ...]
    header: tuple[str, ...]  # the names of the columns, as the files have them
    dialect: dict[str, Any] = field(default_factory=dict)  # keys of a table, where they are not the default

    @property
    def is_text(self) -> bool:
        """CSV or TSV: every value is a text until it is read as something."""
        return self.files[0].suffix.lower() != ".parquet"

    @property
    def table(self) -> Table:
        """The files as a table whose columns are all texts."""
        columns = {f"column {index}": Column(dtype="str", source=name) for index, name in enumerate(self.header)}
        return Table(path=str(self.files[0]), columns=columns, **self.dialect)

    def scan(self, *, scratch: Path) -> pl.LazyFrame:
        """Every row as the files have it.

        Args:
            scratch: where a file of another encoding is written anew in UTF-8.
        """
        files = [_link(file, scratch / f"link-{index}") for index, file in enumerate(self.files)]
        if not self.is_text:
            scans = [pl.scan_parquet(file) for file in files]
        else:
            self._refuse_ragged(files)
            scans = [scan_text(file, self.table, scratch=scratch) for file in files]
        alone = len(scans) == 1  # else each has the columns in the order of the first
        ordered = scans if alone else [scan.select(map(column_of, self.header)) for scan in scans]
        return pl.concat(ordered, how="vertical_relaxed")

    def _refuse_ragged(self, files: Iterable[Path]) -> None:
        for original, file in zip(self.files, files, strict=True):
            if told := find_ragged(file, self.table):
                raise TreadleError(f"{original}: {told}")

    def explain(self, error: pl.exceptions.PolarsError) -> TreadleError:
        """Which file the parser stumbled over, and in which row."""
        for file in self.files if self.is_text else ():
            told = str(explain(error, file, self.table))
            if told.startswith(("row ", "line ")):
                return TreadleError(f"{file}: {told}")
        told = str(error).splitlines()[0].partition(", hint:")[0]
        return TreadleError(f"{', '.join(map(str, self.files[:5]))}: {told}")


def _link(file: Path, link: Path) -> Path:
    """The file under a name that Polars does not take for a pattern."""
    if not set("*?[") & set(str(file)):
        return file
    link = link.with_suffix(file.suffix)
    link.symlink_to(file.absolute())
    return link


def find_source(patterns: Sequence[str]) -> Source:
    """The files that the patterns name, and how they are written.

    Raises:
        TreadleError: no file, files of several kinds or with different headers, an empty file, no header.
    """
    files = tuple(dict.fromkeys(Path(name) for pattern in patterns for name in _expand(pattern)))
    kinds = {file.suffix.lower() for file in files}
    if len(kinds) > 1 or not kinds <= set(SUFFIXES):
        found = ", ".join(kind or "a name without suffix" for kind in sorted(kinds))
        raise TreadleError(
            f"--from: the files of one table are all CSV, all TSV, or all Parquet; found {found}; write other kinds "
            "anew as one of these"
        )
    sources = [_look_at(file) for file in files]
    for source in sources[1:]:
        if set(source.header) != set(sources[0].header):
            differing = sorted(set(source.header) ^ set(sources[0].header))[:5]
            raise TreadleError(
                f"{source.files[0]}: its columns differ from those of {files[0]} in {', '.join(map(repr, differing))}; "
                "files of one table have the same columns"
            )
        if source.dialect != sources[0].dialect:
            raise TreadleError(
                f"{source.files[0]} is written otherwise than {files[0]}: {source.dialect or 'the default'} against "
                f"{sources[0].dialect or 'the default'}"
            )
    return Source(files, sources[0].header, sources[0].dialect)


def _expand(pattern: str) -> list[str]:
    if Path(pattern).is_dir():
        raise TreadleError(f"--from: {pattern} is a folder; name its files, such as '{pattern}/*.csv'")
    names = sorted(glob.glob(pattern, recursive=True)) or ([pattern] if Path(pattern).is_file() else [])  # noqa: PTH207 - a pattern may be absolute
    if not names:
        raise TreadleError(f"--from: no file {pattern}")
    return names


def _look_at(file: Path) -> Source:
    if file.stat().st_size == 0:
        raise TreadleError(f"{file} is empty: it has not even a header")
    if file.suffix.lower() == ".parquet":
        try:
            with file.open("rb") as stream:
                return Source((file,), tuple(pl.read_parquet_schema(stream)))
        except pl.exceptions.PolarsError as error:
            raise TreadleError(f"{file} is not Parquet: {str(error).splitlines()[0]}") from error
    encoding = _find_encoding(file)
    with file.open(encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="") as stream:
        head = stream.read(_HEAD)
    if not head.strip():
        raise TreadleError(f"{file} holds nothing but blanks")
    if not head.splitlines()[0].strip():
        raise TreadleError(f"{file}: the first line is blank; it must name the columns. Remove the blank lines")
    if "\0" in head:
        raise TreadleError(f"{file} is no text: it holds a zero byte")
    separator = _find_separator(head, file)
    try:
        header = next(csv.reader(io.StringIO(head, newline=""), delimiter=separator))
    except csv.Error as error:
        raise TreadleError(f"{file}: the first line cannot be read: {error}") from error
    if "\n" not in head and "\r" in head:
        raise TreadleError(
            f"{file}: its lines end in a carriage return alone, as old Macs wrote; write them anew with \\n"
        )
    _require_header(header, file)
    default = "\t" if file.suffix.lower() == ".tsv" else ","
    dialect = {"separator": separator} if separator != default else {}
    dialect |= {"encoding": encoding} if encoding != "utf-8" else {}
    draft = Source((file,), ("",), dialect)
    try:
        return Source((file,), tuple(read_head(file, draft.table, num_rows=1).columns), dialect)
    except TreadleError as error:
        raise TreadleError(f"{file}: {error}") from error


def _find_encoding(file: Path) -> str:
    """UTF-8 where the whole file is, else UTF-16 by its mark, else one byte a character."""
    with file.open("rb") as stream:
        if stream.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            return "utf-16"
        stream.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := stream.read(_HEAD):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            stream.seek(0)
            return _find_single_byte(iter(lambda: stream.read(_HEAD), b""), file)
    return "utf-8"


def _find_single_byte(chunks: Iterable[bytes], file: Path) -> str:
    """Bytes from 0x80 to 0x9f are letters in Windows-1252, but for five of them, and control characters in Latin-1."""
    found: set[int] = set()
    for chunk in chunks:
        found.update(chunk)
    if 0 in found or found & _UNUSED:
        raise TreadleError(
            f"{file} is no text in UTF-8, UTF-16, Windows-1252 or Latin-1. Unpack it if it is packed; a text "
            "in another encoding is written anew by `iconv -f SHIFT_JIS -t UTF-8`"
        )
    return "windows-1252" if found & set(range(0x80, 0xA0)) else "latin-1"


def _find_separator(head: str, file: Path) -> str:
    """The one that gives most lines the same number of fields, and most fields."""
    lines = head.splitlines(keepends=True)
    complete = "".join(lines if len(head) < _HEAD else lines[:-1])
    best, most = ",", 1
    for separator in _SEPARATORS:
        try:
            sizes = Counter(len(row) for row in islice(csv.reader(io.StringIO(complete), delimiter=separator), _LINES))
        except csv.Error:
            continue
        size, count = sizes.most_common(1)[0]
        if size > most and count >= sum(sizes.values()) / 2:
            best, most = separator, size
    if most == 1 and file.suffix.lower() == ".tsv":
        return "\t"
    return best


def _require_header(header: list[str], file: Path) -> None:
    def is_number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    counted = [str(int(header[0]) + index) for index in range(len(header))] if header[0].isdigit() else []
    if all(map(is_number, header)) and header != counted:
        raise TreadleError(
            f"{file}: the first line holds numbers only: {', '.join(header[:5])}; it must name the columns. Add a line"
        )
