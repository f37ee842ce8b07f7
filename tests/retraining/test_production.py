"""A simulated stretch goes by way of the server: events, rows, its log, labels that come later, monitoring."""

import json
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import polars as pl
import pytest

from drifting import DATA, FEATURES, RULES, make_visits, make_visits_project
from runs import treadle
from treadle.bundle import load
from treadle.champions.bundles import find_by_digest
from treadle.champions.ledger import read_history
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.pipeline.locks import try_lock
from treadle.profiles.blocks import Blocking
from treadle.retraining.production import Production, count_new
from treadle.retraining.traffic import read_traffic

pytestmark = pytest.mark.slow
PAST = """\
  history:
    before: {table: visits, by: {shop: shop}, window: 2d, columns: {share: AVG(bought), visits: COUNT(*)}}
"""
WHOLE = ["simulate", *RULES, "--from", "2020-04-15", "--to", "2020-05-06", "--every", "7d"]
SIMULATION = "retraining/simulations/visits"


@pytest.fixture(scope="module")
def lived(settle):
    """Three weeks of a table whose examples look back at it; a visit's end is known an hour later."""
    shops = make_visits().with_columns(shop=pl.col("id") % 3)
    data = DATA.replace("x: {dtype: float}", "x: {dtype: float}\n      shop: {dtype: int}")
    data = data.replace("after_prediction: true}\n", "after_prediction: true}\n    known_at: at + INTERVAL '1 hour'\n")
    data = data.replace("    path: visits.parquet\n", "    path: visits.parquet\n    key: [id]\n")
    data = data.replace("known: [id, x, z], label: bought = 1, weight: null}", "known: [id, x, z, shop]\n")
    data = data.replace(
        "examples: {table: visits, predict_at: at, ", f"examples:\n  table: visits\n  predict_at: at\n{PAST}  "
    )
    data = data.replace("split:", "  label: bought = 1\n  weight: null\nsplit:")
    with settle() as folder:
        shops.write_parquet("visits.parquet")
        Path("conf/data/visits.yaml").write_text(data)
        Path("conf/features/visits.yaml").write_text(FEATURES.replace("[x, z]", "[x, z, share, visits]"))
        assert treadle(*WHOLE) == 0
    return folder


def read_ticks(folder):
    return json.loads((folder / SIMULATION / "history.json").read_text())


def read_log(folder):
    files = sorted((folder / SIMULATION / "log").glob("2*/*.parquet"))
    return pl.concat(map(pl.read_parquet, files)).sort("input.id")


def test_the_log_holds_what_the_champion_predicts_of_prepared_rows(lived):
    log, history = read_log(lived), read_history("visits", root=lived)
    (whole,) = (
        frame for file in lived.glob("runs/*/examples/test.parquet") if len(frame := pl.read_parquet(file)) == len(log)
    )

    bundle = load(find_by_digest(history.champion, history, root=lived))
    rows = whole.filter(pl.col("id").is_in(log.filter(bundle=history.champion)["input.id"].implode())).sort("id")
    own = log.filter(bundle=history.champion)

    assert own.select("share", "visits", "x").equals(rows.select("share", "visits", "x"))
    assert (own["probability"] - bundle.predict(rows)["probability"]).abs().max() < 1e-6
    assert own["time"].equals(rows["predict_at"].rename("time"))


def test_labels_come_a_gap_later_and_monitoring_reads_them(lived):
    times = dict(read_log(lived).select("id", "time").iter_rows())
    files = sorted((lived / SIMULATION / "log/labels").glob("*.parquet"))

    assert [file.stem[:8] for file in files] == ["20200422", "20200429"]
    for file, day in zip(files, (21, 28), strict=True):
        assert max(times[name] for name in pl.read_parquet(file)["id"]) == datetime(2020, 4, day - 1, 11)  # noqa: DTZ001
    watched = [tick["monitoring"] for tick in read_ticks(lived)]
    assert watched[0] is None
    assert all(found["realised"]["log_loss"] > 0 and found["estimated"]["log_loss"] > 0 for found in watched[1:])


def test_a_stretch_that_is_served_again_ends_in_the_same_history(lived, monkeypatch):
    monkeypatch.chdir(lived)
    before = read_ticks(lived)
    (newest,) = (lived / SIMULATION / "log").glob("20200429*")
    newest.rename(lived / SIMULATION / "serving")  # as a kill leaves it: served, and not named yet

    assert treadle(*WHOLE) == 0

    assert read_ticks(lived) == before
    assert read_log(lived)["input.id"].n_unique() == len(read_log(lived)) == 252


