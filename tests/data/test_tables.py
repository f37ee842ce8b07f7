from datetime import datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl
import pytest

from treadle.data.contract import ContractError
from treadle.data.lazy_frames import MEMORY_CELLS, materialize
from treadle.data.prepare import build_examples, prepare
from treadle.data.tables import load_tables, read_table
from treadle.errors import TreadleError
from treadle.experiment.spec import Data, Table
from treadle.schema import LABEL, ROW, SPLITS

NOW = datetime(2026, 1, 1)  # noqa: DTZ001


def read(tmp_path, text, columns, *, key=(), name="t.csv"):
    (tmp_path / name).write_text(text)
    spec = Table.model_validate({"path": name, "columns": columns, "key": list(key)})
    return collect(spec, tmp_path)


def collect(spec, tmp_path):
    with TemporaryDirectory() as scratch:
        return read_table(spec, name="t", root=tmp_path, now=NOW, scratch=Path(scratch)).collect()


def test_text_becomes_the_declared_type(tmp_path):
    columns = {
        "i": {"dtype": "int"},
        "f": {"dtype": "float", "nullable": True, "missing": ["?"]},
        "b": {"dtype": "bool"},
        "d": {"dtype": "date"},
        "t": {"dtype": "datetime"},
    }

    frame = read(
        tmp_path,
        "i,f,b,d,t\n1,2.5,true,2013-01-02,2013-01-02T03:04:05Z\n2,?,false,2013-01-03,2013-01-02 05:00:00\n",
        columns,
    )

    assert frame.to_dicts()[0] == {
        "i": 1,
        "f": 2.5,
        "b": True,
        "d": datetime(2013, 1, 2).date(),  # noqa: DTZ001
        "t": datetime(2013, 1, 2, 3, 4, 5),  # noqa: DTZ001
    }
    assert frame.to_dicts()[1]["f"] is None
    assert frame["t"][1] == datetime(2013, 1, 2, 5)  # noqa: DTZ001


@pytest.mark.parametrize(
    ("column", "rule"),
    [
        ({"dtype": "int"}, "must be of type int; 1 row does not, such as row 3: 'x'"),
        ({"dtype": "str", "unique": True}, "must be unique; 2 rows do not, such as row 1: '1', row 2: '1'"),
        ({"dtype": "str", "allowed": ["1"]}, r"must be one of .1.; 1 row does not, such as row 3: 'x'"),
        ({"dtype": "str", "missing": ["x"]}, "must not be missing; 1 row does not, such as row 3: None"),
        (
            {"dtype": "float", "missing": ["x"], "nullable": True, "min": 2},
            "must be at least 2.*; 2 rows do not",
        ),
        (
            {"dtype": "float", "missing": ["x"], "nullable": True, "max": 0},
            "must be at most 0.*row 1: 1.0, row 2: 1.0",
        ),
    ],
    ids=["type", "unique", "allowed", "missing", "min", "max"],
)
def test_a_breach_names_table_column_rule_count_and_examples(tmp_path, column, rule):
    with pytest.raises(ContractError, match=rf"(?s)the table 't' breaks.*data.tables.t.columns.a: {rule}"):
        read(tmp_path, "a\n1\n1\nx\n", {"a": column})


def test_a_key_must_name_one_row(tmp_path):
    columns = {"a": {"dtype": "int"}, "b": {"dtype": "str"}}

    with pytest.raises(ContractError, match=r"a, b: must together be unique.*row 1: 1, 'x', row 3: 1, 'x'"):
        read(tmp_path, "a,b\n1,x\n1,y\n1,x\n", columns, key=["a", "b"])


def test_all_breaches_are_reported_at_once(tmp_path):
    with pytest.raises(ContractError) as caught:
        read(
            tmp_path,
            "a,b\n1,5\n1,6\n",
            {"a": {"dtype": "int", "unique": True}, "b": {"dtype": "int", "max": 4}},
        )

    assert [breach.column for breach in caught.value.breaches] == ["a", "b"]


DATED = pl.DataFrame(
    {
        "day": pl.Series(["2013-01-01", "2013-01-02", None]).str.to_date(),
        "at": pl.Series(["2013-01-01T01:00", "2013-01-02T02:00", None]).str.to_datetime(),
        "b": [True, False, None],
        "i": [2**53 + 1, 2**53, None],
    }
)


