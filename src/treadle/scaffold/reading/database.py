"""Tables of a database, exported once to Parquet, which DVC versions as files of the project."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from treadle.databases import find_file, find_kind, list_tables, query, quote_name, quote_text
from treadle.errors import TreadleError
from treadle.hints import nearest

OPTION = "--from"  # that names the database
_AT_ONCE = 500  # columns of a query
_query = partial(query, option=OPTION)


def export_table(uri: str, table: str | None, *, folder: Path) -> Path:
    """Write one table of a database to `folder/<table>.parquet`.

    Args:
        uri: `sqlite:///relative.db`, `sqlite:////absolute.db`, or `postgresql://user@host/database`.
        table: its name; with its schema where it has one (`public.people`).
        folder: where the file goes.

    Raises:
        TreadleError: the driver is not installed, the database cannot be reached, or it has no such table.
    """
    kind = find_kind(uri)
    if kind == "sqlite" and not find_file(uri).is_file():
        rule = f"--from: no file {str(find_file(uri))!r}"
        raise TreadleError(f"{rule}; write sqlite:///path.db, or sqlite:////path.db from the root")
    names = list_tables(uri, option=OPTION)
    if table is None:
        raise TreadleError(f"--table: required; the database has {', '.join(sorted(names)[:20]) or 'none'}")
    if table not in names:
        raise TreadleError(f"--table: the database has no table {table!r}. {nearest(table, sorted(names))}")
    quoted = ".".join(map(quote_name, _split(names[table], kind)))
    what = _list_sqlite_columns(uri, quoted) if kind == "sqlite" else "*"
    frame = _query(uri, f"SELECT {what} FROM {quoted}")  # noqa: S608 - names that the database itself gave, quoted
    file = folder / f"{table}.parquet"
    frame.write_parquet(file)
    return file


def _list_sqlite_columns(uri: str, table: str) -> str:
    """The columns to select: SQLite types each cell, and the driver infers a column's type from its first cells.

    Whole numbers among fractions are read as such; numbers among texts as texts, which `treadle init` looks at.
    """
    # Hidden are those of a virtual table (1), and computed ones (2, 3), which are columns as any other.
    listed = f"SELECT name FROM pragma_table_xinfo({_literal(table)}) WHERE hidden <> 1"  # noqa: S608 - as above
    names = _query(uri, listed)["name"].to_list()
    kinds: dict[str, set[str]] = {}
    for start in range(0, len(names), _AT_ONCE):
        some = names[start : start + _AT_ONCE]
        asked = ", ".join(f"group_concat(DISTINCT typeof({quote_name(name)})) AS {quote_name(name)}" for name in some)
        found = _query(uri, f"SELECT {asked} FROM {table}").row(0, named=True)  # noqa: S608 - as above
        kinds |= {name: set((text or "").split(",")) - {"null", ""} for name, text in found.items()}
    return ", ".join(_cast(name, kinds[name]) for name in names)


def _cast(name: str, kinds: set[str]) -> str:
    wanted = "REAL" if kinds == {"integer", "real"} else "TEXT" if len(kinds) > 1 else ""
    return f"CAST({quote_name(name)} AS {wanted}) AS {quote_name(name)}" if wanted else quote_name(name)


def _literal(quoted: str) -> str:
    """A quoted name as a text."""
    name = quoted[1:-1].replace('""', '"')
    return quote_text(name)


def _split(name: str, kind: str) -> list[str]:
    return name.split(".", 1) if kind == "postgresql" else [name]
