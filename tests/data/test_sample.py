"""Samples of training rows: how many, which, and with which weight."""

from datetime import datetime, timedelta

import numpy as np
import polars as pl
import pytest

from treadle.check.resolve import resolve
from treadle.data.prepare import prepare
from treadle.data.sample import draw_sample
from treadle.errors import TreadleError
from treadle.experiment.spec import RecencySample, UniformSample, WeightSample
from treadle.schema import PREDICT_AT, ROW, SPLITS, WEIGHT

NOW = datetime(2026, 1, 1)  # noqa: DTZ001
START = datetime(2020, 1, 1)  # noqa: DTZ001


def make_rows(count=10_000):
    """Rows of two weights in turn, one a minute."""
    weights = np.where(np.arange(count) % 2, 3.0, 1.0).astype(np.float32)
    moments = [START + timedelta(minutes=minute) for minute in range(count)]
    return pl.DataFrame({ROW: range(count), PREDICT_AT: moments, WEIGHT: weights})


def test_of_a_uniform_sample_any_stretch_has_its_share():
    rows = make_rows()
    rule = UniformSample(by="uniform", rows=2000, seed=0)

    sample = draw_sample(rows, rule)

    assert len(sample) == 2000
    assert sample[ROW].is_sorted()
    shares = [sample[ROW].is_between(start, start + 1999).mean() for start in range(0, 10_000, 2000)]
    assert shares == pytest.approx([0.2] * 5, abs=0.03)
    assert draw_sample(rows, rule).equals(sample)
    assert not draw_sample(rows, rule.model_copy(update={"seed": 1})).equals(sample)


def test_by_weight_heavy_rows_come_as_often_as_they_weigh_and_then_weigh_the_same():
    sample = draw_sample(make_rows(), WeightSample(by="weight", rows=500, seed=0))

    assert (sample[ROW] % 2).mean() == pytest.approx(0.75, abs=0.05)
    assert set(sample[WEIGHT]) == {1.0}


def test_by_recency_a_row_of_one_half_life_is_half_as_likely():
    sample = draw_sample(make_rows(), RecencySample(by="recency", rows=500, half_life="1h", seed=0))

    ages = 9999 - sample[ROW]  # minutes
    newest, before = (ages.is_between(low, low + 59).sum() for low in (360, 420))
    assert ages.max() < 20 * 60
    assert before / newest == pytest.approx(0.5, abs=0.35)
    assert set(sample[WEIGHT]) == {1.0, 3.0}


def test_a_moment_many_half_lives_ago_is_still_likelier_than_an_older_one():
    rows = make_rows(100).with_columns(pl.col(PREDICT_AT).dt.offset_by("1d"))
    rows = rows.with_columns(pl.Series(PREDICT_AT, [START + timedelta(days=day) for day in range(99)] + [NOW]))

    sample = draw_sample(rows, RecencySample(by="recency", rows=2, half_life="1m", seed=0))

    assert sample[ROW].to_list() == [98, 99]


def test_where_there_are_no_more_rows_all_stay_as_they_are():
    rows = make_rows(10)

    assert draw_sample(rows, WeightSample(by="weight", rows=10, seed=0)).equals(rows)


def test_a_row_of_no_weight_is_never_drawn():
    rows = make_rows(10).with_columns(pl.lit(0.0, pl.Float32).alias(WEIGHT))

    with pytest.raises(TreadleError, match=r"data\.sample\.rows: 5 are to be drawn by weight, and only 0 of 10"):
        draw_sample(rows, WeightSample(by="weight", rows=5, seed=0))


@pytest.mark.slow
def test_training_rows_alone_are_drawn(root, tmp_path):
    whole, drawn = (
        resolve(overrides=["experiment=adult", *words], root=root).experiment.data
        for words in ([], ["+data.sample={by: uniform, rows: 1000, seed: 0}"])
    )
    for name, data in (("whole", whole), ("drawn", drawn)):
        prepare(data, root=root, folder=tmp_path / name, now=NOW, unsplit=None)

    rows, sample = (
        [pl.read_parquet(tmp_path / name / f"{split}.parquet") for split in SPLITS] for name in ("whole", "drawn")
    )

    assert len(sample[0]) == 1000
    assert sample[0].join(rows[0], on=rows[0].columns, how="semi", nulls_equal=True).equals(sample[0])
    assert all(one.equals(other) for one, other in zip(sample[1:], rows[1:], strict=True))