@pytest.mark.parametrize(
    ("column", "rule", "broken"),
    [
        ("day", {"allowed": ["2013-01-01"]}, "must be one of '2013-01-01'; 1 row does not, such as row 2: 2013-01-02"),
        ("at", {"allowed": ["2013-01-01T02:00+01:00"]}, "row 2: 2013-01-02 02:00:00"),
        ("b", {"allowed": [True]}, "must be one of True; 1 row does not, such as row 2: False"),
        ("day", {"min": "2013-01-02"}, "must be at least 2013-01-02; 1 row does not, such as row 1: 2013-01-01"),
        ("at", {"max": "2013-01-02T00:00Z"}, "must be at most 2013-01-02T00:00Z; 1 row does not, such as row 2: 2013"),
        ("i", {"max": 2**53}, "1 row does not, such as row 1: 9007199254740993"),
        ("day", {"max_age": "4746d"}, "the newest value must be at most 4746d old at 2026-01-01 00:00; .*row 2"),
        ("at", {"max_age": "113925h"}, "the newest value must be at most 113925h old"),
    ],
)
def test_a_rule_is_held_in_the_type_of_its_column(tmp_path, column, rule, broken):
    DATED.write_parquet(tmp_path / "t.parquet")
    dtype = {"day": "date", "at": "datetime", "b": "bool", "i": "int"}[column]
    spec = {"path": "t.parquet", "columns": {column: {"dtype": dtype, "nullable": True, **rule}}}

    with pytest.raises(ContractError, match=rf"columns\.{column}: .*{broken}"):
        collect(Table.model_validate(spec), tmp_path)


@pytest.mark.parametrize(
    "columns",
    [
        {"day": {"dtype": "date", "max_age": "4747d", "min": "2013-01-01", "max": "2013-01-02"}},
        {"at": {"dtype": "datetime", "max_age": "113926h", "allowed": ["2013-01-01T01:00", "2013-01-02T02:00Z"]}},
        {"b": {"dtype": "bool", "allowed": [True, False], "unique": True}},
    ],
    ids=["date", "datetime", "bool"],
)
def test_rows_that_keep_every_rule_are_taken(tmp_path, columns):
    pl.concat([DATED, DATED[2:]]).write_parquet(tmp_path / "t.parquet")  # what is missing twice is no value twice
    columns = {name: {**column, "nullable": True} for name, column in columns.items()}

    assert len(collect(Table.model_validate({"path": "t.parquet", "columns": columns}), tmp_path)) == 4


def test_a_column_without_any_value_is_not_fresh(tmp_path):
    with pytest.raises(ContractError, match="the newest value must be at most 1d old"):
        read(tmp_path, "t,x\n,1\n", {"t": {"dtype": "date", "nullable": True, "max_age": "1d"}, "x": {"dtype": "int"}})


def test_stale_data_is_refused(tmp_path):
    with pytest.raises(ContractError, match="the newest value must be at most 1d old"):
        read(tmp_path, "t\n2013-01-01T00:00:00Z\n", {"t": {"dtype": "datetime", "max_age": "1d"}})


def test_an_unknown_column_is_named_with_its_nearest_spelling(tmp_path):
    with pytest.raises(TreadleError, match=r"data\.tables\.t\.columns\.distanse: .* Did you mean 'distance'"):
        read(tmp_path, "distance\n1\n", {"distanse": {"dtype": "int"}})


def test_a_missing_file_is_reported_with_its_path(tmp_path):
    spec = Table.model_validate({"path": "none.csv", "columns": {"a": {"dtype": "int"}}})

    with pytest.raises(TreadleError, match=r"data\.tables\.t\.path: no file at 'none.csv'"):
        collect(spec, tmp_path)


def test_a_glob_reads_several_files_as_one_table(tmp_path):
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "one.parquet")
    pl.DataFrame({"a": [2]}).write_parquet(tmp_path / "two.parquet")
    spec = Table.model_validate({"path": "*.parquet", "columns": {"a": {"dtype": "int"}}})

    assert collect(spec, tmp_path)["a"].to_list() == [1, 2]


