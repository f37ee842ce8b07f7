"""Online the past is what it is offline, to the last bit: on odd values, equal moments, missing keys, on flights."""

from datetime import datetime, timedelta
from random import Random

import polars as pl
import pytest

from treadle.data.needed import find_needs, restrict
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.online.looks import aggregate
from treadle.online.replay import replay
from treadle.online.state import State
from treadle.online.stores import Entry, MemoryStore

NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone
START = datetime(2024, 2, 28, 20)  # noqa: DTZ001 - before a leap day
ODD = [None, float("nan"), float("inf"), 1e308, -1e308, 1e-300, 0.1, -0.0]
COLUMNS = {
    "id": {"dtype": "int"},
    "k": {"dtype": "str", "nullable": True},
    "j": {"dtype": "int", "nullable": True},
    "at": {"dtype": "datetime"},
    "seen": {"dtype": "datetime", "nullable": True},
    "v": {"dtype": "float", "nullable": True, "known_after_prediction": True},
}
LOOK = {"by": {"k": "k", "j": "j"}}
ASKED = {"mean": "AVG(v * 1.1)", "total": "SUM(v)", "values": "COUNT(v)", "rows": "COUNT(*)"}


def draw(seed, count):
    random = Random(seed)  # noqa: S311 - rows, no secrets

    def moment():
        return START + timedelta(minutes=30 * random.randrange(96))

    rows = []
    for identity in range(count):
        at = moment()
        value = random.choice(ODD) if random.random() < 0.3 else random.gauss(0, 1)
        key = {"k": random.choice(["x", "y", None]), "j": random.choice([0, 1, None])}
        rows.append({"id": identity, **key, "at": at, "seen": random.choice([at, moment(), None]), "v": value})
    return rows


def name(looks, prefix):
    return {f"{prefix}_{column}": text for column, text in looks.items()}


def declare(**changes):
    """Examples that look back at their own table, at another, and at the one that holds their label."""
    table = {"columns": COLUMNS, "known_at": "seen", "key": ["id"]}
    results = {"columns": COLUMNS, "known_at": "seen", "path": "r.parquet"}
    outcome = {"outcome": {"table": "r", "by": {"id": "id"}, "columns": {"y": "v"}}}
    windows = {t: {"table": t, **LOOK, "window": "6h", "columns": name(ASKED, t)} for t in ("a", "b", "r")}
    return Data.model_validate(
        {
            "task": "regression",
            "tables": {
                "a": {"path": "a.parquet", "joins": outcome, **table, **changes},
                "b": {"path": "b.parquet", **table},
                "r": results,
            },
            "examples": {
                "table": "a",
                "predict_at": "at",
                "known": ["k"],
                "label": "y",
                "asof": {
                    "last": {"table": "a", **LOOK, "within": "4h", "columns": {"last_v": "v", "last_id": "id"}},
                    "any": {"table": "b", "by": {}, "within": "1h", "columns": {"any_v": "v", "any_at": "seen"}},
                },
                "history": windows,
            },
            "split": {"by": "random", "valid": 0.2, "test": 0.2, "seed": 0},
        }
    )


