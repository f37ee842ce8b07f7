"""Tables of a database, exported once to Parquet: from then on the project has its data as files, versioned by DVC."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from treadle.experiment.problems import nearest
from treadle.schema import TreadleError

SCHEMES = ("sqlite://", "postgresql://", "postgres://")
_LIST = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name",
    "postgresql": "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
}


def is_database(text: str) -> bool:
    """Whether it names a database rather than files."""
    return text.startswith(SCHEMES)


def export_table(uri: str, table: str | None, *, folder: Path) -> Path:
    """Write one table of a database to `folder/<table>.parquet`.

    Args:
        uri: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user@host/database`.
        table: its name; with its schema where it has one (`public.people`).
        folder: where the file goes.

    Raises:
        TreadleError: the driver is not installed, the database cannot be reached, or it has no such table.
    """
    kind = "sqlite" if uri.startswith("sqlite") else "postgresql"
    if kind == "sqlite" and not Path(uri.removeprefix("sqlite:///")).is_file():
        path = uri.removeprefix("sqlite:///")
        raise TreadleError(f"--from: no file {path!r}; write sqlite:///path.db, or sqlite:////path.db from the root")
    tables = _read(uri, _LIST[kind])["name"].to_list()
    names = {name: name for name in tables} | {name.removeprefix("public."): name for name in tables}
    if table is None:
        raise TreadleError(f"--table: say which; the database has {', '.join(sorted(names)[:20]) or 'none'}")
    if table not in names:
        raise TreadleError(f"--table: the database has no table {table!r}. {nearest(table, sorted(names))}")
    quoted = ".".join('"' + part.replace('"', '""') + '"' for part in _split(names[table], kind))
    frame = _read(uri, f"SELECT * FROM {quoted}")  # noqa: S608 - a name that the database itself gave, quoted
    file = folder / f"{table}.parquet"
    frame.write_parquet(file)
    return file


def _split(name: str, kind: str) -> list[str]:
    return name.split(".", 1) if kind == "postgresql" else [name]


def _read(uri: str, query: str) -> pl.DataFrame:
    try:
        return pl.read_database_uri(query, uri, engine="adbc")
    except ImportError as error:
        raise TreadleError("--from: a database needs its driver: pip install 'treadle[database]'") from error
    except Exception as error:
        reason = " ".join(str(error).split())
        raise TreadleError(f"--from: the database cannot be read: {reason}") from error
