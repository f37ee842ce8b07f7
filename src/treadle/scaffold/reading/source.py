"""The files of a table and their dialect: separator, quotes, encoding, header."""

from __future__ import annotations

import codecs
import csv
import glob
import io
import typing
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from treadle.data.casting import column_of
from treadle.data.compression import full_suffix, kind_of, open_bytes
from treadle.data.formats import READ_ERRORS, TEXT, Format, find_format, list_formats
from treadle.data.text_files import read_head, read_sep_line
from treadle.errors import TreadleError
from treadle.experiment.files import is_lake
from treadle.experiment.spec import Column, Encoding, Table
from treadle.hints import nearest
from treadle.scaffold.reading.encodings import LIKELY, guess_encoding

_SEPARATORS = (",", ";", "\t", "|")
_HEAD = 1 << 20  # bytes from which the separator is detected
_LINES = 200


@dataclass(frozen=True)
class TableFiles:
    """The files of one table."""

    files: tuple[Path, ...]
    header: tuple[str, ...]  # the names of the columns in the files
    dialect: dict[str, Any] = field(default_factory=dict)  # keys of a table, where they are not the default
    remarks: dict[str, str] = field(default_factory=dict)  # how a key was detected, where that is uncertain

    @property
    def is_text(self) -> bool:
        """CSV or TSV: every value is a text at first."""
        return self.format.is_text

    @property
    def format(self) -> Format:
        """The kind of the files."""
        return find_format(self.files[0])

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
        self._refuse_faults(files)
        scans = [self.format.scan(file, self.table, scratch=scratch) for file in files]
        alone = len(scans) == 1  # else each has the columns in the order of the first
        ordered = scans if alone else [scan.select(map(column_of, self.header)) for scan in scans]
        return pl.concat(ordered, how="vertical_relaxed")

    def _refuse_faults(self, files: Iterable[Path]) -> None:
        for original, file in zip(self.files, files, strict=True):
            if fault := self.format.find_fault(file, self.table):
                raise TreadleError(f"{original}: {fault}")

    def explain(self, error: Exception) -> TreadleError:
        """In which file, and in which row, the parser failed."""
        for file in self.files:
            fault = str(self.format.explain(error, file, self.table))
            if fault.startswith(("row ", "line ")):
                return TreadleError(f"{file}: {fault}")
        fault = str(error).splitlines()[0].partition(", hint:")[0]
        return TreadleError(f"{', '.join(map(str, self.files[:5]))}: {fault}")


def _link(file: Path, link: Path) -> Path:
    """The file under a name that Polars does not read as a pattern."""
    if not set("*?[") & set(str(file)):
        return file
    link = link.with_name(link.name + full_suffix(file))
    link.symlink_to(file.absolute())
    return link


def find_files(patterns: Sequence[str]) -> list[Path]:
    """The files that match the patterns.

    Raises:
        TreadleError: no file, or files of several kinds, or of a kind that is not read.
    """
    files = list(dict.fromkeys(Path(name) for pattern in patterns for name in _expand(pattern)))
    _require_one_kind(files)
    return files


def find_source(patterns: Sequence[str], *, encoding: str | None = None) -> TableFiles:
    """The files that match the patterns, and their dialect; the encoding is the user's, if given.

    Raises:
        TreadleError: as `find_files`; files with different headers, an empty file, no header.
    """
    files = find_files(patterns)
    sources = [_look_at(file, _require_encoding(encoding)) for file in files]
    for source in sources[1:]:
        if set(source.header) != set(sources[0].header):
            differing = sorted(set(source.header) ^ set(sources[0].header))[:5]
            raise TreadleError(
                f"{source.files[0]}: its columns differ from those of {files[0]} in {', '.join(map(repr, differing))}; "
                "files of one table have the same columns"
            )
        if source.dialect != sources[0].dialect:
            raise TreadleError(
                f"{source.files[0]} has another dialect than {files[0]}: {source.dialect or 'the default'} against "
                f"{sources[0].dialect or 'the default'}"
            )
    return TableFiles(tuple(files), sources[0].header, sources[0].dialect, sources[0].remarks)


def _require_one_kind(files: Sequence[Path]) -> None:
    """All of one kind, which a table is read from."""
    try:
        names = {kind_of(file) if (known := find_format(file)) is TEXT else known.name for file in files}
    except TreadleError:
        names = set()
    if len(names) != 1:
        found = ", ".join(sorted({full_suffix(file) or "a name without suffix" for file in files}))
        raise TreadleError(
            f"--from: the files of one table are of one kind, of {list_formats()}; found {found}; convert other kinds "
            "to one of these"
        )


def _require_encoding(name: str | None) -> Encoding | None:
    known: dict[str, Encoding] = {known: known for known in typing.get_args(Encoding)}
    if name is not None and name not in known:
        raise TreadleError(f"--encoding: {name!r} is not a known encoding. {nearest(name, known)}")
    return None if name is None else known[name]


def _expand(pattern: str) -> list[str]:
    if Path(pattern).is_dir() and not is_lake(Path(pattern)):
        raise TreadleError(f"--from: {pattern} is a folder; name its files, such as '{pattern}/*.csv'")
    names = sorted(glob.glob(pattern, recursive=True)) or ([pattern] if Path(pattern).exists() else [])  # noqa: PTH207 - a pattern may be absolute
    if not names:
        raise TreadleError(f"--from: no file {pattern}")
    return names


