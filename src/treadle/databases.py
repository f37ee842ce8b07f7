"""Databases by ADBC, the extra `database`: SQLite and PostgreSQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import polars as pl

from treadle.errors import TreadleError

SCHEMES = ("sqlite://", "postgresql://", "postgres://")
_LIST = {
    "sqlite": "SELECT name FROM sqlite_master WHERE type IN ('table', 'view') ORDER BY name",
    "postgresql": "SELECT table_schema || '.' || table_name AS name FROM information_schema.tables "
    "WHERE table_schema NOT IN ('pg_catalog', 'information_schema') ORDER BY 1",
}


def is_database(text: str) -> bool:
    """Whether it names a database rather than files."""
    return text.startswith(SCHEMES)


def find_kind(uri: str) -> str:
    """`sqlite` or `postgresql`."""
    return "sqlite" if uri.startswith("sqlite") else "postgresql"


def find_file(uri: str) -> Path:
    """The file of an SQLite database."""
    return Path(uri.removeprefix("sqlite:///"))


def list_tables(uri: str, *, option: str) -> dict[str, str]:
    """The tables of a database by name, with their schema and, for those of `public`, without; errors as `query`."""
    tables = query(uri, _LIST[find_kind(uri)], option=option)["name"].to_list()
    return {name: name for name in tables} | {name.removeprefix("public."): name for name in tables}


def quote_name(name: str) -> str:
    """A name as SQL writes it, whatever characters it has."""
    return '"' + name.replace('"', '""') + '"'


def quote_text(text: str) -> str:
    """A text as SQL writes it."""
    return "'" + text.replace("'", "''") + "'"


def query(uri: str, sql: str, *, option: str) -> pl.DataFrame:
    """What a query gives.

    Args:
        uri: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user@host/database`.
        sql: the query.
        option: of the command line that names the database, for errors.

    Raises:
        TreadleError: the driver is not installed, or the database cannot be read.
    """
    try:
        return pl.read_database_uri(sql, uri, engine="adbc")
    except ImportError as error:
        raise _need_driver(option) from error
    except Exception as error:
        raise TreadleError(f"{option}: the database cannot be read: {explain(error)}") from error


def connect(uri: str, *, option: str) -> Any:
    """An open connection, whose changes hold from its next `commit` on; arguments and errors as `query`."""
    try:
        if find_kind(uri) == "sqlite":
            from adbc_driver_sqlite import dbapi as sqlite

            return sqlite.connect(str(find_file(uri)))
        from adbc_driver_postgresql import dbapi as postgresql

        return postgresql.connect(uri)
    except ImportError as error:
        raise _need_driver(option) from error
    except Exception as error:
        raise TreadleError(f"{option}: the database cannot be opened: {explain(error)}") from error


def explain(error: Exception) -> str:
    """The message of a driver, in one line."""
    return " ".join(str(error).split())


def _need_driver(option: str) -> TreadleError:
    return TreadleError(f"{option}: a database needs its driver: pip install 'treadle[database]'")
