"""Batches of any size: in parts, resumed where they were killed, to files and databases."""

import signal
import subprocess
import sys
from dataclasses import replace

import polars as pl
import pytest

from postgresql_server import serve_postgresql
from runs import treadle
from treadle.bundle import Recipe, load
from treadle.bundle.batch import PART_ROWS, DatabaseSink, FileSink, FileSource, Inputs, identify, predict_batch
from treadle.champions.bundles import digest_bundle
from treadle.databases import connect
from treadle.errors import TreadleError

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second

SOUND = {"age": 30, "capital-gain": 0, "hours-per-week": 40, "workclass": "a", "education": "x", "race": "p"}
KILLED = """\
import os, signal, sys
from pathlib import Path
from treadle.bundle import Recipe, load
from treadle.bundle.batch import FileSink, FileSource, identify, predict_batch

bundle, rows, output = load(sys.argv[1]), Path(sys.argv[2]), Path(sys.argv[3])
identity = identify(bundle, files=[str(rows)], options={})
sink = FileSink(output, rejects=output.with_suffix(".rejected.csv"), identity=identity)
with FileSource.open(rows, table=bundle.table) as source:
    predict_batch(bundle, source, sink, report=lambda _: os.kill(os.getpid(), signal.SIGKILL))
"""


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Two parts and some rows, of which some break the contract in each part."""
    file = tmp_path_factory.mktemp("rows") / "rows.parquet"
    position = pl.int_range(2 * PART_ROWS + 1000, eager=True)
    age = pl.select(pl.when(position % 50_000 == 7).then(-1).otherwise(position % 80)).to_series()
    pl.DataFrame({"row": position, **SOUND, "age": age}).write_parquet(file)
    return file


def start(bundle, rows, output):
    identity = identify(bundle, files=[str(rows)], options={})
    return FileSink(output, rejects=output.with_suffix(".rejected.csv"), identity=identity)


def run(bundle, rows, sink, **options):
    with FileSource.open(rows, table=bundle.table) as source:
        return predict_batch(bundle, source, sink, **options)


def stop(_):
    raise KeyboardInterrupt


def test_a_batch_predicts_what_the_bundle_predicts_of_all_rows_together(tiny, many, tmp_path):
    bundle = load(tiny, on_breach="allow")

    run(bundle, many, start(bundle, many, tmp_path / "out.parquet"))

    assert pl.read_parquet(tmp_path / "out.parquet").equals(bundle.predict(pl.read_parquet(many)))


def test_a_killed_batch_goes_on_and_gives_the_same_bytes(tiny, many, tmp_path):
    bundle, seen = load(tiny), []
    whole = run(bundle, many, start(bundle, many, tmp_path / "whole.parquet"))
    killed = subprocess.run([sys.executable, "-c", KILLED, tiny, many, tmp_path / "out.parquet"], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert not (tmp_path / "out.parquet").exists()

    resumed = run(bundle, many, start(bundle, many, tmp_path / "out.parquet"), report=seen.append)

    assert seen == [2 * PART_ROWS, 2 * PART_ROWS + 1000]
    assert resumed == whole
    assert resumed.num_rejected == 3
    for kind in ("parquet", "rejected.csv"):
        assert (tmp_path / f"out.{kind}").read_bytes() == (tmp_path / f"whole.{kind}").read_bytes()
    rejected = pl.read_csv(tmp_path / "out.rejected.csv")
    assert rejected["position"].to_list() == [7, 50_007, 100_007]
    assert not list(tmp_path.glob(".*"))


def test_a_batch_of_other_rows_begins_anew(tiny, many, tmp_path):
    bundle, output = load(tiny), tmp_path / "out.parquet"
    with pytest.raises(KeyboardInterrupt):
        run(bundle, many, start(bundle, many, output), report=stop)
    pl.read_parquet(many).head(10).write_parquet(tmp_path / "few.parquet")

    assert run(bundle, tmp_path / "few.parquet", start(bundle, tmp_path / "few.parquet", output)).num_rows == 10
    assert len(pl.read_parquet(output)) == 10


def test_two_processes_do_not_write_one_file(tiny, many, tmp_path):
    bundle = load(tiny)
    sink = start(bundle, many, tmp_path / "out.parquet")

    with pytest.raises(TreadleError, match="is being written by another process"):
        start(bundle, many, tmp_path / "out.parquet")
    sink.close()


def test_of_no_rows_there_is_an_empty_file(tiny, many, tmp_path):
    pl.read_parquet(many).clear().write_parquet(tmp_path / "none.parquet")

    assert treadle("predict", str(tiny), str(tmp_path / "none.parquet"), "-o", str(tmp_path / "out.csv")) == 0
    assert (tmp_path / "out.csv").read_text() == "row,probability\n"


# --- rejected rows -------------------------------------------------------------------------------------


def test_rows_that_cannot_be_predicted_are_set_apart_as_they_came(tiny, tmp_path, capsys):
    given = [SOUND, {**SOUND, "age": "old"}, {**SOUND, "age": 300, "capital-gain": -1}, {**SOUND, "race": None}]
    rows, output, rejects = tmp_path / "rows.csv", tmp_path / "out.csv", tmp_path / "bad.csv"
    pl.DataFrame(given, strict=False, schema_overrides={"age": pl.String}).write_csv(rows)
    command = ["predict", str(tiny), str(rows), "-o", str(output)]

    assert treadle(*command) == 2
    assert "the column 'age' must be of type Int64: row 2 holds 'old'" in capsys.readouterr().err
    assert treadle(*command, "--rejects", str(rejects)) == 3

    apart = pl.read_csv(rejects)
    assert apart.columns == ["position", "rejected", *SOUND]
    assert apart["age"].to_list() == ["old", "300", "30"]
    assert apart["rejected"].to_list() == [
        "age: must be of type int, found 'old'",
        "age: must be at most 120, found '300'; capital-gain: must be at least 0, found '-1'",
        "race: must not be missing",
    ]
    assert pl.read_csv(output)["probability"].is_null().to_list() == [False, True, True, True]
    assert "age: must be of type int; 1 row does not, such as row 2: 'old'" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (
            ["--rejects", "x.csv", "--on-breach", "warn"],
            "--rejects sets rows apart, and --on-breach warn predicts them",
        ),
        (["--into", "t"], "--into goes with a database"),
        (["-o", "sqlite:///x.db"], "--into TABLE names the table"),
    ],
)
def test_options_that_do_not_fit_are_refused(tiny, tmp_path, capsys, options, told):
    assert treadle("predict", str(tiny), "rows.csv", "-o", str(tmp_path / "out.csv"), *options) == 2
    assert told in capsys.readouterr().err


# --- databases -----------------------------------------------------------------------------------------


def start_table(bundle, rows, uri, table="predictions"):
    identity = identify(bundle, files=[str(rows)], options={})
    return DatabaseSink(uri, table=table, rejects=f"{table}_rejected", identity=identity)


def read(uri, table="predictions"):
    return pl.read_database_uri(f'SELECT * FROM "{table}" ORDER BY position', uri, engine="adbc")  # noqa: S608


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def database(request, tmp_path):
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/out.db"
        return
    with serve_postgresql() as uri:
        yield uri


def test_a_stopped_batch_into_a_database_goes_on_with_no_row_twice(tiny, many, database):
    bundle, uri, seen = load(tiny), database, []
    with pytest.raises(KeyboardInterrupt):
        run(bundle, many, start_table(bundle, many, uri), report=stop)
    assert len(read(uri)) == PART_ROWS

    run(bundle, many, start_table(bundle, many, uri), report=seen.append)

    found, expected = read(uri), bundle.predict(pl.read_parquet(many), on_breach="allow")
    assert seen[0] == 2 * PART_ROWS
    assert found["position"].equals(pl.int_range(len(expected), eager=True), check_names=False)
    broken = read(uri, "predictions_rejected")["position"]
    assert broken.to_list() == [7, 50_007, 100_007]
    kept = pl.int_range(len(expected), eager=True).is_in(broken.implode()).not_()
    assert found["probability"].cast(pl.Float32).filter(kept).equals(expected["probability"].filter(kept))
    assert found["probability"].null_count() == 3


def test_a_table_that_is_there_is_not_written_to(tiny, many, tmp_path):
    bundle, uri = load(tiny), f"sqlite:///{tmp_path}/out.db"
    pl.DataFrame({"a": [1]}).write_database("taken", uri, engine="adbc")

    with pytest.raises(TreadleError, match="--into: the database has a table 'taken' already"):
        start_table(bundle, many, uri, table="taken")


def test_a_table_that_was_dropped_is_written_anew(tiny, many, database):
    bundle, uri = load(tiny), database
    run(bundle, many, start_table(bundle, many, uri))
    with connect(uri, option="-o") as connection, connection.cursor() as cursor:
        cursor.execute("DROP TABLE predictions")
        cursor.execute("DROP TABLE predictions_rejected")
        connection.commit()

    with pytest.raises(KeyboardInterrupt):
        run(bundle, many, start_table(bundle, many, uri), report=stop)
    run(bundle, many, start_table(bundle, many, uri))

    assert read(uri)["position"].equals(pl.int_range(2 * PART_ROWS + 1000, eager=True), check_names=False)


def test_the_command_writes_a_table(tiny, tmp_path):
    rows, uri = tmp_path / "rows.parquet", f"sqlite:///{tmp_path}/out.db"
    pl.DataFrame([SOUND, {**SOUND, "age": 300}]).write_parquet(rows)

    assert treadle("predict", str(tiny), str(rows), "-o", uri, "--into", "p", "--rejects", "bad") == 3

    assert read(uri, "p")["probability"].is_null().to_list() == [False, True]
    assert read(uri, "bad").select("position", "age").rows() == [(1, 300)]


@pytest.mark.exhaustive
def test_memory_does_not_grow_with_the_rows(tiny, many, tmp_path, root):
    script = [sys.executable, root / "benchmarks/batch.py", tiny, many, "--rows", "200000", "2000000"]
    told = subprocess.run(script, check=True, capture_output=True, text=True, cwd=tmp_path).stdout

    small, large = (int(line.partition("peak ")[2].partition(" ")[0].replace(",", "")) for line in told.splitlines())
    assert large < small + 100


def test_inputs_stand_beside_predictions_in_whatever_parts_they_come_but_private_ones(tiny, many, tmp_path):
    bundle = load(tiny, on_breach="allow")
    values = bundle.recipe.model_dump()
    values["data"]["tables"][values["data"]["examples"]["table"]]["columns"]["race"]["private"] = True
    guarded = replace(bundle, recipe=Recipe.model_validate(values))
    rows = pl.read_parquet(many).with_columns(probability=pl.lit(0.5), predict_at=pl.lit("2024-01-01"))
    rows.write_parquet(tmp_path / "rows.parquet")
    output = tmp_path / "out.parquet"

    sink = start(guarded, tmp_path / "rows.parquet", output)
    run(guarded, tmp_path / "rows.parquet", sink, beside=Inputs.find(guarded, digest="d"))

    found = pl.read_parquet(output)
    assert found.select("row", "age", "workclass", "predict_at").equals(
        rows.select("row", "age", "workclass", "predict_at")
    )
    assert found["input.probability"].unique().to_list() == [0.5]
    assert found["bundle"].unique().to_list() == ["d"]
    assert "race" not in found.columns
    run(guarded, many, start(guarded, many, tmp_path / "alone.parquet"))
    assert found["probability"].equals(pl.read_parquet(tmp_path / "alone.parquet")["probability"])


def test_one_moment_for_all_rows_is_not_written_beside_them(tiny):
    bundle = load(tiny, on_breach="allow")
    values = bundle.recipe.model_dump()
    values["data"]["examples"]["predict_at"] = "DATE '2024-01-01'"

    inputs = Inputs.find(replace(bundle, recipe=Recipe.model_validate(values)), digest="d")

    assert inputs.moment is None


def test_inputs_are_written_as_the_model_reads_them_and_private_ones_under_no_name(tiny, tmp_path):
    bundle = load(tiny, on_breach="allow")
    values = bundle.recipe.model_dump()
    columns = values["data"]["tables"][values["data"]["examples"]["table"]]["columns"]
    columns["race"] |= {"source": "Race", "private": True}
    columns["education"]["source"] = "School"
    columns["workclass"] |= {"missing": ["?"], "nullable": True}
    guarded = replace(bundle, recipe=Recipe.model_validate(values))
    rows, output = tmp_path / "rows.csv", tmp_path / "out.parquet"
    given = pl.DataFrame([{**SOUND, "note": "n"}, {**SOUND, "workclass": "?", "note": "m"}])
    given.rename({"race": "Race", "education": "School"}).write_csv(rows)

    run(guarded, rows, start(guarded, rows, output), beside=Inputs.find(guarded, digest="d"))

    found = pl.read_parquet(output)
    assert set(found.columns) == {"probability", "bundle", "note", *SOUND} - {"race"}
    assert found.select("workclass", "education", "age", "note").rows() == [("a", "x", 30, "n"), (None, "x", 30, "m")]


def test_the_command_writes_inputs_of_rows_that_have_the_columns_of_the_model_alone(tiny, tmp_path):
    rows, output = tmp_path / "rows.parquet", tmp_path / "out.parquet"
    pl.DataFrame([SOUND]).write_parquet(rows)

    assert treadle("predict", str(tiny), str(rows), "-o", str(output), "--inputs") == 0

    found = pl.read_parquet(output)
    assert found["bundle"].to_list() == [digest_bundle(tiny)]
    assert found.select(list(SOUND)).to_dicts() == [SOUND]
