"""Where a person decides meanwhile, the champion fails, or a replay is asked first: one line, and nothing twice."""

import asyncio
import hashlib
import json
import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from drifting import FEATURES, NUM_DAYS, PER_DAY, RULES, decide, make_visits, make_visits_project
from runs import treadle
from treadle.champions.ledger import read_history
from treadle.config.serving import read_serving
from treadle.retraining.champion import Judged
from treadle.retraining.ledger import read_decisions, record
from treadle.retraining.retrain import declare, retrain
from treadle.serving.app import Application
from treadle.serving.local import open_locally
from treadle.serving.service import Service, Source

pytestmark = pytest.mark.slow
OLD = [*RULES, "retrain.act.age.after=10d"]


@pytest.fixture(scope="module")
def lived(settle):
    """A project with a champion, and a weak run."""
    with settle() as folder:
        decide("2020-04-15")
        assert treadle("run", "experiment=visits", "model.max_rounds=1", "model.learning_rate=0.001") == 0
    return folder


@pytest.fixture
def project(copied):
    return copied


def promote_weak(project):
    """By a person, against the gate; gives its digest."""
    (weak,) = [p.parent for p in project.glob("runs/*/resolved.yaml") if "max_rounds: 1\n" in p.read_text()]
    assert treadle("promote", str(weak), "--override", "I know better") == 0
    return read_history("visits", root=project).champion


def serve_days(rows, *, begin, root):
    """The champion's server answers `PER_DAY` rows a day, each day a request; gives the ids of the predictions."""
    serving = read_serving(["serving.log.folder=serving/log"], root=root)
    clock = begin

    def make_service(count):
        return Service(Source("visits@champion", root), serving, count_waiting=count, now=lambda: clock)

    async def ask():
        nonlocal clock
        ids = []
        async with open_locally(Application(make_service, token=None)) as client:
            for day, part in enumerate(rows.iter_slices(PER_DAY)):
                clock = begin + timedelta(days=day)
                answer = await client.post("/predict", part.select("id", "x", "z").to_dicts())
                ids += [f"{answer.body['id']}.{place}" for place in range(len(part))]
        return ids

    return asyncio.run(ask())


def list_decided(project):
    return read_decisions("visits", root=project).items


def last(project):
    return read_decisions("visits", root=project).items[-1]


def test_the_champion_before_takes_over_where_it_is_better(project):
    first = read_history("visits", root=project).champion
    weak = promote_weak(project)

    decide("2020-05-20")

    assert (last(project).action, last(project).champion, last(project).bundle) == ("rollback", weak, first)
    assert last(project).reasons[0].startswith("the champion before is better on the newest rows: ")
    assert read_history("visits", root=project).champion == first


def test_the_champion_before_takes_over_by_what_the_server_answered_and_the_labels_that_came(project):
    first, weak = read_history("visits", root=project).champion, promote_weak(project)
    begin = datetime.now(tz=UTC).replace(tzinfo=None) + timedelta(hours=1)
    asked = make_visits().tail(14 * PER_DAY)
    ids = serve_days(asked, begin=begin, root=project)
    pl.DataFrame({"id": ids, "bought": asked["bought"]}).write_csv("bought.csv")

    told = treadle("feedback", "bought.csv", "--log", "serving/log", "--label", "bought")
    decide((begin + timedelta(days=14)).isoformat())

    decided = last(project)
    assert told == 0
    assert (decided.action, decided.champion, decided.bundle) == ("rollback", weak, first)
    assert decided.reasons[0].endswith("in pairs, over 14 days of answers whose labels came")
    assert [day["rows"] for day in decided.evidence["realised"]["days"]] == [PER_DAY] * 14
    assert read_history("visits", root=project).champion == first


def test_where_the_champion_before_is_lost_all_but_the_way_back_goes_on_and_it_is_told_once(project, capsys):
    first = read_history("visits", root=project)
    weak = promote_weak(project)
    shutil.rmtree(project / first.decisions[0].run)
    for file in project.glob("runs/.stages/train/*/bundle/bundle.json"):
        if hashlib.sha256(file.read_bytes()).hexdigest() == first.champion:
            file.unlink()
    rules = ["retrain.act.age=null", "retrain.act.performance=null"]

    decide("2020-05-20", "2020-05-21", rules=rules)

    lost = last(project).evidence["no_way_back"]
    assert [one.action for one in list_decided(project)] == ["promote", "nothing", "nothing"]
    assert lost.startswith(f"there is no way back to the champion before: the bundle {first.champion[:12]} of 'visits'")
    assert lost.endswith(f"it came from {first.decisions[0].run}. Make that run again")
    assert capsys.readouterr().err.count(lost) == 1
    assert read_history("visits", root=project).champion == weak


def test_a_batch_with_its_inputs_is_monitored_by_the_days_of_its_predictions(project, capsys):
    table = pl.read_parquet("visits.parquet")
    table.write_parquet("rows.parquet")
    assert treadle("predict", "champion", "rows.parquet", "--inputs", "-o", "served/batch.parquet") == 0
    capsys.readouterr()

    treadle("monitor", "champion", "--log", "served", "--no-effect", "--format", "json")

    found = json.loads(capsys.readouterr().out)
    assert [block["rows"] for block in found["blocks"]] == [PER_DAY] * NUM_DAYS
    assert pl.read_parquet("served/batch.parquet")["predict_at"].equals(table["at"].alias("predict_at"))


def test_a_champion_of_the_meantime_is_what_the_gate_compares_with(project):
    weak = []

    def promote(line):
        if line.startswith("evaluate   …"):
            weak.append(promote_weak(project))

    occasion = declare(OLD, now=datetime(2020, 5, 20), root=Path.cwd(), is_one_of_many=False)  # noqa: DTZ001 - UTC
    decided = retrain(occasion, dry=False, notify=promote)

    assert (decided.action, [decided.champion]) == ("promote", weak)
    assert read_history("visits", root=project).champion == decided.bundle


