"""Rows to predict, made from raw tables: the examples that `prepare` makes, and nothing of the future."""

from datetime import datetime

import polars as pl
import pytest

from runs import find_run, make_project, run_quick, treadle
from treadle.bundle import load
from treadle.data.unlabelled import build_unlabelled
from treadle.errors import TreadleError
from treadle.schema import LABEL, ROW

NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone
AT = datetime(2013, 1, 9, 13)  # noqa: DTZ001
LATE = ["dep_time", "dep_delay", "arr_time", "arr_delay"]
TABLES = ("flights", "planes", "airports", "weather")


@pytest.fixture(scope="module")
def project(tmp_path_factory, root):
    """The flights of some days in January, and a model of them."""
    folder = tmp_path_factory.mktemp("flights")
    source = root / "data/nycflights13"
    make_project(folder)
    (folder / "data").unlink()
    tables = folder / "data/nycflights13"
    tables.mkdir(parents=True)
    for name in TABLES:
        rows = pl.read_parquet(source / f"{name}.parquet")
        if "month" in rows.columns:
            rows = rows.filter(pl.col("month") == 1, pl.col("day").is_between(3, 10))
        rows.write_parquet(tables / f"{name}.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        split = ["data.split.valid_from=2013-01-06", "data.split.test_from=2013-01-08"]
        run_quick("experiment=flights", "tracker=disabled", "schedule.max_epochs=1", *split, verb="train")
        yield folder


@pytest.fixture
def run(project, monkeypatch):
    monkeypatch.chdir(project)
    return find_run(project)


@pytest.fixture
def data(run):
    return load(run).recipe.data


def list_files(**others):
    return {name: f"data/nycflights13/{name}.parquet" for name in TABLES} | others


def make(data, tmp_path, *, at=None, **others):
    made = build_unlabelled(data, files=list_files(**others), at=at, root=tmp_path.cwd(), now=NOW, scratch=tmp_path)
    return made, made.take(0, len(made.rows))


def predict(run, tmp_path, *options, **others):
    files = [f"{name}={path}" for name, path in list_files(**others).items()]
    code = treadle("predict", str(run), "--tables", *files, "-o", str(tmp_path / "out.parquet"), *options)
    return code, pl.read_parquet(tmp_path / "out.parquet")


@pytest.mark.slow
def test_they_are_the_examples_of_the_test_split(run, data, tmp_path):
    """The same rows, and the same values to the last bit."""
    made, rows = make(data, tmp_path)
    prepared = pl.read_parquet(run / "examples/test.parquet").drop(LABEL)

    assert made.left_aside == ["cancelled", "diverted"]
    assert rows.join(prepared, on=ROW, how="semi").equals(prepared.sort(ROW))
    assert len(rows) == len(pl.read_parquet("data/nycflights13/flights.parquet"))


@pytest.mark.slow
def test_their_predictions_are_those_of_the_bundle(run, tmp_path):
    _, predicted = predict(run, tmp_path)
    prepared = pl.read_parquet(run / "examples/test.parquet").sort(ROW)
    expected = load(run).predict(prepared)

    found = predicted.join(expected.select(ROW), on=ROW, how="semi")
    assert found[ROW].equals(expected[ROW])
    assert (found["probability"] - expected["probability"]).abs().max() < 1e-6


@pytest.mark.slow
def test_as_of_a_moment_nothing_counts_that_was_not_known(run, data, tmp_path):
    """Tables as they were then give what the whole tables give."""
    flights, weather = pl.read_parquet("data/nycflights13/flights.parquet"), "data/nycflights13/weather.parquet"
    then = tmp_path / "then.parquet"
    known = make(data, tmp_path)[0].columns.table.select("known_at").collect()["known_at"]
    hidden = pl.when(known <= AT).then(pl.col(*LATE))
    flights.with_columns(hidden).write_parquet(then)
    pl.read_parquet(weather).filter(pl.col("time_hour").cast(pl.String) <= f"{AT:%Y-%m-%dT%H}:00:00Z").write_parquet(
        tmp_path / "weather.parquet"
    )

    _, whole = make(data, tmp_path, at=AT)
    made, cut = make(data, tmp_path, at=AT, flights=str(then), weather=str(tmp_path / "weather.parquet"))

    assert cut.equals(whole)
    assert 0 < len(cut) == len(flights) - made.excluded["before --at"]
    assert cut["origin_arrivals"].max() > 0


@pytest.mark.slow
def test_of_a_row_that_is_predicted_at_that_moment_both_ways_agree(data, tmp_path):
    _, own = make(data, tmp_path)
    at = own["predict_at"].sort()[len(own) // 2]

    _, then = make(data, tmp_path, at=at)

    same = own.filter(pl.col("predict_at") == at)
    assert len(same)
    assert then.join(same, on=ROW, how="semi").equals(same)


@pytest.mark.slow
def test_the_command_as_of_a_moment(run, tmp_path, capsys):
    code, predicted = predict(run, tmp_path, "--at", "2013-01-09T13:00")

    assert code == 0
    out = capsys.readouterr().out
    assert "rows left out  before --at" in out
    assert "not asked  cancelled, diverted: known only later" in out
    assert predicted[ROW].is_sorted()


def drop(name, column, tmp_path):
    file = tmp_path / f"{name}.parquet"
    pl.read_parquet(f"data/nycflights13/{name}.parquet").drop(column).write_parquet(file)
    return {name: str(file)}


@pytest.mark.slow
def test_a_column_that_no_prediction_needs_may_be_absent(data, tmp_path):
    _, rows = make(data, tmp_path)
    assert make(data, tmp_path, **drop("flights", ["year", "sched_dep_time"], tmp_path))[1].equals(rows)


MISTAKES = {
    "a missing column": (
        lambda folder: drop("flights", "arr_delay", folder),
        r"data.tables.flights.columns.arr_delay: .*flights.parquet has no such column",
    ),
    "an unknown table": (lambda _: {"wether": "x.parquet"}, "the run has no such table. Did you mean 'weather'"),
    "no file": (lambda _: {"weather": "none.parquet"}, "data.tables.weather.path: no file at 'none.parquet'"),
}


@pytest.mark.parametrize(("change", "told"), MISTAKES.values(), ids=MISTAKES)
def test_a_mistake_names_table_and_column(data, tmp_path, change, told):
    with pytest.raises(TreadleError, match=told):
        make(data, tmp_path, **change(tmp_path))


def test_a_missing_table_names_what_needs_it_and_the_argument(data, tmp_path):
    files = {name: path for name, path in list_files().items() if name != "planes"}

    with pytest.raises(
        TreadleError, match=r"'planes' \(for plane_year, plane_maker, plane_model, …\); .* planes=data/nyc"
    ):
        build_unlabelled(data, files=files, at=None, root=tmp_path.cwd(), now=NOW, scratch=tmp_path)


def test_a_value_of_another_type_names_row_and_value(data, tmp_path):
    weather = pl.read_parquet("data/nycflights13/weather.parquet").with_columns(pl.col("temp").cast(pl.String))
    file = tmp_path / "weather.csv"
    weather.with_columns(temp=pl.Series(["warm", *weather["temp"][1:]])).write_csv(file)

    with pytest.raises(TreadleError, match=r"data.tables.weather.columns.temp: must be of type float; .*row 1: 'warm'"):
        make(data, tmp_path, weather=str(file))


@pytest.mark.slow
def test_a_row_that_breaks_the_contract_is_rejected_alone(run, tmp_path):
    flights = pl.read_parquet("data/nycflights13/flights.parquet")
    broken = flights.with_columns(pl.when(pl.int_range(pl.len()) == 5).then(0).otherwise("distance").alias("distance"))
    broken.write_parquet(tmp_path / "flights.parquet")

    code, predicted = predict(run, tmp_path, flights=str(tmp_path / "flights.parquet"))

    assert code == 3
    assert predicted.filter(pl.col("probability").is_null())[ROW].to_list() == [5]


def test_a_table_of_other_keys_is_told(run, tmp_path, capsys):
    planes = pl.read_parquet("data/nycflights13/planes.parquet").with_columns(tailnum="x" + pl.col("tailnum"))
    planes.write_parquet(tmp_path / "planes.parquet")

    predict(run, tmp_path, planes=str(tmp_path / "planes.parquet"))

    told = capsys.readouterr().err
    assert "the table 'planes' has none of the" in told
    assert "plane_year, plane_maker, plane_model, plane_seats, plane_engine are missing in all rows" in told


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--tables", "flights"], "write NAME=FILE, such as flights=new.parquet; found 'flights'"),
        (["--tables", "flights=a", "flights=b"], "'flights' is given twice"),
        (["--at", "2013-01-09"], "--at goes with --tables"),
        (["--tables", "flights=a", "--at", "noon"], "--at: a date or datetime is written as in ISO 8601"),
        (["rows.parquet", "--tables", "flights=a"], "name either a file of rows, rows.parquet, or --tables"),
    ],
)
def test_arguments_that_do_not_fit_are_refused(run, tmp_path, capsys, options, told):
    assert treadle("predict", str(run), *options, "-o", str(tmp_path / "out.csv")) == 2
    assert told in capsys.readouterr().err


def test_examples_without_a_moment_have_none(data, tmp_path):
    timeless = data.model_copy(update={"examples": data.examples.model_copy(update={"predict_at": None})})

    with pytest.raises(TreadleError, match="--at: the examples have no moment"):
        make(timeless, tmp_path, at=AT)
