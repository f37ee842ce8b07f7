"""A table has the same rows whatever kind of file holds it; what is wrong in one is told with its place."""

import gzip
import json
from datetime import date, datetime

import numpy as np
import polars as pl
import pytest
from backports import zstd

from treadle.check.file_heads import check_files
from treadle.data.contract import ContractError
from treadle.data.formats import FORMATS, find_format
from treadle.data.tables import read_table
from treadle.data.text_files import HEAD_BYTES
from treadle.data.typed_files import find_metadata
from treadle.errors import TreadleError
from treadle.experiment.files import list_files, list_sources
from treadle.experiment.spec import Experiment, Table

NOW = datetime(2026, 1, 1)  # noqa: DTZ001
COLUMNS = {
    "id": {"dtype": "int"},
    "size": {"dtype": "float", "nullable": True},
    "name": {"dtype": "str", "nullable": True},
    "day": {"dtype": "date"},
    "ok": {"dtype": "bool", "nullable": True},
}
ROWS = pl.DataFrame(
    {
        "id": [1, 2, 3],
        "size": [0.1, None, 1e-9],
        "name": ["ü, y", None, "z"],
        "day": [date(2024, 1, 1), date(2024, 1, 2), date(2024, 2, 29)],
        "ok": [True, False, None],
        "extra": [7, 8, 9],
    }
)


def pack(path, content):
    path.write_bytes({".gz": gzip.compress, ".zst": zstd.compress}[path.suffix](content))


def write_json(path):
    lines = [json.dumps({k: v for k, v in row.items() if v is not None}, default=str) for row in ROWS.to_dicts()]
    content = ("\n".join(lines) + "\n").encode()
    pack(path, content) if path.suffix in {".gz", ".zst"} else path.write_bytes(content)


def write_orc(path):
    orc = pytest.importorskip("pyarrow.orc")
    orc.write_table(ROWS.to_arrow(compat_level=pl.CompatLevel.oldest()), str(path))


def write_delta(path):
    pytest.importorskip("deltalake")
    ROWS.write_delta(str(path))


def write_iceberg(path):
    catalog = pytest.importorskip("pyiceberg.catalog.sql")
    path.parent.joinpath("lake").mkdir()
    lake = catalog.SqlCatalog("x", uri=f"sqlite:///{path.parent}/lake.db", warehouse=f"file://{path.parent}/lake")
    lake.create_namespace("own")
    rows = ROWS.to_arrow(compat_level=pl.CompatLevel.oldest())
    lake.create_table("own.t", schema=rows.schema, location=f"file://{path}").append(rows)


WRITERS = {
    "t.csv": ROWS.write_csv,
    "t.csv.gz": lambda path: pack(path, ROWS.write_csv().encode()),
    "t.tsv.zst": lambda path: pack(path, ROWS.write_csv(separator="\t").encode()),
    "t.jsonl": write_json,
    "t.ndjson.gz": write_json,
    "t.jsonl.zst": write_json,
    "t.parquet": ROWS.write_parquet,
    "t.arrow": ROWS.write_ipc,
    "t.arrows": ROWS.write_ipc_stream,
    "t.avro": ROWS.write_avro,
    "t.xlsx": lambda path: ROWS.write_excel(str(path)),
}
HEAVY = {"t.orc": write_orc, "delta": write_delta, "iceberg": write_iceberg}
ALL = [*WRITERS, *(pytest.param(name, marks=pytest.mark.exhaustive) for name in HEAVY)]


def table_of(path, columns=COLUMNS, **options):
    return Table.model_validate({"path": path, "columns": columns, **options})


def read(table, tmp_path):
    scratch = tmp_path / "scratch"
    scratch.mkdir(exist_ok=True)
    return read_table(table, name="t", root=tmp_path, now=NOW, scratch=scratch).collect()


def check(table, tmp_path):
    data = Experiment.model_fields["data"].annotation.model_construct(tables={"t": table})
    return check_files(Experiment.model_construct(data=data), root=tmp_path, absent="refuse")


