"""Text files with a header (CSV and its relatives), read the same way by the check and by the stage `prepare`.

Polars reads UTF-8, also compressed; a file in another encoding is written anew in UTF-8 first.
"""

from __future__ import annotations

import codecs
import csv
import io
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from treadle.data.casting import DTYPES
from treadle.data.compression import kind_of, open_bytes, read_start
from treadle.data.number_formats import is_plain
from treadle.errors import TreadleError
from treadle.experiment.spec import Encoding, Table

SUFFIXES = (".csv", ".tsv", ".tab", ".txt")
HEAD_BYTES = 4 * 1024 * 1024  # that a head is taken from

_SEPARATORS = {".tsv": "\t", ".tab": "\t"}
_USUAL = ("utf-8", "latin-1", "windows-1252", "windows-1251", "windows-1250", "utf-16")  # of all encodings
_SAYS = re.compile(r"""\ufeff?"?sep=([^\r\n"])"?\r?\n""", re.IGNORECASE)
_SAYS_BYTES = 32  # of a file, in which such a line ends


def find_separator(file: Path, table: Table) -> str:
    """The separator of the file's line `sep=`, else of the table, else of the suffix."""
    return read_sep_line(file, encoding=table.encoding) or table.separator or _SEPARATORS.get(kind_of(file), ",")


def read_sep_line(file: Path, *, encoding: Encoding) -> str:
    """The separator of a first line `sep=;`, as Excel writes and reads it; the header comes after it. Else empty."""
    with open_bytes(file) as stream:
        found = _SAYS.match(stream.read(_SAYS_BYTES).decode(encoding, errors="ignore"))
    return found[1] if found is not None else ""


def scan_text(file: Path, table: Table, *, scratch: Path) -> pl.LazyFrame:
    """Every column of the file as texts; lines with no value at all are left out where there are several columns.

    Raises:
        TreadleError: the file is not in its encoding.
        PolarsError: it cannot be parsed; see `explain`.
    """
    source = file if table.encoding == "utf-8" else _rewrite(file, table, scratch)
    return _drop_blank(pl.scan_csv(source, **_options(file, table)))


def scan_directly(file: Path, table: Table) -> pl.LazyFrame:
    """The file with its plain numbers as numbers, and every line, also those with no value at all.

    Polars then parses the numbers as it splits the fields, which takes a third of the time of texts that are cast. It
    parses them alike or not at all: it knows no blank after a number.

    Raises:
        PolarsError: when it runs, where a number is none for Polars.
    """
    numbers = {
        column.name_in_file(name): DTYPES[column.dtype] for name, column in table.columns.items() if is_plain(column)
    }
    return pl.scan_csv(file, **_options(file, table), schema_overrides=numbers)


def read_head(file: Path, table: Table, *, num_rows: int) -> pl.DataFrame:
    """The first rows as `scan_text` gives them.

    Raises:
        TreadleError: the file is not in its encoding, or cannot be parsed.
    """
    raw, _ = read_start(file, HEAD_BYTES)
    decoder = codecs.getincrementaldecoder(_name_codec(table.encoding))()
    try:
        text = decoder.decode(raw, final=len(raw) < HEAD_BYTES)
    except UnicodeError as error:
        raise _refuse_encoding(file, table) from error
    if len(raw) == HEAD_BYTES:
        text = _cut(text, table.quote)
    try:
        head = pl.scan_csv(io.BytesIO(text.encode()), **_options(file, table), n_rows=num_rows)
        return _drop_blank(head).collect()
    except PolarsError as error:
        raise explain(error, file, table) from error


def explain(error: Exception, file: Path, table: Table) -> TreadleError:
    """What is wrong with the file, with the first wrong row if a second, slower pass finds it."""
    try:
        found = _read_strictly(file, table)
    except UnicodeError:
        return _refuse_encoding(file, table)
    return TreadleError(found or str(error).splitlines()[0])