def people(tmp_path, **changes):
    (tmp_path / "p.csv").write_text("id,team,y\n1,a,0\n2,b,1\n3,c,1\n")
    (tmp_path / "teams.csv").write_text("name,size\na,5\nb,6\n")
    teams = {"path": "teams.csv", "columns": {"name": {"dtype": "str"}, "size": {"dtype": "int"}}}
    table = {
        "path": "p.csv",
        "columns": {"id": {"dtype": "int"}, "team": {"dtype": "str"}, "y": {"dtype": "int"}},
        "joins": {"team": {"table": "teams", "by": {"team": "name"}, "columns": {"twice": "size * 2"}}},
    }
    spec = {
        "task": "binary",
        "tables": {"people": table, "teams": teams},
        "examples": {"table": "people", "known": ["twice"], "label": "y = 1"},
        "split": {"by": "random", "valid": 0.34, "test": 0.34, "seed": 0},
        **changes,
    }
    return Data.model_validate(spec)


def test_a_join_looks_up_by_key_and_leaves_a_null_where_there_is_none(tmp_path):
    tables = load_tables(people(tmp_path), root=tmp_path, now=NOW, scratch=tmp_path)

    assert tables["people"].rows.collect()["twice"].to_list() == [10, 12, None]


@pytest.mark.parametrize("cells", [-1, MEMORY_CELLS], ids=["table in a file", "table in memory"])
@pytest.mark.parametrize("derive", [{}, {"copied": "id"}], ids=["looked up", "copied"])
def test_examples_hold_what_joins_found_where_it_lies(tmp_path, monkeypatch, derive, cells):
    monkeypatch.setattr("treadle.data.lazy_frames.MEMORY_CELLS", cells)  # of tables; what is looked up stays in memory
    spec = people(tmp_path, examples={"table": "people", "known": ["name", "id", "twice"], "label": "y = 1"})
    table = spec.tables["people"].model_dump() | {"derive": derive}
    table["joins"]["name"] = {"table": "teams", "by": {"team": "name"}, "columns": {"name": "name", "one": "1"}}
    spec = spec.model_copy(update={"tables": {**spec.tables, "people": Table.model_validate(table)}})

    examples = build_examples(spec, root=tmp_path, now=NOW, scratch=tmp_path)

    assert bool(examples.columns.lookups) == (not derive)
    taken = pl.concat([examples.take(split) for split in SPLITS]).sort("id")
    assert taken.columns == [ROW, LABEL, "name", "id", "twice"]
    assert taken.rows() == [(0, 0.0, "a", 1, 10), (1, 1.0, "b", 2, 12), (2, 1.0, None, 3, None)]


def test_a_row_is_left_out_for_the_first_reason_that_holds(tmp_path):
    exclude = {"odd": "id = 1 OR id = 3", "team a": "team = 'a'", "late": "id >= 3"}
    spec = people(tmp_path, examples={"table": "people", "known": ["id"], "label": "y = 1", "exclude": exclude})
    (tmp_path / "p.csv").write_text("id,team,y\n1,a,0\n2,b,1\n3,c,1\n2,a,0\n2,b,0\n4,c,1\n2,b,1\n")

    examples = build_examples(spec, root=tmp_path, now=NOW, scratch=tmp_path)

    assert examples.excluded == {"odd": 2, "team a": 1, "late": 1, "between the splits": 0}
    assert sorted(pl.concat(examples.take(split) for split in SPLITS)[ROW]) == [1, 4, 6]


def test_a_join_by_two_keys_finds_the_row_of_both(tmp_path):
    rows = pl.DataFrame({"id": range(5000), "y": [i % 2 for i in range(5000)]}).with_columns(
        team=pl.when(pl.col("id") % 7 > 0).then(pl.concat_str(pl.lit("t"), pl.col("id") * 31 % 50)),
        year=pl.col("id") * 17 % 11,
    )
    teams = rows.select("team", "year").drop_nulls().unique().filter(pl.col("year") != 3).sort("year", "team")
    rows.write_parquet(tmp_path / "p.parquet")
    teams.with_columns(size=pl.int_range(pl.len())).write_parquet(tmp_path / "teams.parquet")
    keys = {"team": {"dtype": "str", "nullable": True}, "year": {"dtype": "int"}}
    join = {"table": "teams", "by": {"team": "team", "year": "year"}, "columns": {"size": "size"}}
    whole = {"dtype": "int"}
    tables = {
        "people": {"path": "p.parquet", "columns": {"id": whole, "y": whole, **keys}, "joins": {"team": join}},
        "teams": {"path": "teams.parquet", "columns": {**keys, "size": whole}},
    }

    loaded = load_tables(people(tmp_path, tables=tables), root=tmp_path, now=NOW, scratch=tmp_path)

    places = {key: place for place, key in enumerate(teams.rows())}
    expected = [places.get(key) for key in rows.select("team", "year").rows()]
    assert 0 < sum(place is None for place in expected) < 5000
    assert loaded["people"].rows.collect()["size"].to_list() == expected


