"""A bundle takes whatever rows it is given."""

import math
from dataclasses import replace

import polars as pl
import pytest
import torch

from treadle.errors import TreadleError


@pytest.mark.slow
def test_rows_come_as_a_frame_as_a_list_and_alone(bundle, rows):
    few = rows.head(3)

    frame = bundle.predict(few)

    assert frame.columns == ["row", "probability"]
    assert frame["row"].equals(few["row"])
    for given in (few.to_dicts(), [few.to_dicts()[0]], few.to_dicts()[0]):
        found = bundle.predict(given)["probability"]
        assert found.to_list() == pytest.approx(frame["probability"][: len(found)].to_list(), abs=1e-6)


def test_order_and_other_columns_do_not_matter(bundle, rows):
    mixed = rows.select(*reversed(rows.columns), pl.lit(1).alias("something else"))

    assert bundle.predict(mixed).equals(bundle.predict(rows))


@pytest.mark.parametrize("empty", [[], pl.DataFrame()], ids=["list", "frame"])
def test_no_rows_give_no_predictions(bundle, rows, empty):
    predicted = bundle.predict(rows[:0] if isinstance(empty, pl.DataFrame) else empty)

    assert len(predicted) == 0
    assert predicted.schema["probability"] == pl.Float32


def test_unseen_categories_nulls_and_infinities_get_a_probability(bundle, rows):
    strange = rows.head(3).with_columns(
        workclass=pl.lit("Astronaut"),
        occupation=pl.lit(None, dtype=pl.String),
        age=pl.Series([math.inf, -math.inf, math.nan]),
    )
    types = {**bundle.card.columns, "age": "Float64"}
    bundle = replace(bundle, card=bundle.card.model_copy(update={"columns": types}))

    probability = bundle.predict(strange)["probability"]

    assert probability.is_between(0, 1).all()


def test_the_contracts_marks_of_a_missing_value_are_missing(bundle, rows):
    few = rows.head(3)
    marked, missing = (few.with_columns(workclass=pl.lit(v, dtype=pl.String)) for v in ("?", None))

    assert bundle.predict(marked).equals(bundle.predict(missing))


def test_a_missing_column_is_named(bundle, rows):
    with pytest.raises(TreadleError, match=r"no column 'age'. .*Given"):
        bundle.predict(rows.drop("age"))


def test_a_value_of_the_wrong_type_is_named(bundle, rows):
    with pytest.raises(TreadleError, match="the column 'age' must be of type Int64"):
        bundle.predict(rows.head(2).with_columns(age=pl.lit("old")))


def test_threads_do_not_change_the_numbers(bundle, rows):
    one = bundle.predict(rows)
    before = torch.get_num_threads()
    torch.set_num_threads(2)

    try:
        assert bundle.predict(rows).equals(one)
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_wide_network_takes_fewerrows_at_once_and_gives_the_same_numbers(bundle, rows, monkeypatch):
    whole = bundle.predict(rows)
    monkeypatch.setattr("treadle.bundle.bundle.CELLS", 4_096)
    narrowed = replace(bundle)

    parts = narrowed.predict(rows)

    assert narrowed.rows_at_once < bundle.rows_at_once
    assert len(rows) > 2 * narrowed.rows_at_once
    assert parts.equals(whole)
