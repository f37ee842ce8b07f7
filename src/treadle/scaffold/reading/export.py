"""Tables that are exported once to Parquet: files at an address are fetched, kinds that need a library are read.

A project that is made from them needs neither the network nor the library.
"""

from __future__ import annotations

from pathlib import Path
from tempfile import mkdtemp

from treadle.data.formats import READ_ERRORS, find_format
from treadle.errors import TreadleError
from treadle.experiment.spec import Column, Table
from treadle.remote import fetch
from treadle.secrets import redact


def fetch_files(address: str, *, folder: Path) -> list[Path]:
    """The files at an address, each in a new folder below `folder`.

    Raises:
        TreadleError: there are none, or they cannot be fetched.
    """
    copies = fetch(address, folder=Path(mkdtemp(dir=folder)))
    if not copies:
        raise TreadleError(f"--from: no file {redact(address)}")
    return [copy.rename(Path(mkdtemp(dir=folder)) / copy.name) for copy in copies]


def export_files(files: list[Path], sheet: str | None, *, folder: Path) -> list[Path]:
    """The files, those that only a library of an extra reads as Parquet in `folder`.

    Args:
        files: of one table.
        sheet: of Excel files; None: the first.
        folder: where exported files go, each in a folder of its own.

    Raises:
        TreadleError: a file cannot be read, or has no sheets and one was named.
    """
    return [_export(file, sheet, folder) for file in files]


def _export(file: Path, sheet: str | None, folder: Path) -> Path:
    known = find_format(file)
    if sheet is not None and not known.has_sheets:
        raise TreadleError("--table: names a table of a database, or a sheet of an Excel file; --from gives others")
    if not known.extra:
        return file
    table = Table(path=str(file), columns={"column": Column(dtype="str")}, sheet=sheet)
    exported = Path(mkdtemp(dir=folder)) / f"{file.stem}.parquet"
    try:
        known.scan(file, table, scratch=exported.parent).sink_parquet(exported)
    except READ_ERRORS as error:
        raise TreadleError(f"{file}: {known.explain(error, file, table)}") from error
    except TreadleError as error:
        raise TreadleError(f"{file}: {error}") from error
    return exported
