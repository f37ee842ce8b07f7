"""Files that know the types of their columns: Parquet, Arrow, JSON Lines, Avro, ORC, Excel, Delta, Iceberg.

What Polars cannot scan lazily is read once, and kept in memory or as Parquet.
"""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from polars.exceptions import PolarsError

from treadle.data.compression import open_bytes, read_start
from treadle.data.text_files import HEAD_BYTES
from treadle.errors import TreadleError
from treadle.experiment.spec import Table

_NO_GLOB: dict[str, Any] = {"glob": False}  # the name of a file is no pattern


@dataclass(frozen=True)
class TypedFormat:
    """A kind of files; each function of it takes the path and the table.

    Args:
        name: in messages.
        suffixes: of its files, in small letters; none of folders.
        scan_rows: every row, lazily where that is possible.
        read_rows: the first rows, with the types of all; None where the scan is lazy.
        count: the number of rows, where the scan does not tell it at little cost.
        extra: of Treadle, which installs its library; empty where none is needed.
        library: that Polars reads it by; empty where none is needed.
        is_compressible: whether its files may be compressed as a whole.
        has_sheets: whether a file holds several tables by name.
        columns_vary: whether a row may have columns that no row before it has.
    """

    name: str
    suffixes: tuple[str, ...]
    scan_rows: Callable[[Path, Table, Path], pl.LazyFrame]
    read_rows: Callable[[Path, Table, int], pl.DataFrame] | None = None
    count: Callable[[Path, Table], int | None] | None = None
    extra: str = ""
    library: str = ""
    is_compressible: bool = False
    has_sheets: bool = False
    columns_vary: bool = False
    is_text: bool = False

    def scan(self, path: Path, table: Table, *, scratch: Path) -> pl.LazyFrame:
        """Every row; see `Format`."""
        self._require_library()
        return self.scan_rows(path, table, scratch)

    def scan_directly(self, path: Path, table: Table) -> pl.LazyFrame | None:  # noqa: ARG002 - see `Format`
        """None: there is no text to parse."""
        return None

    def scan_head(self, path: Path, table: Table, *, num_rows: int) -> pl.LazyFrame:
        """The first rows; see `Format`."""
        self._require_library()
        try:
            if self.read_rows is not None:
                return self.read_rows(path, table, num_rows).lazy()
            head = self.scan_rows(path, table, path.parent).head(num_rows)
            head.collect_schema()
        except (PolarsError, OSError) as error:
            raise self.explain(error, path, table) from error
        return head

    def shows_columns(self, path: Path) -> bool:
        """Whether the head of a file shows all columns."""
        return not self.columns_vary or _is_all(read_start(path, HEAD_BYTES)[0])

    def count_rows(self, path: Path, table: Table) -> int | None:
        """The number of rows; see `Format`."""
        self._require_library()
        if self.count is not None:
            return self.count(path, table)
        return int(self.scan_rows(path, table, path.parent).select(pl.len()).collect().item())

    def explain(self, error: Exception, path: Path, table: Table) -> TreadleError:  # noqa: ARG002 - see `Format`
        """What Polars says, with the line of a JSON file."""
        place = _find_bad_line(path) if self.name == JSON_LINES else ""
        return TreadleError(place or str(error).splitlines()[0].partition(", hint:")[0])

    def find_fault(self, path: Path, table: Table) -> str:  # noqa: ARG002 - see `Format`
        """Nothing: what can be read is whole."""
        return ""

    def _require_library(self) -> None:
        try:
            if self.library:
                importlib.import_module(self.library)
        except ImportError as error:
            raise TreadleError(f"{self.name} needs its library: pip install 'treadle[{self.extra}]'") from error


JSON_LINES = "JSON Lines"
_METADATA, _HINT = ".metadata.json", "version-hint.text"  # files of Iceberg


def _scan_parquet(path: Path, _table: Table, _scratch: Path) -> pl.LazyFrame:
    return pl.scan_parquet(path, **_NO_GLOB)


def _scan_arrow(path: Path, _table: Table, _scratch: Path) -> pl.LazyFrame:
    return pl.scan_ipc(path, **_NO_GLOB)


def _scan_arrow_stream(path: Path, _table: Table, _scratch: Path) -> pl.LazyFrame:
    with path.open("rb") as stream:
        return pl.read_ipc_stream(stream).lazy()


def _scan_json(path: Path, _table: Table, scratch: Path) -> pl.LazyFrame:
    """By way of Parquet: the types of JSON's values are known when all are read."""
    copy = scratch / f"{len(list(scratch.iterdir()))}-{path.stem}.parquet"
    pl.scan_ndjson(path, infer_schema_length=None).sink_parquet(copy, compression="lz4", statistics=False)
    return pl.scan_parquet(copy, **_NO_GLOB)


def _read_json(path: Path, _table: Table, num_rows: int) -> pl.DataFrame:
    content, _ = read_start(path, HEAD_BYTES)
    whole = content if _is_all(content) else content[: content.rfind(b"\n") + 1]
    return pl.read_ndjson(whole, infer_schema_length=None).head(num_rows)


def _is_all(start: bytes) -> bool:
    """Whether the first HEAD_BYTES of a file, unpacked, are the whole file."""
    return len(start) < HEAD_BYTES


def _count_none(path: Path, table: Table) -> None:
    """Lines would have to be counted."""