def test_an_event_that_the_server_refuses_ends_the_simulation_and_nothing_of_the_stretch_counts(lived, tmp_path):
    first, last = datetime(2020, 4, 29), datetime(2020, 5, 6)  # noqa: DTZ001 - UTC
    experiment, history = resolve(overrides=RULES, root=lived).experiment, read_history("visits", root=lived)
    traffic = read_traffic(experiment.data, first=first, last=last, root=lived, scratch=tmp_path)
    strange = traffic.events["visits"].with_columns(bought=pl.when(pl.int_range(pl.len()) == 5).then(7).otherwise(0))
    spoiled = replace(traffic, events={"visits": strange})
    day = timedelta(days=1)
    production = Production(experiment, lambda: spoiled, folder=tmp_path, every=day, gap=day, root=lived)

    with pytest.raises(TreadleError, match=r"the server answers /events/visits with 422: .*bought"):
        production.serve(history.champion, None, history, first=first, last=last)

    assert not production.log.exists()


def test_two_simulations_of_one_name_exclude_each_other(lived, monkeypatch, capsys):
    monkeypatch.chdir(lived)

    with try_lock(lived / "runs" / ".simulate-visits.lock") as is_free:
        assert treadle(*WHOLE) == 2

    assert is_free
    assert "another process simulates visits: wait for it, or " in capsys.readouterr().err.replace("\n", " ")


def test_labels_are_given_to_the_log_by_their_names_and_what_has_none_for_good(project, tmp_path):
    day, stretch = datetime(2020, 1, 1), tmp_path / "log" / "20200101T000000-20200102T000000"  # noqa: DTZ001 - UTC
    stretch.mkdir(parents=True)
    sent = {"row": [7, 8], "predict_at": [day, day], "id": ["a.0", "a.1"]}
    pl.DataFrame(sent, schema_overrides={"row": pl.UInt32}).write_ipc(stretch / "rows.arrow")
    pl.DataFrame({"id": ["a.0", "a.1"], "time": [day, day]}).write_parquet(stretch / "a.parquet")
    rows = pl.LazyFrame({"row": [7], "predict_at": [day], "label": [{"late": 1.0, "lost": 0.0}]})
    experiment = SimpleNamespace(serving=None, targets=[])
    hour = timedelta(hours=1)
    production = Production(experiment, lambda: None, folder=tmp_path, every=hour, gap=hour, root=project)

    production.feed_back(rows, now=day + 2 * hour, since=day, until=day + hour)

    (file,) = (tmp_path / "log" / "labels").glob("*.parquet")
    assert pl.read_parquet(file).select("id", "label").rows() == [("a.0", "late=1.0,lost=0.0"), ("a.1", None)]


def test_monitoring_looks_at_what_is_new_also_where_blocks_are_of_rows():
    now, hour = datetime(2020, 1, 3), timedelta(hours=1)  # noqa: DTZ001 - UTC
    moments = [now - place * hour for place in range(48)]
    sent = pl.DataFrame({"predict_at": moments, "id": [None if place % 2 else "a" for place in range(48)]})

    counts = [count_new(Blocking(*unit), sent, now=now, new=24 * hour) for unit in (("rows", 5), ("day", 0))]

    assert counts == [3, 1]  # 13 answers


@pytest.mark.exhaustive
def test_rows_are_served_from_the_first_champion_on_and_none_twice(tmp_path, monkeypatch, capsys):
    """A check refuses the first model, as its rule has just broken; then the stretch goes on to a later end."""
    make_visits_project(tmp_path, breaks_at=90)
    monkeypatch.chdir(tmp_path)
    experiment = tmp_path / "conf/experiment/visits.yaml"
    floor = "{_target_: treadle.evaluation.checks.limits.require_floor, metric: auroc, floor: 0.6}"
    checks = f"good: {{severity: blocker, function: {floor}}}, calibration: null"
    experiment.write_text(experiment.read_text().replace("calibration: null", checks))
    asked = ["simulate", *RULES, "--from", "2020-04-15", "--every", "21d"]

    for last in ("2020-06-02", "2020-06-08"):
        assert treadle(*asked, "--to", last) == 0

    ticks, ids = read_ticks(tmp_path), read_log(tmp_path)["input.id"]
    assert [tick["action"] for tick in ticks][0::2] == ["refuse", "promote"]
    assert ticks[0]["answered"] == 0
    assert ticks[2]["answered"] == 12 * 12
    assert ticks[2]["skill"] > 0
    assert ids.n_unique() == len(ids) == sum(tick["answered"] for tick in ticks)
    assert treadle(*asked, "--to", "2020-06-08", "model.max_rounds=3") == 2
    assert "this simulation began with other values of model.max_rounds; " in capsys.readouterr().err.replace("\n", " ")
