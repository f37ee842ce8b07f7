"""Examples of real data: what is in them, what is left out, and that nothing of the future is."""

from datetime import datetime, timedelta

import polars as pl
import pytest
import yaml

from treadle.check.resolve import resolve
from treadle.data.prepare import build_examples, prepare
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.schema import LABEL, PREDICT_AT, ROW, SPLITS, WEIGHT

pytestmark = pytest.mark.slow  # each begins with trained runs or tables that take a second

NOW = datetime(2026, 1, 1)  # noqa: DTZ001


@pytest.fixture(scope="module")
def flights(root, tmp_path_factory):
    experiment = resolve(overrides=[], root=root).experiment
    scratch = tmp_path_factory.mktemp("scratch")
    return experiment.data, build_examples(experiment.data, root=root, now=NOW, scratch=scratch)


def test_every_flight_is_an_example_or_left_out_for_a_reason(flights):
    _, examples = flights

    assert examples.excluded == {"cancelled": 8255, "diverted": 1175, "between the splits": 1604}
    assert sum(len(frame) for frame in map(examples.take, SPLITS)) + sum(examples.excluded.values()) == 336_776


def test_an_example_holds_what_was_known_and_nothing_else(flights):
    data, examples = flights
    past = [c for look in (*data.examples.asof.values(), *data.examples.history.values()) for c in look.columns]

    for frame in map(examples.take, SPLITS):
        assert frame.columns == [ROW, PREDICT_AT, LABEL, *data.examples.known, *past]
    assert not {"arr_delay", "dep_delay", "dep_time", "arr_time"} & set(examples.take("train").columns)


def test_the_prediction_is_made_one_hour_before_the_scheduled_departure(flights):
    _, examples = flights
    frame = examples.take("test")

    assert (frame["scheduled_at"] - frame[PREDICT_AT] == timedelta(hours=1)).all()


def test_every_training_label_is_known_before_validation_begins(flights, flights_tables):
    """T18."""
    _, examples = flights
    known = flights_tables["flights"].with_row_index(ROW).select(ROW, "known_at").collect()
    bounds = {"train": datetime(2013, 9, 1), "valid": datetime(2013, 11, 1)}  # noqa: DTZ001

    for split, bound in bounds.items():
        assert examples.take(split).join(known, on=ROW)["known_at"].max() < bound
    assert examples.take("valid")[PREDICT_AT].min() >= bounds["train"]
    assert examples.take("test")[PREDICT_AT].min() >= bounds["valid"]


def test_no_row_stands_in_two_splits(flights):
    _, examples = flights
    rows = pl.concat([frame[ROW] for frame in map(examples.take, SPLITS)])

    assert rows.n_unique() == len(rows)


def test_the_label_is_the_value_of_the_expression(flights, flights_tables):
    _, examples = flights
    delays = flights_tables["flights"].with_row_index(ROW).select(ROW, "arr_delay").collect()
    both = examples.take("test").join(delays, on=ROW)

    assert ((both["arr_delay"] > 15) == (both[LABEL] == 1.0)).all()


def test_the_official_split_of_adult_is_kept(root, tmp_path):
    experiment = resolve(overrides=["experiment=adult"], root=root).experiment

    examples = build_examples(experiment.data, root=root, now=NOW, scratch=tmp_path)

    assert {name: len(frame) for name, frame in ((split, examples.take(split)) for split in SPLITS)} == {
        "train": 26049,
        "valid": 6512,
        "test": 16281,
    }
    assert "?" not in examples.take("train")["workclass"].unique().to_list()
    assert examples.take("train")["workclass"].null_count() > 0


def test_weights_go_with_their_rows(root, tmp_path):
    experiment = resolve(overrides=["experiment=adult", "data.examples.weight=fnlwgt"], root=root).experiment

    prepare(experiment.data, root=root, folder=tmp_path, now=NOW, unsplit=None)

    frame = pl.read_parquet(tmp_path / "train.parquet")
    assert frame[WEIGHT].dtype == pl.Float32
    assert (frame[WEIGHT] == frame["fnlwgt"].cast(pl.Float32)).all()


def test_columns_have_one_type_of_each_kind(root, tmp_path):
    data = flights_with(
        "narrow: CAST(distance AS SMALLINT)\n      single: CAST(distance AS REAL)", "narrow, single, month", root
    )

    frame = build_examples(data, root=root, now=NOW, scratch=tmp_path).take("test")

    assert {name: frame.schema[name] for name in ("narrow", "single", "month")} == {
        "narrow": pl.Int64(), "single": pl.Float64(), "month": pl.Int64()
    }  # fmt: skip


def test_a_type_that_no_example_can_hold_is_refused(root, tmp_path):
    data = flights_with("waiting: scheduled_at - time_hour", "waiting", root)

    with pytest.raises(TreadleError, match=r"data\.examples\.known: 'waiting' is of type Duration"):
        prepare(data, root=root, folder=tmp_path / "out", now=NOW, unsplit=None)

    assert not (tmp_path / "out").exists()


def flights_with(derived, known, root):
    """The flights with further columns of the table, known or not."""
    text = (root / "conf" / "data" / "flights.yaml").read_text()
    text = text.replace("      # Clock times are local.", f"      {derived}\n      # Clock times are local.")
    return Data.model_validate(yaml.safe_load(text.replace("known: [month,", f"known: [{known}, month,")))


@pytest.mark.parametrize("weight", ["age - 30", "age / 0"], ids=["negative", "infinite"])
def test_a_weight_that_no_row_can_have_is_refused(root, tmp_path, weight):
    experiment = resolve(overrides=["experiment=adult", f"data.examples.weight={weight}"], root=root).experiment

    rule = r"data\.examples\.weight: must be a number from 0 on; it is not in [\d,]+ rows"
    with pytest.raises(TreadleError, match=rule):
        prepare(experiment.data, root=root, folder=tmp_path / "examples", now=NOW, unsplit=None)