def find_ragged(file: Path, table: Table) -> str:
    """The first row with more or fewer fields than the header, in words; Polars fills a short one with nulls.

    Fields over several lines need a second, slower pass, which runs only where a line seems wrong.
    """
    if table.encoding != "utf-8":
        return _read_strictly(file, table)
    options: dict[str, Any] = {"has_header": False, "new_columns": ["line"], "truncate_ragged_lines": True}
    options["skip_lines"] = int(bool(read_sep_line(file, encoding=table.encoding)))
    lines = pl.scan_csv(file, separator="\x1f", quote_char=None, infer_schema=False, **options)
    line = pl.col("line")
    if table.quote:
        line = line.str.replace_all(f"{table.quote}[^{table.quote}]*{table.quote}", "")
    counts = line.str.count_matches(find_separator(file, table), literal=True)
    wanted = lines.head(1).select(counts).collect().item()
    left_open = line.str.contains(table.quote, literal=True) if table.quote else pl.lit(value=False)
    odd = lines.select((counts.ne(wanted) | left_open).any()).collect(engine="streaming").item()
    return _read_strictly(file, table) if odd else ""


def _options(file: Path, table: Table) -> dict[str, Any]:
    quote = table.quote
    return {
        "separator": find_separator(file, table),
        "skip_lines": int(bool(read_sep_line(file, encoding=table.encoding))),
        "quote_char": quote or None,
        "infer_schema": False,
        "with_column_names": lambda names: [name.replace(quote * 2, quote) if quote else name for name in names],
    }


def _drop_blank(rows: pl.LazyFrame) -> pl.LazyFrame:
    """Without the rows that hold nothing, where a row has several columns.

    The condition is a column first: pushed down into the scan it costs by the square of the width.
    """
    if len(rows.collect_schema()) == 1:
        return rows
    filled = "__filled"
    return rows.with_columns(pl.any_horizontal(pl.all().is_not_null()).alias(filled)).filter(filled).drop(filled)


def _cut(text: str, quote: str) -> str:
    """Whole lines, the last of which is not inside a quoted field."""
    end = text.rfind("\n")
    while end >= 0 and quote and text.count(quote, 0, end) % 2:
        end = text.rfind("\n", 0, end)
    return text[: end + 1]


def _rewrite(file: Path, table: Table, scratch: Path) -> Path:
    """The file in UTF-8, in the folder `scratch`."""
    written = scratch / f"{len(list(scratch.iterdir()))}-{file.name}{kind_of(file)}"  # a text, not compressed
    try:
        with _open_text(file, table) as stream, written.open("w", encoding="utf-8", newline="") as copy:
            shutil.copyfileobj(stream, copy, 1024 * 1024)
    except UnicodeError as error:
        raise _refuse_encoding(file, table) from error
    return written


@contextmanager
def _open_text(file: Path, table: Table) -> Iterator[io.TextIOWrapper]:
    with open_bytes(file) as stream:
        yield io.TextIOWrapper(stream, encoding=_name_codec(table.encoding), newline="")


def _name_codec(encoding: Encoding) -> str:
    """Python's name, which leaves the mark at the start of a file away."""
    return "utf-8-sig" if encoding == "utf-8" else encoding


def _refuse_encoding(file: Path, table: Table) -> TreadleError:
    name = _name_codec(table.encoding)
    place, found = "", b""
    if table.encoding != "utf-16":  # whose lines do not end in one byte
        with open_bytes(file) as stream:
            for number, line in enumerate(stream, start=1):
                try:
                    line.decode(name)
                except UnicodeDecodeError as error:
                    place, found = f"line {number:,}: ", line[max(0, error.start - 20) : error.end + 20]
                    break
    others = f"declare the table's `encoding`: {', '.join(name for name in _USUAL if name != table.encoding)}, …"
    return TreadleError(f"{place}not {table.encoding.upper()}{f', found {found!r}' if found else ''}; {others}")


def _read_strictly(file: Path, table: Table) -> str:
    """What is wrong with the first row that is, by Python's own reader."""
    quoting: Any = csv.QUOTE_MINIMAL if table.quote else csv.QUOTE_NONE
    number = 0
    with _open_text(file, table) as stream:
        if read_sep_line(file, encoding=table.encoding):
            stream.readline()
        reader = csv.reader(
            stream, delimiter=find_separator(file, table), quotechar=table.quote or None, quoting=quoting, strict=True
        )
        try:
            width = len(next(reader, []))
            for row in reader:
                number += bool(row)
                if row and len(row) != width:
                    return f"row {number:,} has {len(row)} fields, the header has {width}: {row[:3]!r}, …"
        except csv.Error as error:
            unclosed = "unexpected end" in str(error) or "larger than field limit" in str(error)
            return f"row {number + 1:,}: {'the quote of a field is never closed' if unclosed else error}"
    return ""
