"""A table of a database becomes a file of the project."""

import getpass
import sqlite3

import polars as pl
import pytest

import messy
from postgresql_server import serve_postgresql
from treadle.errors import TreadleError
from treadle.scaffold.init import Origin, fill
from treadle.scaffold.planning.plan import Request
from treadle.scaffold.reading.database import export_table


@pytest.fixture
def database(tmp_path):
    """An SQLite file with one table that has an odd name, and typed columns."""
    columns = messy.make_rows()
    file = tmp_path / "shop.db"
    with sqlite3.connect(file) as connection:
        connection.execute('CREATE TABLE "sales 2024" (size REAL, color TEXT, count INTEGER, answer TEXT)')
        connection.executemany('INSERT INTO "sales 2024" VALUES (?, ?, ?, ?)', zip(*columns.values(), strict=True))
        connection.execute('UPDATE "sales 2024" SET color = NULL WHERE rowid < 4')
    connection.close()
    return f"sqlite:///{file}"


@pytest.mark.slow
def test_a_table_of_sqlite_becomes_a_project(database, tmp_path):
    folder = tmp_path / "shop"
    folder.mkdir()

    made = fill(
        folder, title="shop", package="shop", origin=Origin([database], "sales 2024"), request=Request("answer")
    )

    assert made.plan.num_rows == messy.ROWS
    assert pl.read_parquet(folder / "data" / "shop" / "sales 2024.parquet")["color"].null_count() == 3
    assert "sales 2024 of a database" in (folder / "README.md").read_text()


@pytest.mark.parametrize(
    ("table", "told"),
    [
        (None, "--table: required; the database has sales 2024"),
        ("sales 2025", "the database has no table 'sales 2025'. Did you mean 'sales 2024'?"),
        ('x" UNION SELECT 1 --', "the database has no table"),
    ],
)
def test_a_table_that_is_not_there(database, tmp_path, table, told):
    with pytest.raises(TreadleError, match=told.replace("?", r"\?").replace(".", r"\.")):
        export_table(database, table, folder=tmp_path)


def test_a_cell_of_another_type_far_down_loses_nothing(tmp_path):
    rows = [(index, index / 2, index if index % 2 else index + 0.5) for index in range(2_000)]
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute('CREATE TABLE t (whole INTEGER, part REAL, "a ""b" INTEGER)')
        connection.executemany("INSERT INTO t VALUES (?, ?, ?)", [*rows, ("n/a", 0.5, 3)])
    connection.close()

    frame = pl.read_parquet(export_table(f"sqlite:///{tmp_path / 't.db'}", "t", folder=tmp_path))

    assert frame["whole"].tail(2).to_list() == ["1999", "n/a"]
    assert frame['a "b'].head(2).to_list() == [0.5, 1.0]
    assert len(frame) == 2_001


def test_computed_columns_are_columns(tmp_path):
    with sqlite3.connect(tmp_path / "t.db") as connection:
        connection.execute("CREATE TABLE t (a INTEGER, b AS (a + 1) VIRTUAL, c AS (a + 2) STORED)")
        connection.execute("INSERT INTO t (a) VALUES (1)")
    connection.close()

    frame = pl.read_parquet(export_table(f"sqlite:///{tmp_path / 't.db'}", "t", folder=tmp_path))

    assert frame.to_dicts() == [{"a": 1, "b": 2, "c": 3}]


def test_a_database_that_is_not_there(tmp_path):
    with pytest.raises(TreadleError, match=r"no file 'nothing\.db'; write sqlite:///path\.db"):
        export_table("sqlite:///nothing.db", "x", folder=tmp_path)


# --- PostgreSQL ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def server():
    """A PostgreSQL of its own with one table in a schema."""
    with serve_postgresql() as uri:
        columns = pl.DataFrame(messy.make_rows()).with_columns(pl.col("size").cast(float), pl.col("count").cast(int))
        columns.write_database("shop_sales", uri, engine="adbc")
        yield uri


@pytest.mark.slow
def test_a_table_of_postgresql(server, tmp_path):
    file = export_table(server, "shop_sales", folder=tmp_path)

    assert pl.read_parquet(file)["size"].to_list() == pytest.approx([float(v) for v in messy.make_rows()["size"]])


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_reported(tmp_path):
    with pytest.raises(TreadleError, match="--from: the database cannot be read"):
        export_table(f"postgresql://{getpass.getuser()}@127.0.0.1:1/none", "x", folder=tmp_path)
