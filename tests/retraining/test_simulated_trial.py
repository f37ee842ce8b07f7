"""A challenger beside the champion in a simulation: tried on live rows, promoted or stopped, and led back from."""

import json
import shutil

import polars as pl
import pytest

from drifting import make_visits, make_visits_project
from runs import treadle
from treadle.bundle import load
from treadle.champions.bundles import find_by_digest
from treadle.champions.ledger import read_history
from treadle.retraining.ledger import read_decisions

pytestmark = pytest.mark.slow
RULES = ["experiment=visits", "retrain=shadow", "retrain.valid=7d", "retrain.block=14d", "retrain.window=28d"]
RULES += ["retrain.act.performance=null", "retrain.act.age.after=75d"]
ASKED = ["simulate", *RULES, "--from", "2020-04-15", "--every", "26d"]
SIMULATION = "retraining/simulations/visits"
BREAK = 130  # day on which the rule breaks: 10 May


@pytest.fixture(scope="module")
def tried(tmp_path_factory):
    """A challenger that has learned the new rule, on trial since 2 July."""
    folder = tmp_path_factory.mktemp("tried")
    make_visits_project(folder, breaks_at=BREAK)
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert treadle(*ASKED, "--to", "2020-07-03") == 0
    assert [decided.action for decided in list_decided(folder)] == ["promote", "nothing", "nothing", "challenge"]
    return folder


def go_on(tried, folder, *, heals_at, last):
    """Simulate a copy on, in a world whose rule heals."""
    shutil.copytree(tried, folder, symlinks=True)
    make_visits(breaks_at=BREAK, heals_at=heals_at).write_parquet(folder / "visits.parquet")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        assert treadle(*ASKED, "--to", last) == 0
    return folder


@pytest.fixture(scope="module")
def healed(tried, tmp_path_factory):
    """The rule heals on the day on which the trial begins, so that the challenger is worse."""
    return go_on(tried, tmp_path_factory.mktemp("healed") / "project", heals_at=183, last="2020-07-29")


def list_decided(folder):
    return read_decisions("visits", root=folder).items


def read_log(folder, files):
    return pl.concat(map(pl.read_parquet, sorted((folder / SIMULATION / "log").glob(files)))).sort("id")


def test_a_better_challenger_is_promoted_and_led_back_from_once_its_answers_are_worse(tried, tmp_path):
    """The rule heals on 28 July, on which the challenger was promoted."""
    folder = go_on(tried, tmp_path / "project", heals_at=209, last="2020-09-20")

    first, *_, tried, promoted, gone_back, calm = list_decided(folder)
    assert (promoted.action, promoted.reasons) == ("promote", ["the challenger is better on live rows"])
    assert (promoted.champion, promoted.bundle) == (first.bundle, tried.challenger)
    assert "over 25 days; waiting for labels: 1 day" in promoted.sentence
    assert (gone_back.action, gone_back.bundle) == ("rollback", first.bundle)
    assert gone_back.reasons[0].startswith("the champion before would have been better: gain in log loss +")
    assert [day["day"] for day in gone_back.evidence["realised"]["days"]][0::24] == ["2020-07-28", "2020-08-21"]
    assert calm.action != "rollback"
    actions = [decision.action for decision in read_history("visits", root=folder).decisions]
    assert actions == ["promote", "challenge", "promote", "rollback"]


def test_a_worse_challenger_is_stopped_and_the_page_tells_of_its_trial(healed):
    first, *_, tried, stopped = list_decided(healed)
    assert (stopped.action, stopped.reasons) == ("stop", ["the challenger is worse on live rows"])
    assert (stopped.bundle, stopped.challenger) == (first.bundle, None)
    *_, tick, after = json.loads((healed / SIMULATION / "history.json").read_text())
    assert (tick["challenger"], after["challenger"]) == (tried.challenger, None)
    assert tick["challenger_skill"] < tick["skill"]
    page = (healed / SIMULATION / "report.html").read_text()
    assert "the challenger is worse on live rows; in the shadow: the challenger is worse: gain in log loss -" in page
    assert "challenger in the shadow" in page


def test_the_challenger_answers_each_row_that_the_champion_answers(healed):
    own, beside = read_log(healed, "20200702*/*.parquet"), read_log(healed, "20200702*/shadow/*.parquet")

    history, (*_, tried, _) = read_history("visits", root=healed), list_decided(healed)
    (challenger,) = beside["bundle"].unique()
    assert (own["bundle"].unique().to_list(), challenger) == ([history.champion], tried.challenger)
    assert own.select("id", "time").equals(beside.select("id", "time"))
    rows = own.select(pl.col("input.id").alias("id"), "x", "z")
    wanted = load(find_by_digest(challenger, history, root=healed)).predict(rows)["probability"]
    assert beside["probability"].to_list() == pytest.approx(wanted.to_list(), abs=1e-6)