def test_of_two_broken_tables_the_first_is_reported(tmp_path):
    spec = people(tmp_path)
    (tmp_path / "p.csv").write_text("id,team,y\n1,a,0\n,b,1\n")
    (tmp_path / "teams.csv").write_text("name,size\na,\n")

    with pytest.raises(ContractError, match=r"data\.tables\.people\.columns\.id: must not be missing"):
        load_tables(spec, root=tmp_path, now=NOW, scratch=tmp_path)


@pytest.mark.parametrize("memory_cells", [-1, MEMORY_CELLS], ids=["in files", "in memory"])
def test_a_join_gives_the_same_in_memory_and_in_files(tmp_path, monkeypatch, memory_cells):
    for module in ("lazy_frames", "tables"):
        monkeypatch.setattr(f"treadle.data.{module}.MEMORY_CELLS", memory_cells)
    spec = people(tmp_path)
    (tmp_path / "p.csv").write_text("id,team,y\n1,b,0\n2,,1\n3,a,1\n4,c,1\n5,b,0\n")
    table = spec.tables["people"].model_dump()
    table["columns"]["team"]["nullable"] = True
    table["joins"]["name"] = {"table": "teams", "by": {"team": "name"}, "columns": {"name": "name", "one": "1"}}
    spec = spec.model_copy(update={"tables": {**spec.tables, "people": Table.model_validate(table)}})

    rows = load_tables(spec, root=tmp_path, now=NOW, scratch=tmp_path)["people"].rows.collect()

    assert list(tmp_path.glob("*.parquet")) if memory_cells < 0 else not list(tmp_path.glob("*.parquet"))
    assert rows.select("id", "twice", "name", "one").rows() == [
        (1, 12, "b", 1),
        (2, None, None, None),
        (3, 10, "a", 1),
        (4, None, None, None),
        (5, 12, "b", 1),
    ]


def test_a_join_refuses_a_key_that_is_not_unique(tmp_path):
    spec = people(tmp_path)
    (tmp_path / "teams.csv").write_text("name,size\na,5\na,6\n")

    with pytest.raises(TreadleError, match=r"data\.tables\.people\.joins\.team\.by: \['name'\] must name one row"):
        load_tables(spec, root=tmp_path, now=NOW, scratch=tmp_path)


def test_a_breach_leaves_nothing_half_written(tmp_path):
    spec = people(tmp_path, examples={"table": "people", "known": ["twice"], "label": "y"})
    (tmp_path / "p.csv").write_text("id,team,y\n1,a,0\n2,b,7\n3,c,1\n")

    with pytest.raises(TreadleError, match="a binary label is true or false"):
        prepare(spec, root=tmp_path, folder=tmp_path / "out", now=NOW, unsplit=None)

    assert not (tmp_path / "out").exists()


def test_a_missing_label_must_be_excluded_by_name(tmp_path):
    spec = people(tmp_path, examples={"table": "people", "known": ["team"], "label": "CASE WHEN id > 1 THEN y END"})

    with pytest.raises(TreadleError, match=r"data\.examples\.label: missing in 1 row, such as \[0\]"):
        prepare(spec, root=tmp_path, folder=tmp_path / "out", now=NOW, unsplit=None)


# --- messy files ------------------------------------------------------------------------------------------


def read_messy(tmp_path, raw, columns, **table):
    """A table of bytes as they stand in a file."""
    (tmp_path / "t.csv").write_bytes(raw)
    spec = Table.model_validate({"path": "t.csv", "columns": columns, **table})
    return collect(spec, tmp_path)


STR, INT = {"dtype": "str", "nullable": True}, {"dtype": "int", "nullable": True}