@pytest.mark.parametrize("name", ALL)
def test_every_kind_of_file_gives_the_same_table(tmp_path, name):
    {**WRITERS, **HEAVY}[name](tmp_path / name)
    table = table_of(name)

    assert check(table, tmp_path) == []
    assert read(table, tmp_path).equals(ROWS.select(list(COLUMNS)))
    head = find_format(tmp_path / name).scan_head(tmp_path / name, table, num_rows=2).collect()
    assert len(head) == 2
    assert list_files(name, root=tmp_path)[0].is_file()


def test_every_suffix_is_of_one_kind():
    suffixes = [suffix for known in FORMATS for suffix in known.suffixes]

    assert len(suffixes) == len(set(suffixes))
    assert {name.partition(".")[2].partition(".")[0] for name in WRITERS if "." in name} <= {s[1:] for s in suffixes}


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl", "t.avro", "t.xlsx", "t.arrow"])
def test_a_breach_names_the_row_of_any_kind_of_file(tmp_path, name):
    WRITERS[name](tmp_path / name)

    with pytest.raises(ContractError, match=r"data.tables.t.columns.id: must be at most 2; 1 row does not.*row 3: 3"):
        read(table_of(name, {"id": {"dtype": "int", "max": 2}}), tmp_path)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl", "t.avro", "t.xlsx", "t.arrow"])
def test_a_value_of_another_type_is_told_with_its_row(tmp_path, name):
    WRITERS[name](tmp_path / name)

    with pytest.raises(ContractError, match=r"must be of type int; 2 rows do not, such as row 1: 'ü, y', row 3: 'z'"):
        read(table_of(name, {"name": {"dtype": "int", "nullable": True}}), tmp_path)


@pytest.mark.parametrize("name", ["t.csv.gz", "t.jsonl", "t.avro", "t.xlsx", "t.arrow"])
def test_a_column_that_no_file_has_is_found_by_the_check(tmp_path, name):
    WRITERS[name](tmp_path / name)

    (problem,) = check(table_of(name, {"nam": {"dtype": "str"}}), tmp_path)

    assert (problem.rule, problem.hint.nearest) == (f"{name} has no column 'nam'", "name")


def test_a_json_value_far_down_may_be_of_another_type_and_nothing_is_lost(tmp_path):
    lines = [f'{{"a": {index}}}' for index in range(5_000)] + ['{"a": "n/a", "late": 1}']
    (tmp_path / "t.jsonl").write_text("\n".join(lines))

    with pytest.raises(ContractError, match="must be of type int; 1 row does not, such as row 5,001: 'n/a'"):
        read(table_of("t.jsonl", {"a": {"dtype": "int"}}), tmp_path)
    kept = read(table_of("t.jsonl", {"a": {"dtype": "int", "nullable": True, "missing": ["n/a"]}}), tmp_path)
    assert kept["a"].sum() == sum(range(5_000))


@pytest.mark.parametrize(("filling", "is_whole"), [("x" * 100, False), (None, True)], ids=["large", "small"])
def test_compressed_lines_are_all_read_before_a_column_is_told_to_be_absent(tmp_path, filling, is_whole):
    noise = np.random.default_rng(0)
    rows = [{"a": place, "text": filling or noise.bytes(400).hex()} for place in range(60_000 if filling else 1_000)]
    lines = "\n".join(json.dumps(row) for row in [*rows, {"a": 0, "late": 1}])
    pack(tmp_path / "t.jsonl.gz", lines.encode())
    size = (tmp_path / "t.jsonl.gz").stat().st_size
    assert (10 * size > HEAD_BYTES) == is_whole, "as long as a guess by the size of the file would be wrong"

    problems = check(table_of("t.jsonl.gz", {"a": {"dtype": "int"}, "absent": {"dtype": "int"}}), tmp_path)

    assert [problem.rule for problem in problems] == ["t.jsonl.gz has no column 'absent'"] * is_whole


