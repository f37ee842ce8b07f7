"""Events as they arrive at a server, and a state that is made again from their log."""

from datetime import datetime, timedelta

import polars as pl
import pytest

from flight_days import make_days, make_offline
from served import ROOT
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.online.feeds import Online
from treadle.online.log import START, LogError, ReplacedError, SqliteLog
from treadle.online.state import EPOCH
from treadle.schema import PREDICT_AT, ROW

NOW = datetime(2013, 6, 4)  # noqa: DTZ001 - tables are in UTC without a zone


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    """The declarations of the flights, two days of them as JSON would bring them, and the files."""
    return make_days(tmp_path_factory.mktemp("days"))


@pytest.fixture(scope="module")
def offline(days, tmp_path_factory):
    frame = make_offline(days[0], now=NOW, scratch=tmp_path_factory.mktemp("scratch"))
    raw = pl.DataFrame(days[1]["flights"]).select("year", "sched_dep_time", "tailnum")
    return frame.with_columns(raw[frame[ROW]])


def start(days, tmp_path, *, log=None, now=NOW):
    data, _, files = days
    return Online(data, files=files, log=log, root=tmp_path, now=now, scratch=tmp_path)


def find_differences(online, frame):
    past = [name for look in online.state.looks for name in look.columns]
    rows = frame.iter_rows(named=True)
    answers = pl.DataFrame([online.ask(row[PREDICT_AT], row) for row in rows], schema=frame.select(past).schema)
    return [name for name in past if not answers[name].equals(frame[name])]


@pytest.mark.slow
def test_events_give_what_prepare_gives_and_so_does_their_log(days, offline, tmp_path):
    """In any batches; after a restart the same."""
    _, events, _ = days
    log = SqliteLog(tmp_path / "events.db")
    online = start(days, tmp_path, log=log)
    for name in ("weather", "flights"):
        for first in range(0, len(events[name]), 700):
            online.add(name, [events[name][first : first + 700]], now=NOW - timedelta(days=2))

    asked = offline.sample(200, seed=0).sort(PREDICT_AT)
    assert find_differences(online, asked) == []
    log.close()

    again = start(days, tmp_path, log=SqliteLog(tmp_path / "events.db"))
    newest = asked.filter(pl.col(PREDICT_AT) > NOW - timedelta(days=1))
    assert len(newest) > 50
    assert find_differences(again, newest) == []


def test_a_row_alone_has_the_keys_that_it_has_among_others(tmp_path):
    """Among others Polars multiplies by 1 / 30, alone it divides: the state would not find 23 / 30 again."""
    data = resolve(overrides=["experiment=parking"], root=ROOT).experiment.data
    online = Online(data, files={}, log=None, root=ROOT, now=NOW, scratch=tmp_path)
    rows = [{"car_park": "a", "slot": f"2016-10-04T09:{minute}:00", "capacity": 9, "step": 1} for minute in (23, 24)]

    alone, among = online.read(rows[:1]), online.read(rows)

    assert alone.keys == among.keys[:1]
    assert alone.known.equals(among.known.head(1))


@pytest.mark.slow
def test_rows_to_predict_become_the_examples_that_prepare_makes(days, offline, tmp_path):
    """Of flights that have not left; the order of their columns and their types, too, but for columns of nulls."""
    _, events, _ = days
    online = start(days, tmp_path)
    for name in ("weather", "flights"):
        online.add(name, [events[name]], now=NOW - timedelta(days=2))
    asked = offline.sample(50, seed=1)
    late = {"dep_time", "dep_delay", "arr_time", "arr_delay"}
    rows = [{k: v for k, v in events["flights"][row].items() if k not in late} for row in asked[ROW]]

    found = online.complete(rows, moments=[NOW + timedelta(days=2)] * len(rows))

    expected = asked.select(found.columns)
    assert len(found.columns) == 36
    assert found.cast(expected.schema).equals(expected)


def test_what_is_predicted_ahead_is_asked_now(days, tmp_path):
    online, now = start(days, tmp_path), datetime(2013, 6, 3, 12)  # noqa: DTZ001
    online.add("flights", [days[1]["flights"]], now=NOW - timedelta(days=2))
    evening = [row for row in days[1]["flights"] if row["origin"] == "EWR" and row["day"] == 3 and row["hour"] == 21][
        :1
    ]

    ahead, then = online.complete(evening * 2, moments=[now, NOW + timedelta(days=2)])["origin_arrivals"]

    assert ahead == online.ask(now, evening[0])["origin_arrivals"] > 0
    assert ahead != then


def test_an_event_without_a_moment_never_becomes_known(days, tmp_path):
    online = start(days, tmp_path)
    cancelled = [row for row in days[1]["flights"] if row["dep_time"] is None][:2]

    assert online.add("flights", [cancelled], now=NOW) == [(2, 0, 2)]
    assert online.state.counts["flights"].num_unknown == 2