def _find_bad_line(path: Path) -> str:
    """The first line that is no JSON object, in words; empty where all are."""
    with open_bytes(path) as stream:
        for number, line in enumerate(stream, start=1):
            try:
                is_object = not line.strip() or isinstance(json.loads(line), dict)
            except ValueError:
                is_object = False
            if not is_object:
                return f"line {number:,} is no JSON object: {line[:40]!r}"
    return ""


def _scan_avro(path: Path, table: Table, _scratch: Path) -> pl.LazyFrame:
    return _read_avro(path, table, None).lazy()


def _read_avro(path: Path, _table: Table, num_rows: int | None) -> pl.DataFrame:
    with path.open("rb") as stream:
        return pl.read_avro(stream, n_rows=num_rows)


def _scan_orc(path: Path, _table: Table, _scratch: Path) -> pl.LazyFrame:
    from pyarrow import orc

    return _to_frame(orc.ORCFile(str(path)).read()).lazy()


def _read_orc(path: Path, _table: Table, num_rows: int) -> pl.DataFrame:
    from pyarrow import orc

    file = orc.ORCFile(str(path))
    stripe = file.read_stripe(0) if file.nstripes else file.schema.empty_table()
    return _to_frame(stripe).head(num_rows)


def _to_frame(columns: Any) -> pl.DataFrame:
    import pyarrow as pa

    frame = pl.from_arrow(columns if isinstance(columns, pa.Table) else pa.Table.from_batches([columns]))
    assert isinstance(frame, pl.DataFrame), "a table of Arrow is a frame"
    return frame


def _count_orc(path: Path, _table: Table) -> int:
    from pyarrow import orc

    return int(orc.ORCFile(str(path)).nrows)


def _scan_excel(path: Path, table: Table, _scratch: Path) -> pl.LazyFrame:
    return _read_excel(path, table, None).lazy()


def _read_excel(path: Path, table: Table, num_rows: int | None) -> pl.DataFrame:
    """One sheet; of a column whose cells are numbers and texts all are texts."""
    import fastexcel

    try:
        book = fastexcel.read_excel(path)
        sheet = table.sheet if table.sheet is not None else book.sheet_names[0]
        if sheet not in book.sheet_names:
            raise TreadleError(f"has no sheet {sheet!r}; its sheets are {', '.join(map(repr, book.sheet_names))}")
        loaded = book.load_sheet(sheet, n_rows=num_rows, schema_sample_rows=None)
        frame: pl.DataFrame = loaded.to_polars()
    except fastexcel.FastExcelError as error:
        raise TreadleError(str(error).splitlines()[0]) from error
    return frame.filter(~pl.all_horizontal(pl.all().is_null())) if frame.width > 1 else frame


def _scan_delta(path: Path, _table: Table, _scratch: Path) -> pl.LazyFrame:
    return pl.scan_delta(str(path.resolve()))


def _scan_iceberg(path: Path, _table: Table, _scratch: Path) -> pl.LazyFrame:
    return pl.scan_iceberg(str(find_metadata(path).resolve()), reader_override="pyiceberg")


def find_metadata(table: Path) -> Path:
    """The file that says what a table of Iceberg holds now: the one that its version hint names, or the newest version.

    Args:
        table: its folder.

    Raises:
        TreadleError: the hint names a file that is not there, or there are several of the newest version.
    """
    folder = table / "metadata"
    hint = folder / _HINT
    if hint.is_file():
        named = hint.read_text(encoding="utf-8").strip()
        whole = named if named.endswith(_METADATA) else f"{'v' if named.isdecimal() else ''}{named}{_METADATA}"
        if not (folder / whole).is_file():
            raise TreadleError(f"metadata/{_HINT} says {named!r}, and there is no file metadata/{whole}")
        return folder / whole
    by_version: dict[int, list[str]] = {}
    for file in sorted(folder.glob(f"*{_METADATA}")):
        version = re.match(r"v?([0-9]+)", file.name)
        by_version.setdefault(int(version[1]) if version else -1, []).append(file.name)
    newest = by_version[max(by_version)]
    if len(newest) > 1:
        raise TreadleError(
            f"{len(newest)} files of the newest version: {', '.join(newest)}; the catalog knows which one holds: write "
            f"its name into metadata/{_HINT}, or delete those that a writer left behind"
        )
    return folder / newest[0]


PARQUET = TypedFormat("Parquet", (".parquet", ".pq"), _scan_parquet)
TYPED_FORMATS = (
    PARQUET,
    TypedFormat("Arrow", (".arrow", ".feather", ".ipc"), _scan_arrow),
    TypedFormat("Arrow stream", (".arrows",), _scan_arrow_stream),
    TypedFormat(
        JSON_LINES,
        (".jsonl", ".ndjson"),
        _scan_json,
        _read_json,
        _count_none,
        is_compressible=True,
        columns_vary=True,
    ),
    TypedFormat("Avro", (".avro",), _scan_avro, _read_avro),
    TypedFormat("ORC", (".orc",), _scan_orc, _read_orc, count=_count_orc, extra="orc", library="pyarrow.orc"),
    TypedFormat(
        "Excel",
        (".xlsx", ".xlsm", ".xls", ".xlsb", ".ods"),
        _scan_excel,
        _read_excel,
        extra="excel",
        library="fastexcel",
        has_sheets=True,
    ),
)
LAKES = {
    "_delta_log": TypedFormat("Delta", (), _scan_delta, extra="delta", library="deltalake"),
    "metadata": TypedFormat("Iceberg", (), _scan_iceberg, extra="iceberg", library="pyiceberg"),
}