@pytest.mark.parametrize(
    ("raw", "table"),
    [
        (b"\xef\xbb\xbfname,n\nf\xc3\xbcr,1\n", {}),
        (b"name,n\r\nf\xc3\xbcr,1\r\n", {}),
        (b"name;n\nf\xc3\xbcr;1\n", {"separator": ";"}),
        (b"name\tn\nf\xc3\xbcr\t1\n", {"separator": "\t"}),
        (b"name|n\nf\xfcr|1\n", {"separator": "|", "encoding": "latin-1"}),
        (b"name,n\nf\xfcr,1\n", {"encoding": "windows-1252"}),
        ("name,n\nfür,1\n".encode("utf-16"), {"encoding": "utf-16"}),
        (b"'name','n'\n'f\xc3\xbcr','1'\n", {"quote": "'"}),
        (b"name,n\n\nf\xc3\xbcr,1\n\n", {}),
    ],
    ids=["BOM", "CRLF", "semicolon", "tab", "latin-1", "windows-1252", "utf-16", "quote", "blank lines"],
)
def test_a_text_file_is_read_as_its_table_declares(tmp_path, raw, table):
    assert read_messy(tmp_path, raw, {"name": STR, "n": INT}, **table).rows() == [("für", 1)]


def test_a_quoted_field_may_hold_separators_quotes_and_line_ends(tmp_path):
    frame = read_messy(tmp_path, b'a,b\n"x,\n""y""",1\n', {"a": STR, "b": INT})

    assert frame.rows() == [('x,\n"y"', 1)]


def test_without_quotes_a_quote_is_a_letter(tmp_path):
    frame = read_messy(tmp_path, b'a,b\n5" pipe,1\n"x,2\n', {"a": STR, "b": INT}, quote="")

    assert frame.rows() == [('5" pipe', 1), ('"x', 2)]


def test_the_windows_encoding_has_letters_that_latin_1_has_not(tmp_path):
    columns = {"a": STR, "b": INT}

    assert read_messy(tmp_path, b"a,b\n\x80,1\n", columns, encoding="windows-1252")["a"].item() == "€"


def test_a_column_is_found_by_its_source(tmp_path):
    columns = {"number": {"dtype": "int", "source": "row"}, "nameless": {"dtype": "int", "source": ""}}
    columns |= {"second": {"dtype": "int", "source": "a.b_duplicated_0"}, "dotted": {"dtype": "int", "source": "a.b"}}
    columns |= {"quoted": {"dtype": "int", "source": 'say "x"'}}

    frame = read_messy(tmp_path, b'row,,a.b,a.b,"say ""x"""\n1,2,3,4,5\n', columns)

    assert frame.to_dicts() == [{"number": 1, "nameless": 2, "second": 4, "dotted": 3, "quoted": 5}]


@pytest.mark.parametrize(
    ("raw", "table", "message"),
    [
        (b"a,b\n1,2\n3,4,5\n", {}, r"row 2 has 3 fields, the header has 2: \['3', '4', '5'\]"),
        (b"a,b\n1,2\n3\n", {}, r"row 2 has 1 fields, the header has 2: \['3'\]"),
        (b'a,b\n1,2\n"3,4\n', {}, r"row 2: the quote of a field is never closed"),
        (b"a,b\n1,2\nf\xfcr,2\n", {}, r"line 3: not UTF-8, found b'f\\xfcr.*declare .*`encoding`: latin-1"),
        (b"a,b\n1,\x81\n", {"encoding": "windows-1252"}, r"line 2: not WINDOWS-1252"),
        (b"", {}, r"empty CSV"),
        (b"a,a,a_duplicated_0\n1,2,3\n", {}, r"de-duplication"),
    ],
    ids=["long row", "short row", "open quote", "utf-8", "windows-1252", "empty", "duplicates"],
)
def test_what_cannot_be_parsed_is_reported_with_file_and_row(tmp_path, raw, table, message):
    with pytest.raises(TreadleError, match=rf"(?s)data\.tables\.t\.path: cannot read .*t\.csv: .*{message}"):
        read_messy(tmp_path, raw, {"a": STR, "b": STR}, **table)


def test_a_row_that_ends_in_an_empty_field_is_not_short(tmp_path):
    raw = b'a,b\n1,\n"x,\ny",\n"p""q",2\n'

    assert read_messy(tmp_path, raw, {"a": STR, "b": STR})["b"].to_list() == [None, None, "2"]


@pytest.mark.parametrize("number", ["1", "1 ", "+1", '"1"', "1\u00a0", '" 1 "', "001"])
@pytest.mark.parametrize("dtype", ["int", "float"])
def test_a_number_is_read_however_it_is_padded(tmp_path, number, dtype):
    """Polars' own parser does not know all of these: the texts are then read instead."""
    frame = read_messy(tmp_path, f"a,b\n{number},x\n2,y\n".encode(), {"a": {"dtype": dtype}})

    assert frame["a"].to_list() == [1, 2]