BROKEN = {
    "no feed": ("wether", {}, "no feed 'wether'. Did you mean 'weather'"),
    "no column": ("weather", {"origin": ...}, "columns.origin: the row has no such column.*; row 2"),
    "another type": (
        "weather",
        {"temp": "warm"},
        r"columns.temp: must be of type float; row 2 holds 'warm'",
    ),
    "a broken rule": ("weather", {"origin": "XXX"}, r"columns.origin: must be one of 'EWR', 'JFK', 'LGA'; row 2"),
}


@pytest.mark.parametrize(("table", "change", "told"), BROKEN.values(), ids=BROKEN)
def test_a_broken_event_is_told_and_none_of_its_batch_is_taken(days, tmp_path, table, change, told):
    online = start(days, tmp_path)
    rows = [dict(row) for row in days[1]["weather"][:2]]
    rows = [{name: None if value is None else str(value) for name, value in row.items()} for row in rows]
    rows[1] = {name: value for name, value in (rows[1] | change).items() if value is not ...}

    with pytest.raises(TreadleError, match=told):
        online.add(table, [rows], now=NOW)
    assert online.state.counts == {}


def test_tables_that_events_are_joined_with_must_be_there(days, tmp_path):
    data, _, _ = days

    with pytest.raises(TreadleError, match="events are joined with the table 'planes': name its file"):
        Online(data, files={}, log=None, root=tmp_path, now=NOW, scratch=tmp_path)


def test_a_file_that_is_no_log_is_refused(tmp_path):
    (tmp_path / "events.db").write_text("no database, but a text that is long enough to be read as one" * 20)

    with pytest.raises(TreadleError, match=r"events.db: the events cannot be recorded: .*; name another file"):
        SqliteLog(tmp_path / "events.db")


def test_a_log_that_is_out_of_reach_changes_nothing_and_is_said(days, offline, tmp_path):
    log = SqliteLog(tmp_path / "events.db")
    online = start(days, tmp_path, log=log)
    online.add("weather", [days[1]["weather"][:5]], now=NOW)
    log.close()

    online.catch_up()
    with pytest.raises(LogError, match="the events cannot be recorded"):
        online.add("weather", [days[1]["weather"][5:9]], now=NOW)

    assert "events cannot be read" in online.fault
    assert online.state.counts["weather"].num_events == 5
    assert online.ask(NOW, offline.row(0, named=True)).keys() == set(online.columns)


class Unreadable(SqliteLog):
    """A log that takes events, and may not answer a question, as one behind a network that fails in between."""

    fault: LogError | None = None

    def read(self, **arguments):
        fault, self.fault = self.fault, None
        if fault is not None:
            raise fault
        return super().read(**arguments)


def test_events_that_are_recorded_are_said_to_be_taken_though_those_of_others_cannot_be_read(days, tmp_path):
    log = Unreadable(tmp_path / "events.db")
    online = start(days, tmp_path, log=log)
    log.append("weather", days[1]["weather"][:1], [0])  # by another server
    log.fault = LogError("no answer")

    assert online.add("weather", [days[1]["weather"][5:9]], now=NOW) == [(4, 0, 0)]
    assert online.fault == "no answer"
    assert sum(len(part.rows) for part in log.read(after=START)) == 5


def test_a_state_follows_a_log_that_was_restored_from_its_beginning(days, tmp_path, caplog):
    """As a server does that starts now: so all of them agree."""
    log = Unreadable(tmp_path / "events.db")
    online = start(days, tmp_path, log=log)
    online.add("weather", [days[1]["weather"][:5]], now=NOW)
    log.fault = ReplacedError("it was restored")

    online.catch_up()

    assert (online.fault, online.num_rebuilt, online.state.counts["weather"].num_events) == (None, 1, 5)
    assert "it was restored: what is known is what it holds now" in caplog.text


def declare_a_cast(days):
    """A history that one text of the table may not fit, as a strict CAST."""
    data, _, _ = days
    history = dict(data.examples.history)
    name, look = next((name, look) for name, look in history.items() if look.table == "flights")
    history[name] = look.model_copy(update={"columns": {"tails": "SUM(CAST(SUBSTR(tailnum, 2, 3) AS INTEGER))"}})
    return data.model_copy(update={"examples": data.examples.model_copy(update={"history": history})})


def test_an_event_that_an_expression_fails_for_is_named_and_never_recorded(days, tmp_path):
    """Once in the log it would fail in every later call, and in every start."""
    data, log = declare_a_cast(days), SqliteLog(tmp_path / "events.db")
    flights = [row for row in days[1]["flights"] if row["dep_time"] is not None][:3]
    good, bad = [{**row, "tailnum": "N123UA"} for row in flights], {**flights[0], "tailnum": "NXXXUA"}
    online = start((data, *days[1:]), tmp_path, log=log)

    with pytest.raises(TreadleError, match=r"data.tables.flights: data.examples.history.*; row 2"):
        online.add("flights", [[good[0], bad]], now=NOW)

    assert list(log.read(after=START)) == []
    assert online.add("flights", [good], now=NOW) == [(3, 0, 0)]
    moment = (NOW - EPOCH) // timedelta(microseconds=1)
    log.append("flights", [bad, good[0]], [moment, moment])  # by a server with other declarations
    online.catch_up()
    assert (online.fault, online.num_refused, online.state.counts["flights"].num_events) == (None, 1, 4)