def _look_at(file: Path, encoding: Encoding | None) -> TableFiles:
    if file.is_file() and file.stat().st_size == 0:
        raise TreadleError(f"{file} is empty: it has not even a header")
    known = find_format(file)
    if not known.is_text:
        return _read_typed(file, known)
    encoding, remark = (encoding, "") if encoding else _find_encoding(file)
    head, declared = _read_start(file, encoding)
    separator = declared or _find_separator(head, file)
    try:
        header = next(csv.reader(io.StringIO(head, newline=""), delimiter=separator))
    except csv.Error as error:
        raise TreadleError(f"{file}: the first line cannot be read: {error}") from error
    if "\n" not in head and "\r" in head:
        raise TreadleError(f"{file}: its lines end in a carriage return alone, as on old Macs; convert them to \\n")
    _require_header(header, file)
    default = "\t" if kind_of(file) == ".tsv" else ","
    dialect = {"separator": separator} if separator != default else {}
    dialect |= {"encoding": encoding} if encoding != "utf-8" else {}
    draft = TableFiles((file,), ("",), dialect)
    try:
        header = read_head(file, draft.table, num_rows=1).columns
    except TreadleError as error:
        raise TreadleError(f"{file}: {error}") from error
    return TableFiles((file,), tuple(header), dialect, {"encoding": remark} if remark else {})


def _read_typed(file: Path, known: Format) -> TableFiles:
    """The columns of a typed file; some kinds have to be read for that."""
    with TemporaryDirectory() as scratch:
        link, table = _link(file, Path(scratch) / "link"), TableFiles((file,), ("",)).table
        try:
            return TableFiles((file,), tuple(known.scan(link, table, scratch=Path(scratch)).collect_schema()))
        except READ_ERRORS as error:
            told = str(known.explain(error, link, table)).replace(str(link), str(file))
            raise TreadleError(f"{file} is not {known.name}: {told}") from error
        except TreadleError as error:
            raise TreadleError(f"{file}: {error}") from error


def _read_start(file: Path, encoding: Encoding) -> tuple[str, str]:
    """The first characters from the header on, and the separator that a line before it declares."""
    with open_bytes(file) as content:
        stream = io.TextIOWrapper(content, encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline="")
        try:
            head = stream.read(_HEAD)
        except UnicodeError as error:
            raise TreadleError(f"{file} is not in {encoding}: {error}") from error
    declared = read_sep_line(file, encoding=encoding)
    head = head.split("\n", 1)[1] if declared else head
    if not head.strip():
        raise TreadleError(f"{file} contains only blanks")
    if not head.splitlines()[0].strip():
        raise TreadleError(f"{file}: the first line is blank; it must name the columns. Remove the blank lines")
    if "\0" in head:
        raise TreadleError(f"{file} is not a text file: it contains a zero byte")
    return head, declared


def _find_encoding(file: Path) -> tuple[Encoding, str]:
    """UTF-8 where the whole file is, else UTF-16 by its mark, else by its letters; and how sure that is."""
    with open_bytes(file) as stream:
        if stream.read(2) in {codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE}:
            return "utf-16", ""
        stream.seek(0)
        decoder = codecs.getincrementaldecoder("utf-8")()
        try:
            while chunk := stream.read(_HEAD):
                decoder.decode(chunk)
            decoder.decode(b"", final=True)
        except UnicodeDecodeError:
            stream.seek(0)
            return _guess_encoding(iter(lambda: stream.read(_HEAD), b""), file)
    return "utf-8", ""


def _guess_encoding(chunks: Iterable[bytes], file: Path) -> tuple[Encoding, str]:
    guess = guess_encoding(chunks)
    if guess is None:
        raise TreadleError(
            f"{file} is not a text file in a known encoding. Unpack it if it is compressed; convert a text in another "
            "encoding by `iconv -f NAME -t UTF-8`"
        )
    if guess.confidence < LIKELY:
        read = "; ".join((f"{guess.name} {guess.sample}", *guess.others))
        raise TreadleError(
            f"{file} is not in UTF-8, and no other encoding is likely: its words would be {read}. Give --encoding NAME"
        )
    return guess.name, f"by its letters, such as {guess.sample}; confidence {guess.confidence:.0%}"


def _find_separator(head: str, file: Path) -> str:
    """The one that gives most lines the same number of fields, the header too if possible, and most fields.

    A comma in numbers gives rows some fields, and the header one.
    """
    lines = head.splitlines(keepends=True)
    complete = "".join(lines if len(head) < _HEAD else lines[:-1] or lines)
    default = "\t" if kind_of(file) == ".tsv" else ","
    found = {separator: _count_fields(complete, separator) for separator in _SEPARATORS}
    best = max(_SEPARATORS, key=found.__getitem__)
    is_sure = found[best] > (default == "\t", 1)
    return best if is_sure else default


def _count_fields(text: str, separator: str) -> tuple[bool, int]:
    """Whether the header has as many fields as most lines have, and how many these are; 1 where none is frequent."""
    try:
        sizes = [len(row) for row in islice(csv.reader(io.StringIO(text), delimiter=separator), _LINES)]
    except csv.Error:
        return False, 1
    size, count = Counter(sizes).most_common(1)[0]
    return (sizes[0] == size, size) if size > 1 and count >= len(sizes) / 2 else (False, 1)


def _require_header(header: list[str], file: Path) -> None:
    def is_number(text: str) -> bool:
        try:
            float(text)
        except ValueError:
            return False
        return True

    counted = [str(int(header[0]) + index) for index in range(len(header))] if header[0].isdecimal() else []
    if all(map(is_number, header)) and header != counted:
        raise TreadleError(
            f"{file}: the first line holds numbers only: {', '.join(header[:5])}; it must name the columns. Add a line"
        )