def test_of_iceberg_the_newest_version_counts_unless_a_hint_names_another(tmp_path):
    folder = tmp_path / "metadata"
    folder.mkdir()
    for name in ("00009-f", "00010-a", "v2"):
        (folder / f"{name}.metadata.json").touch()
    assert find_metadata(tmp_path).name == "00010-a.metadata.json"

    (folder / "00010-b.gz.metadata.json").touch()
    with pytest.raises(TreadleError, match=r"2 files of the newest version: 00010-a.*00010-b.*version-hint\.text"):
        find_metadata(tmp_path)

    for hint, name in {"2": "v2", "00010-b.gz": "00010-b.gz", "00009-f.metadata.json": "00009-f"}.items():
        (folder / "version-hint.text").write_text(f"{hint}\n")
        assert find_metadata(tmp_path).name == f"{name}.metadata.json"
    (folder / "version-hint.text").write_text("3")
    with pytest.raises(TreadleError, match=r"says '3', and there is no file metadata/v3\.metadata\.json"):
        find_metadata(tmp_path)


DAMAGED = {
    "t.csv.gz": (gzip.compress(b"a,b\n" + b"1,2\n" * 99_000)[:300], "t.csv.gz is not whole"),
    "t.csv.zst": (b"a,b\n1,2\n", "t.csv.zst is not whole, or not compressed as its name says"),
    "t.jsonl": (b'{"a": 1}\n{"a": 2\n', "line 2 is no JSON object"),
    "u.jsonl": (b'{"a": 1}\n[1]\n', "line 2 is no JSON object"),
    "t.avro": (b"nonsense", "cannot read"),
    "t.arrow": (b"nonsense", "cannot read"),
    "t.xlsx": (b"nonsense", "cannot read"),
}


@pytest.mark.parametrize("name", DAMAGED)
def test_a_damaged_file_is_told(tmp_path, name):
    content, told = DAMAGED[name]
    (tmp_path / name).write_bytes(content)

    with pytest.raises(TreadleError, match=told):
        read(table_of(name, {"a": {"dtype": "int"}}), tmp_path)
    (problem,) = check(table_of(name, {"a": {"dtype": "int"}}), tmp_path)
    assert problem.key == "data.tables.t.path"
    assert told.removeprefix("cannot read") in problem.rule


def test_a_sheet_is_chosen_by_name(tmp_path):
    import xlsxwriter

    with xlsxwriter.Workbook(tmp_path / "t.xlsx") as book:
        pl.DataFrame({"a": [1]}).write_excel(book, worksheet="first")
        ROWS.write_excel(book, worksheet="second")

    assert read(table_of("t.xlsx", sheet="second"), tmp_path).equals(ROWS.select(list(COLUMNS)))
    with pytest.raises(TreadleError, match="has no sheet 'third'; its sheets are 'first', 'second'"):
        read(table_of("t.xlsx", sheet="third"), tmp_path)


def test_an_unknown_kind_is_refused_with_those_that_are_read(tmp_path):
    (tmp_path / "t.sav").write_bytes(b"")
    (tmp_path / "t.parquet.gz").write_bytes(b"")

    with pytest.raises(TreadleError, match=r"is read from text \(\.csv.*Avro.*found 't.sav'.*`separator`"):
        read(table_of("t.sav"), tmp_path)
    with pytest.raises(TreadleError, match="Parquet is compressed in itself; unpack"):
        read(table_of("t.parquet.gz"), tmp_path)


@pytest.mark.exhaustive
def test_a_folder_of_delta_is_one_source_and_all_its_files_are_its_content(tmp_path):
    write_delta(tmp_path / "delta")
    before = list_files("delta", root=tmp_path)

    ROWS.write_delta(str(tmp_path / "delta"), mode="append")

    assert list_sources("d*", root=tmp_path) == [tmp_path / "delta"]
    assert len(list_files("delta", root=tmp_path)) == len(before) + 2  # a file of rows, and one of the log
    assert len(read(table_of("delta"), tmp_path)) == 2 * len(ROWS)


def test_text_in_another_encoding_may_be_compressed(tmp_path):
    pack(tmp_path / "t.csv.gz", "a;b\nfür;1\n".encode("latin-1"))
    table = table_of("t.csv.gz", {"a": {"dtype": "str"}}, encoding="latin-1", separator=";")

    assert read(table, tmp_path)["a"].to_list() == ["für"]
    with pytest.raises(TreadleError, match=r"line 2: not UTF-8, found b'f\\xfcr;1"):
        read(table.model_copy(update={"encoding": "utf-8"}), tmp_path)
