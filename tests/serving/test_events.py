"""A server takes events as they become known, and predicts rows that come without their past as a batch does."""

import random
from dataclasses import replace
from datetime import datetime, timedelta

import orjson
import polars as pl
import pytest

import treadle
from flight_days import make_days, make_flights_bundle
from served import ROOT, open_client, save_run
from treadle.config.serving import read_serving
from treadle.data.unlabelled import build_unlabelled
from treadle.errors import TreadleError
from treadle.online.feeds import Online
from treadle.online.rows import RowsError
from treadle.serving.completion import Completion
from treadle.serving.event_program import compile_events
from treadle.serving.expressions import UnknownError
from treadle.serving.feeds import Given
from treadle.serving.service import Service, Source

NOW = datetime(2013, 6, 4)  # noqa: DTZ001 - tables are in UTC without a zone
LATE = ("dep_time", "dep_delay", "arr_time", "arr_delay", "air_time")
NUM_ASKED = 60
PATIENT = "serving.limits.seconds=60"  # on a busy machine


@pytest.fixture(scope="module")
def days(tmp_path_factory):
    return make_days(tmp_path_factory.mktemp("days"))


@pytest.fixture(scope="module")
def examples(days, tmp_path_factory):
    """What `treadle predict --tables` makes of the tables: `row`, and the columns of the bundle."""
    scratch = tmp_path_factory.mktemp("scratch")
    made = build_unlabelled(days[0], files=days[2], at=None, root=ROOT, now=NOW, scratch=scratch)
    return made.take(0, len(made.rows))


@pytest.fixture(scope="module")
def flights(days, examples, tmp_path_factory):
    bundle = make_flights_bundle(days[0], examples.drop("row"))
    return save_run(bundle, tmp_path_factory.mktemp("runs") / "flights-0a1b2c3d")


