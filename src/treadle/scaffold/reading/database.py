"""Tables of a database, exported once to Parquet, which DVC versions as files of the project."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from treadle.errors import TreadleError
from treadle.hints import nearest

SCHEMES = ("sqlite://", "postgresql://", "postgres://")
_AT_ONCE = 500  # columns of a query
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
        raise TreadleError(f"--table: required; the database has {', '.join(sorted(names)[:20]) or 'none'}")
    if table not in names:
        raise TreadleError(f"--table: the database has no table {table!r}. {nearest(table, sorted(names))}")
    quoted = ".".join(map(_quote, _split(names[table], kind)))
    what = _list_sqlite_columns(uri, quoted) if kind == "sqlite" else "*"
    frame = _read(uri, f"SELECT {what} FROM {quoted}")  # noqa: S608 - names that the database itself gave, quoted
    file = folder / f"{table}.parquet"
    frame.write_parquet(file)
    return file


def _list_sqlite_columns(uri: str, table: str) -> str:
    """The columns to select: SQLite types each cell, and the driver infers a column's type from its first cells.

    Whole numbers among fractions are read as such; numbers among texts as texts, which `treadle init` looks at.
    """
    # Hidden are those of a virtual table (1), and computed ones (2, 3), which are columns as any other.
    listed = f"SELECT name FROM pragma_table_xinfo({_literal(table)}) WHERE hidden <> 1"  # noqa: S608 - as above
    names = _read(uri, listed)["name"].to_list()
    kinds: dict[str, set[str]] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        asked = ", ".join(f"group_concat(DISTINCT typeof({_quote(name)})) AS {_quote(name)}" for name in some)
        found = _read(uri, f"SELECT {asked} FROM {table}").row(0, named=True)  # noqa: S608 - as above
        kinds |= {name: set((text or "").split(",")) - {"null", ""} for name, text in found.items()}
    return ", ".join(_cast(name, kinds[name]) for name in names)


def _cast(name: str, kinds: set[str]) -> str:
    wanted = "REAL" if kinds == {"integer", "real"} else "TEXT" if len(kinds) > 1 else ""
    return f"CAST({_quote(name)} AS {wanted}) AS {_quote(name)}" if wanted else _quote(name)


def _quote(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _literal(quoted: str) -> str:
    """A quoted name as a text."""
    name = quoted[1:-1].replace('""', '"')
    return "'" + name.replace("'", "''") + "'"


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