FILES = {table: f"{table}.parquet" for table in "abr"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tables")
    for seed, table in enumerate("abr"):
        rows = pl.DataFrame(draw(seed, 400), schema_overrides={"j": pl.Int64}, infer_schema_length=None)
        rows.write_parquet(folder / f"{table}.parquet")
    return folder


def run(data, folder, tmp_path, **files):
    return replay(data, files=FILES | files, root=folder, now=NOW, scratch=tmp_path)


def test_every_answer_is_that_of_prepare(folder, tmp_path):
    found = run(declare(), folder, tmp_path)

    assert found.difference is None
    assert found.num_questions == 400
    assert len(found.columns) == 16
    assert {table: counts.num_events for table, counts in found.counts.items()}.keys() == {"a", "b", "r"}
    assert all(counts.num_late == 0 for counts in found.counts.values())


def test_a_difference_names_the_first_row_and_column(folder, tmp_path):
    """Without a key an example's own event cannot be told from others."""
    found = run(declare(key=[]), folder, tmp_path)

    assert found.difference is not None
    assert "a_rows" in found.num_different
    assert str(found.difference).startswith(f"row {found.difference.row}: ")
    assert found.difference.offline != found.difference.online


def test_examples_that_look_at_no_past_have_nothing_to_replay(folder, tmp_path):
    data = declare()
    examples = data.examples.model_copy(update={"asof": {}, "history": {}})

    with pytest.raises(TreadleError, match="no asof and no history"):
        replay(data.model_copy(update={"examples": examples}), files=FILES, root=folder, now=NOW, scratch=tmp_path)


@pytest.mark.slow
def test_flights_are_equal_online_and_offline(root, tmp_path):
    from treadle.check.resolve import resolve

    data = resolve(overrides=[], root=root).experiment.data
    files = {}
    for table, spec in data.tables.items():
        rows = pl.read_parquet(root / spec.path)
        days = rows.filter(pl.col("month") == 6, pl.col("day") < 3) if "month" in rows.columns else rows
        files[table] = str(tmp_path / f"{table}.parquet")
        days.write_parquet(files[table])

    found = replay(data, files=files, root=root, now=NOW, scratch=tmp_path)

    assert found.difference is None
    assert found.num_questions > 1500
    assert len(found.columns) == 17


# --- the state ----------------------------------------------------------------------------------------


@pytest.fixture
def state(folder):
    data = declare()
    needs = find_needs(data)
    return State(restrict(data, needs, files=FILES, root=folder), needs.label_joins)


def make_events(*rows):
    columns = {"id": 0, "k": "x", "j": 0, "v": 1.0}
    frame = pl.DataFrame([{**columns, "known_at": START + timedelta(hours=hour), **row} for hour, row in rows])
    return frame.with_columns(pl.col("known_at").cast(pl.Datetime("us")), seen="known_at").lazy()


def ask(state, hour):
    return state.ask(START + timedelta(hours=hour), {"id": -1, "k": "x", "j": 0})


def test_an_event_counts_from_the_moment_on_at_which_it_is_known(state):
    state.add("b", make_events((2, {"v": 5.0})))

    assert ask(state, 1.9)["b_total"] == 0.0
    assert ask(state, 2)["b_total"] == 5.0
    assert ask(state, 7.9)["b_total"] == 5.0
    assert ask(state, 8)["b_total"] == 0.0


def test_an_event_that_comes_again_takes_the_place_of_the_first(state):
    state.add("a", make_events((2, {"id": 7, "v": 5.0}), (2, {"id": 8, "v": 1.0})))
    state.add("a", make_events((3, {"id": 7, "v": 6.0})))

    assert ask(state, 4)["a_total"] == 7.0
    assert ask(state, 4)["last_v"] == 6.0


def test_an_event_of_another_table_with_a_key_takes_the_place_of_the_first_too(state):
    state.add("b", make_events((2, {"id": 7, "v": 5.0}), (2, {"id": 8, "v": 1.0})))
    state.add("b", make_events((3, {"id": 7, "v": 6.0})))

    assert ask(state, 4)["b_total"] == 7.0


def test_late_events_are_counted(state):
    state.add("b", make_events((1, {})))
    ask(state, 2)
    state.add("b", make_events((2, {}), (3, {})))

    assert (state.counts["b"].num_events, state.counts["b"].num_late) == (3, 1)


def test_what_no_question_sees_is_forgotten(state):
    state.add("b", make_events((1, {}), (20, {})))

    state.forget(now=START + timedelta(hours=21))

    assert ask(state, 2)["b_rows"] == 0.0
    assert ask(state, 21)["b_rows"] == 1.0


@pytest.mark.parametrize("moments", [[3, 1, 2], [2, 2, 1], [1, 2, 3]])
def test_a_store_keeps_the_order_in_which_events_become_known(moments):
    store = MemoryStore()
    for number, moment in enumerate(moments):
        store.add("look", ("x",), Entry(moment, number, (), ()))

    order = sorted((moment, number) for number, moment in enumerate(moments))
    assert [entry[:2] for entry in store.window("look", ("x",), after=0, upto=3)] == order
    assert [entry[:2] for entry in store.newest("look", ("x",), upto=2)] == [e for e in reversed(order) if e[0] <= 2]


def test_a_sum_that_overflows_on_the_way_is_exact():
    assert aggregate("SUM", [1.7e308, 1.7e308, -1.7e308, -1.7e308, 1.0]) == 1.0
    assert aggregate("SUM", [1.7e308, 1.7e308]) is None
    assert aggregate("AVG", []) is None