@pytest.fixture(scope="module")
def places(examples, days):
    """Some examples of the second day."""
    second = [place for place, row in enumerate(examples["row"]) if days[1]["flights"][row]["day"] == 3]
    return second[:: len(second) // NUM_ASKED]


@pytest.fixture(scope="module")
def asked(examples, places, days):
    """The same flights before they leave, as a client has them."""
    rows = [days[1]["flights"][examples["row"][place]] for place in places]
    return [{name: value for name, value in row.items() if name not in LATE} for row in rows]


@pytest.fixture(scope="module")
def wanted(flights, examples, places):
    return treadle.load(flights).predict(examples[places])["probability"].to_list()


def post(client, path, body):
    data = body if isinstance(body, bytes) else orjson.dumps(body)
    return client.post(path, content=data, headers={"content-type": "application/json"})


def give_all(client, events):
    for table in ("weather", "flights"):
        for start in range(0, len(events[table]), 900):
            answer = post(client, f"/events/{table}", events[table][start : start + 900])
            assert answer.status_code == 200, answer.text


def ask(client, rows):
    return [found and found["probability"] for found in post(client, "/predict", rows).json()["predictions"]]


@pytest.mark.slow
def test_rows_without_their_past_get_what_a_batch_predicts_and_so_after_a_restart(
    days, flights, asked, wanted, tmp_path
):
    """The same batch, so equal to the last bit; from events in any parts, and from the file of events alone."""
    overrides = [PATIENT, "serving.events.store=sqlite", f"serving.events.path={tmp_path}/events.db"]
    with open_client(flights, *overrides) as client:
        assert ask(client, asked) != wanted  # nothing is known yet
        give_all(client, days[1])
        assert ask(client, asked) == wanted
        told = client.get("/events").json()["feeds"]
        assert told["flights"]["events"] == len(days[1]["flights"])
        assert told["flights"]["late"] > 0  # those that the first question should have known
    with open_client(flights, *overrides) as client:
        assert ask(client, asked) == wanted


@pytest.fixture(scope="module")
def client(flights, days):
    with open_client(flights, "serving.events.store=memory", PATIENT) as opened:
        give_all(opened, days[1])
        yield opened


@pytest.mark.slow
def test_plain_rows_are_completed_without_polars_and_an_odd_one_beside_them_by_it(client, asked, wanted):
    scorer = client.application.service.current.scorer
    before = scorer.num_by_polars
    alone = [ask(client, [row]) for row in asked]
    assert scorer.num_by_polars == before

    odd = {**asked[1], "distance": str(asked[1]["distance"])}

    assert ask(client, [asked[0], odd, asked[2]]) == [found for (found,) in alone[:3]] == pytest.approx(wanted[:3])
    assert scorer.num_by_polars == before + 1


def test_lone_events_become_the_entries_that_polars_makes_of_many(days, flights, tmp_path):
    data = treadle.load(flights).recipe.data
    files = {name: table.path for name, table in data.tables.items()}
    online = Online(data, files=files, log=None, root=ROOT, now=NOW, scratch=tmp_path)
    assert compile_events(online) == {}

    for table in ("weather", "flights"):
        events = orjson.loads(orjson.dumps(days[1][table][:300]))
        alone = [online.programs[table]([event]) for event in events]
        together = online.prepare(table, events)
        assert [found.moments[0] for found in alone] == together.moments.to_list()
        entries = [
            (look, key, entry._replace(number=place))
            for place, found in enumerate(alone)
            for look, key, entry in found.entries
        ]
        assert len(entries) > len(events) / 2
        assert sorted(entries, key=repr) == sorted(together.entries, key=repr)
        assert online.programs[table]([{**events[0], "origin": 7}]) is None, "Polars names what is wrong"


@pytest.mark.slow
def test_compiling_asks_nothing_of_the_state_and_what_only_polars_knows_is_told(days, flights, tmp_path):
    def open_online(data):
        files = {name: table.path for name, table in data.tables.items()}
        return Online(data, files=files, log=None, root=ROOT, now=NOW, scratch=tmp_path)

    bundle = treadle.load(flights)
    data = bundle.recipe.data
    online = open_online(data)
    Completion(online, bundle.columns)
    assert not online.state.find_late(pl.Series([0])).any(), "a question would have made all events before it late"

    table = data.tables["flights"]
    derive = {**table.derive, "scheduled_at": "DATE_TRUNC('minute', time_hour + minute * INTERVAL '1 minute')"}
    tables = {**data.tables, "flights": table.model_copy(update={"derive": derive})}
    with pytest.raises(UnknownError, match="DATE_TRUNC"):
        Completion(open_online(data.model_copy(update={"tables": tables})), bundle.columns)


@pytest.mark.slow
def test_a_row_that_brings_its_past_is_taken_as_it_is(client, flights, examples):
    rows = examples[100:120].drop("row", "predict_at")
    plain = [orjson.loads(orjson.dumps(row)) for row in rows.to_dicts()]

    assert ask(client, plain) == treadle.load(flights).predict(rows)["probability"].to_list()


def test_bad_rows_are_named_and_the_others_completed(client, asked):
    rows = [dict(row) for row in asked[:6]]
    rows[5]["flight"] = 2**63
    rows[1]["hour"] = "late"
    del rows[2]["origin"]
    rows[3]["dest"] = {"a": 1}
    good = ask(client, [asked[0], asked[4]])

    answer = post(client, "/predict", rows)

    assert answer.status_code == 422
    found = [row and row["probability"] for row in answer.json()["predictions"]]
    assert found[1:4] == [None] * 3
    assert found[5] is None
    assert [found[0], found[4]] == pytest.approx(good, abs=1e-6)
    assert [(each["row"], each["column"], each["value"]) for each in answer.json()["errors"]] == [
        (1, "hour", "late"),
        (2, "origin", None),
        (3, "dest", "an object of 1"),
        (5, "flight", str(2**63)),
    ]


def test_a_number_may_come_as_text_or_whole_beside_others(client, days):
    """JSON writes 39.0 as 39; and a client may send texts."""
    first, second, third = (dict(row) for row in days[1]["weather"][:3])
    first["temp"] = 39
    second["temp"] = "39.5"

    assert post(client, "/events/weather", [first, second, third]).json()["taken"] == 3


BAD = {
    "another type": ({"temp": "warm"}, ("temp", "warm", "must be of type float")),
    "a broken rule": ({"origin": "XXX"}, ("origin", "XXX", "must be one of 'EWR', 'JFK', 'LGA'")),
    "no column": ({"origin": ...}, ("origin", None, "the row has no such column.")),
    "a list": ({"temp": [1]}, ("temp", "a list of 1", "must be a text, a number, true, false or null")),
    "endless": ({"wind_dir": 10**400}, ("wind_dir", None, None)),
}


@pytest.mark.parametrize(("change", "told"), BAD.values(), ids=BAD)
def test_a_bad_event_answers_422_with_column_value_and_rule_and_none_is_taken(client, days, change, told):
    rows = [dict(row) for row in days[1]["weather"][:2]]
    rows[1] = {name: value for name, value in (rows[1] | change).items() if value is not ...}
    before = client.get("/events").json()

    body = str(rows).replace("None", "null").replace("'", '"').encode() if told[2] is None else rows
    answer = post(client, "/events/weather", body)

    if told[2] is None:  # no JSON of orjson's
        assert answer.status_code == 400
    else:
        assert answer.status_code == 422
        (error,) = answer.json()["errors"]
        assert (error["row"], error["column"], error["value"]) == (1, *told[:2])
        assert error["rule"].startswith(told[2])
    assert client.get("/events").json() == before


def test_events_that_come_after_their_time_are_counted(client, days, asked):
    (event,) = [dict(row) for row in days[1]["weather"][-1:]]
    ask(client, asked[-1:])
    early = next(row for row in days[1]["weather"] if row["origin"] == event["origin"] and row["day"] == 2)

    answer = post(client, "/events/weather", early).json()

    assert answer == {"taken": 1, "late": 1, "never_known": 0}
    text = client.get("/metrics").text
    assert 'treadle_events_total{model="flights-0a1b2c3d",outcome="late",table="weather"}' in text
    assert "treadle_newest_event_seconds" in text


def test_requests_that_wait_together_are_taken_at_once_and_a_bad_one_alone_is_refused(client, days):
    service, weather, flights = client.application.service, days[1]["weather"][-3:], days[1]["flights"][-2:]
    bad = {**weather[0], "origin": "XXX"}
    given = [
        ("weather", weather[:2]),
        ("weather", [bad]),
        ("weather", weather[2:]),
        ("flights", flights),
        ("flights", []),
    ]

    outcomes = service.take([Given(table, rows) for table, rows in given])

    assert isinstance(outcomes.pop(1), RowsError)
    assert [outcome.num_events for outcome in outcomes] == [2, 1, 2, 0]


def test_an_error_for_one_table_leaves_what_was_taken_for_another_taken_once(client, days):
    """Raised, it would have every request of the batch asked again."""
    service = client.application.service

    taken, refused = service.take([Given("weather", days[1]["weather"][-1:]), Given("planes", [{}])])

    assert taken.num_events == 1
    assert "no feed 'planes'" in str(refused)


def test_what_is_no_feed_answers_404_and_too_many_413(client):
    answer = post(client, "/events/wether", {})
    assert (answer.status_code, answer.json()["error"]) == (
        404,
        "no feed 'wether'. Did you mean 'weather'? Allowed: flights, weather",
    )
    assert post(client, "/events/planes", {}).status_code == 404
    assert post(client, "/events/weather", [{}] * 1_001).status_code == 413
    assert post(client, "/events/weather", b"{").status_code == 400
    assert post(client, "/events/weather", []).json() == {"taken": 0, "late": 0, "never_known": 0}


def test_the_description_has_feeds_and_raw_rows(client):
    document = client.get("/openapi.json").json()

    assert {"/events", "/events/flights", "/events/weather"} <= document["paths"].keys()
    schemas = document["components"]["schemas"]
    assert schemas["Event_weather"]["properties"]["origin"]["enum"] == ["EWR", "JFK", "LGA"]
    assert "tailnum" in schemas["RawRow"]["properties"]
    assert "tailnum" not in schemas["Row"]["properties"]


@pytest.mark.slow
def test_a_bundle_that_looks_back_alike_shares_the_state_and_another_follows_the_log(client, flights, days):
    feeds, state = client.application.service.feeds, client.application.service.online
    bundle = treadle.load(flights)
    name, look = next(iter(bundle.recipe.data.examples.history.items()))
    shorter = {**bundle.recipe.data.examples.history, name: look.model_copy(update={"window": "1h"})}
    examples = bundle.recipe.data.examples.model_copy(update={"history": shorter})
    data = bundle.recipe.data.model_copy(update={"examples": examples})

    same = feeds.follow(bundle)
    other = feeds.follow(replace(bundle, recipe=bundle.recipe.model_copy(update={"data": data})))

    assert same is state
    assert other is not state
    assert other.state.counts["flights"].num_events > 1_000  # read from the log
    before = other.state.counts["weather"].num_events
    post(client, "/events/weather", days[1]["weather"][-1])
    other.catch_up()
    assert other.state.counts["weather"].num_events == before + 1


def test_a_clock_that_jumps_loses_nothing(client, asked, monkeypatch):
    feeds, newest = client.application.service.feeds, client.get("/events").json()["feeds"]["flights"]["newest"]
    moments = datetime.fromisoformat(newest), datetime(2099, 1, 1), NOW - timedelta(days=2000)  # noqa: DTZ001
    found = []
    for moment in moments:
        monkeypatch.setattr(feeds, "_now", lambda moment=moment: moment)
        feeds.tidy()
        found.append(ask(client, asked))

    assert found[1:] == found[:1] * 2
    assert len(set(found[0])) > 1


def test_a_bundle_without_a_past_has_no_feeds_and_says_so(run, caplog):
    service = Service(
        Source(str(run), ROOT), read_serving(["serving.events.store=memory"], root=ROOT), count_waiting=lambda: 0
    )
    assert service.online is None
    assert "looks at no past" in caplog.text
    service.close()


def test_a_table_that_is_missing_says_how_to_name_it(flights, tmp_path):
    overrides = ["serving.events.store=memory", f"+serving.events.tables.planes={tmp_path}/none.parquet"]
    serving = read_serving(overrides, root=ROOT)
    with pytest.raises(TreadleError, match=r"serving.events: .*none.parquet.*\+serving.events.tables.NAME=FILE"):
        Service(Source(str(flights), ROOT), serving, count_waiting=lambda: 0)


@pytest.mark.exhaustive
def test_the_server_does_what_its_description_says(client):
    """By schemathesis, over every path: rows, events, both other protocols."""
    import schemathesis
    from hypothesis import HealthCheck, Phase, given, settings
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    held = [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
    ]
    schema = schemathesis.openapi.from_dict(client.get("/openapi.json").json())
    operations = [found.ok() for found in schema.get_all_operations()]
    assert len(operations) == 10

    quick = {"deadline": None, "database": None, "derandomize": True, "suppress_health_check": list(HealthCheck)}
    for operation in operations:

        @settings(max_examples=60, phases=[Phase.generate], **quick)
        @given(case=operation.as_strategy())
        def hold(case):
            case.call_and_validate(base_url=str(client.base_url).rstrip("/"), checks=held)

        hold()


@pytest.mark.exhaustive
def test_no_event_is_a_fault_of_the_server(client, days):
    draw = random.Random(0)  # noqa: S311 - for test data
    odd = (None, True, -1, 2**63, -0.0, 1e308, "", "?", "\x00", "é" * 50, [], {"a": {}})
    for _ in range(150):
        table = draw.choice(["weather", "flights"])
        rows = [dict(row) for row in draw.sample(days[1][table], draw.randint(1, 3))]
        for name in draw.sample(list(rows[0]), draw.randint(0, 3)):
            rows[0][name] = draw.choice(odd)
        data = bytearray(orjson.dumps(draw.choice([rows, rows[0], {"rows": rows}, draw.choice(odd)])))
        if draw.random() < 0.2:
            data[draw.randrange(len(data))] = draw.randrange(256)
        answer = post(client, f"/events/{table}", bytes(data))
        assert answer.status_code in {200, 400, 422}, (answer.text, bytes(data))
        answer = post(client, "/predict", bytes(data))
        assert answer.status_code in {200, 400, 422}, (answer.text, bytes(data))