def test_what_a_person_decided_since_is_not_undone(project):
    chain = read_decisions("visits", root=project)
    killed = replace(chain.items[-1], time="2020-05-01T00:00:00", champion=chain.items[-1].bundle, bundle="0" * 64)
    record(chain, killed)  # and killed before it was done
    weak = promote_weak(project)

    assert treadle("retrain", *RULES, "retrain.rollback=false", "--now", "2020-05-20") == 0

    assert read_history("visits", root=project).champion == weak


def test_when_a_champion_was_promoted_is_its_own_line(project):
    first = read_history("visits", root=project)
    promote_weak(project)
    assert treadle("rollback", "visits") == 0
    history = read_history("visits", root=project)
    assert history.champion == first.champion

    judged = Judged.find(history, first.champion, targets=[], root=project)

    assert judged.promoted.isoformat() == first.decisions[0].time


@pytest.mark.parametrize("meant", ["other columns", "another task"])
def test_a_champion_that_cannot_be_compared_is_told_once_and_not_replaced(project, capsys, meant):
    given = RULES
    if meant == "other columns":
        data = project / "conf/data/visits.yaml"
        data.write_text(data.read_text().replace("known: [id, x, z]", "known: [id, x]"))
        (project / "conf/features/visits.yaml").write_text(FEATURES.replace("[x, z]", "[x]"))
        why = "column"
    else:
        given = [*RULES, "data.task=regression", "data.examples.label=bought", "evaluation.metric=rmse"]
        why = "it predicts binary, and the experiment is regression"
    before = read_history("visits", root=project)

    codes = [treadle("retrain", *given, "--now", now) for now in ("2020-05-20", "2020-05-20T01:00", "2020-05-21")]

    assert codes == [1, 1, 1]
    assert [decided.action for decided in read_decisions("visits", root=project).items] == ["promote", "stuck"]
    assert "cannot predict the newest rows" in last(project).reasons[0]
    assert why in last(project).reasons[0]
    assert read_history("visits", root=project) == before
    assert capsys.readouterr().err.count("nothing is new since 2020-05-20T00:00:00: ") == 2


def test_a_replay_that_finds_no_gain_trains_nothing(project):
    asked = ["retrain.act.age.do=replay", "replay.first=2020-03-01", "~replay.policies.last_2"]

    assert treadle("retrain", *OLD, *asked, "--now", "2020-05-20") == 0

    assert (last(project).action, last(project).run) == ("nothing", None)
    assert last(project).reasons[-1] == "the replay finds no gain of training again beyond noise"


@pytest.mark.exhaustive
def test_a_replay_that_finds_a_gain_trains(project):
    make_visits(breaks_at=60).write_parquet(project / "visits.parquet")
    asked = ["retrain.act.age.do=replay", "replay.first=2020-03-01", "~replay.policies.last_2"]
    asked.append("+replay.policies.last_1={by: schedule, every: 1, window: 1}")

    assert treadle("retrain", *OLD, "retrain.act.performance=null", *asked, "--now", "2020-06-20") == 0

    assert any(reason.startswith("the replay recommends ") for reason in last(project).reasons)
    assert last(project).run is not None


@pytest.mark.exhaustive
def test_other_classes_than_the_champion_s_are_refused_and_not_trained_again(tmp_path, monkeypatch, capsys):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    label = "CASE WHEN bought = 1 THEN 'yes' WHEN z > 9 THEN 'later' ELSE 'no' END"
    given = [*OLD, "data.task=multiclass", f'data.examples.label="{label}"', "retrain.window=null"]
    assert treadle("retrain", *given, "--now", "2020-04-15") == 0
    table = pl.read_parquet("visits.parquet")
    recent = (pl.col("at") >= datetime(2020, 4, 15)) & (pl.col("z") > 0)  # noqa: DTZ001 - UTC
    table.with_columns(z=pl.when(recent).then(10.0).otherwise("z")).write_parquet("visits.parquet")

    assert [treadle("retrain", *given, "--now", now) for now in ("2020-05-20", "2020-05-20T01:00")] == [0, 0]

    _, refused = read_decisions("visits", root=tmp_path).items
    assert (refused.action, refused.bundle) == ("refuse", refused.champion)
    assert "they cannot be compared" in refused.sentence
    assert "nothing is new since" in capsys.readouterr().err


@pytest.mark.exhaustive
def test_the_first_champion_starts_from_none_and_the_next_from_it(tmp_path, monkeypatch):
    make_visits_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    trees = [f"~model.{key}" for key in ("max_rounds", "early_stopping_rounds", "min_data_in_leaf")]
    network = [*OLD, "model=linear", *trees, "schedule.max_epochs=30", "schedule.batch_size=16"]
    champion = ["schedule.start_from=champion", "+features.start_from=champion", "schedule.start_optimizer=continue"]

    for now in ("2020-04-15", "2020-05-20"):
        assert treadle("retrain", *network, *champion, "--now", now) == 0

    assert list_decided(tmp_path)[0].action == "promote"
    runs = [tmp_path / decided.run for decided in list_decided(tmp_path)]
    first, second = (json.loads((run / "bundle/experiment.json").read_text()) for run in runs)
    assert first["schedule"]["start_from"] is None
    assert [values["schedule"]["start_optimizer"] for values in (first, second)] == ["anew", "continue"]
    assert second["schedule"]["start_from"].startswith(list_decided(tmp_path)[0].run)
    assert second["features"]["start_from"] == second["schedule"]["start_from"]