def test_a_line_without_any_value_is_left_out_where_not_all_columns_are_declared(tmp_path):
    frame = read_messy(tmp_path, b"a,b,c\n1,x,y\n,,\n\n,,z\n", {"a": INT})

    assert frame["a"].to_list() == [1, None]


def test_a_row_with_too_many_fields_is_reported_where_its_last_column_is_not_declared(tmp_path):
    with pytest.raises(TreadleError, match=r"row 2 has 3 fields, the header has 2"):
        read_messy(tmp_path, b"a,b\n1,2\n3,4,5\n", {"a": INT})


@pytest.mark.parametrize("num_cells", [0, MEMORY_CELLS + 1])
def test_a_plan_gives_the_same_rows_in_memory_and_in_a_file(tmp_path, num_cells):
    rows = pl.LazyFrame({"a": range(1000), "t": [datetime(2021, 1, 1)] * 1000, "s": ["x", None] * 500})  # noqa: DTZ001

    kept = materialize(rows, tmp_path / "kept.parquet", num_cells=num_cells)

    assert kept.collect().equals(rows.collect())
    assert (tmp_path / "kept.parquet").exists() is (num_cells > 0)


def test_a_lost_value_is_reported_with_its_file_and_its_row_there(tmp_path):
    (tmp_path / "one.csv").write_text("a\n1\n2\n")
    (tmp_path / "two.csv").write_text("a\n3\nx\ny\n")
    spec = Table.model_validate({"path": "*.csv", "columns": {"a": {"dtype": "int"}}})

    with pytest.raises(ContractError, match=r"of type int; 2 rows do not, such as two\.csv row 2: 'x', two\.csv row 3"):
        collect(spec, tmp_path)


def test_a_breach_is_reported_with_its_file_and_its_row_there(tmp_path):
    (tmp_path / "one.csv").write_text("a\n1\n2\n")
    (tmp_path / "two.csv").write_text("a\n3\n9\n")
    spec = Table.model_validate({"path": "*.csv", "columns": {"a": {"dtype": "int", "max": 5}}})

    with pytest.raises(ContractError, match=r"must be at most 5; 1 row does not, such as two\.csv row 2: 9"):
        collect(spec, tmp_path)


@pytest.mark.parametrize("header", ["a,c", "a", "a,b,c"])
def test_files_of_one_table_have_the_same_columns(tmp_path, header):
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    (tmp_path / "two.csv").write_text(f"{header}\n{','.join('1' for _ in header.split(','))}\n")
    spec = Table.model_validate({"path": "*.csv", "columns": {"a": {"dtype": "int"}}})

    with pytest.raises(TreadleError, match=r"(one|two)\.csv has no column '[bc]', which (one|two)\.csv has"):
        collect(spec, tmp_path)


def test_files_of_one_table_may_order_their_columns_as_they_like(tmp_path):
    (tmp_path / "one.csv").write_text("a,b\n1,2\n")
    (tmp_path / "two.csv").write_text("b,a\n4,3\n")
    spec = Table.model_validate({"path": "*.csv", "columns": {"a": {"dtype": "int"}, "b": {"dtype": "int"}}})

    assert collect(spec, tmp_path).rows() == [(1, 2), (3, 4)]


def test_files_of_two_kinds_are_no_table(tmp_path):
    (tmp_path / "one.csv").write_text("a\n1\n")
    pl.DataFrame({"a": [1]}).write_parquet(tmp_path / "two.parquet")
    spec = Table.model_validate({"path": "*", "columns": {"a": {"dtype": "int"}}})

    with pytest.raises(TreadleError, match=r"of one kind, found \['\.csv', '\.parquet'\]"):
        collect(spec, tmp_path)


@pytest.mark.slow
def test_2_000_columns_are_read(tmp_path):
    names = [f"column {number}" for number in range(2000)]
    raw = "\n".join([",".join(names), *[",".join(map(str, range(row, row + 2000))) for row in range(5)]])

    frame = read_messy(tmp_path, raw.encode(), {name: {"dtype": "int"} for name in names})

    assert frame.columns == names
    assert frame.row(4) == tuple(range(4, 2004))
