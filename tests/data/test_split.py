from datetime import datetime

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.data.split import assign_splits
from treadle.errors import TreadleError
from treadle.experiment.spec import (
    ColumnSplit,
    GroupKFold,
    GroupSplit,
    KFold,
    RandomSplit,
    StratifiedKFold,
    StratifiedSplit,
    TimeSeriesFolds,
    TimeSplit,
)
from treadle.schema import PREDICT_AT


def count(splits):
    return dict(splits.drop_nulls().value_counts().sort("split").iter_rows())


def test_time_leaves_a_gap_before_each_boundary():
    days = pl.datetime_range(datetime(2013, 1, 1), datetime(2013, 1, 30), "1d", eager=True)  # noqa: DTZ001
    rule = TimeSplit(by="time", valid_from="2013-01-11", test_from="2013-01-21", gap="2d")

    splits = assign_splits(pl.DataFrame({PREDICT_AT: days}), rule)

    assert splits.to_list() == ["train"] * 8 + [None] * 2 + ["valid"] * 8 + [None] * 2 + ["test"] * 10


def test_time_leaves_out_what_is_too_old_or_too_new():
    days = pl.datetime_range(datetime(2013, 1, 1), datetime(2013, 1, 12), "1d", eager=True)  # noqa: DTZ001
    given = {"train_from": "2013-01-03", "valid_from": "2013-01-06", "test_from": "2013-01-09", "test_to": "2013-01-11"}

    splits = assign_splits(pl.DataFrame({PREDICT_AT: days}), TimeSplit(by="time", gap="0d", **given))

    expected = [None] * 2 + ["train"] * 3 + ["valid"] * 3 + ["test"] * 2 + [None] * 2
    assert splits.to_list() == expected


def test_time_refuses_dates_out_of_order():
    rule = TimeSplit(by="time", valid_from="2013-02-01", test_from="2013-01-01", gap="1d")

    with pytest.raises(TreadleError, match=r"data\.split\.valid_from: 2013-02-01 must be before test_from 2013-01-01"):
        assign_splits(pl.DataFrame({PREDICT_AT: [datetime(2013, 1, 1)]}), rule)  # noqa: DTZ001


def test_random_gives_the_shares_and_the_same_rows_for_the_same_seed():
    frame = pl.DataFrame({"x": range(1000)})
    rule = RandomSplit(by="random", valid=0.16, test=0.2, seed=0)

    splits = assign_splits(frame, rule)

    assert count(splits) == {"test": 200, "train": 640, "valid": 160}
    assert splits.equals(assign_splits(frame, rule))
    assert not splits.equals(assign_splits(frame, rule.model_copy(update={"seed": 1})))


def test_stratified_keeps_the_mix():
    frame = pl.DataFrame({"y": ["rare"] * 20 + ["common"] * 180})

    splits = assign_splits(frame, StratifiedSplit(by="stratified", column="y", valid=0.1, test=0.2, seed=0))

    for split, share in (("valid", 0.1), ("test", 0.2)):
        assert (frame["y"].filter(splits == split) == "rare").sum() == 20 * share
        assert (splits == split).sum() == 200 * share


@pytest.mark.slow
@given(groups=st.lists(st.integers(0, 30), min_size=60, max_size=200), seed=st.integers(0, 5))
def test_no_group_stands_in_two_splits(groups, seed):
    frame = pl.DataFrame({"count": [*groups, *range(30)]})
    rule = GroupSplit(by="group", column="count", valid=0.2, test=0.2, seed=seed)

    splits = assign_splits(frame, rule)

    assert frame.with_columns(splits).group_by("count").agg(pl.col("split").n_unique())["split"].max() == 1
    assert splits.null_count() == 0


def test_a_column_names_the_test_rows_and_validation_is_drawn_from_training():
    frame = pl.DataFrame({"s": ["a"] * 100 + ["b"] * 50 + ["other"] * 10})
    rule = ColumnSplit(by="column", column="s", train=["a"], test=["b"], valid_share=0.2, seed=0)

    splits = assign_splits(frame, rule)

    assert count(splits) == {"test": 50, "train": 80, "valid": 20}
    assert splits[150:].null_count() == 10
    assert set(splits[:100]) == {"train", "valid"}


def test_an_empty_split_is_refused():
    rule = ColumnSplit(by="column", column="s", train=["a"], test=["b"], seed=0)

    with pytest.raises(TreadleError, match="no rows for valid"):
        assign_splits(pl.DataFrame({"s": ["a", "b"]}), rule)


def test_an_empty_split_by_time_is_told_with_the_moments_that_there_are():
    days = pl.datetime_range(datetime(2013, 1, 1), datetime(2013, 1, 30), "1d", eager=True)  # noqa: DTZ001 - UTC
    rule = TimeSplit(by="time", valid_from="2013-01-11", test_from="2013-03-01", gap="0d")

    with pytest.raises(TreadleError, match=r"for test; .*, which are from 2013-01-01T00:00 to 2013-01-30T00:00$"):
        assign_splits(pl.DataFrame({PREDICT_AT: days}), rule)


def test_a_missing_value_in_the_splitting_column_is_refused():
    rule = GroupSplit(by="group", column="g", valid=0.2, test=0.2, seed=0)

    with pytest.raises(TreadleError, match=r"data\.split\.column: 'g' is missing in 1 row"):
        assign_splits(pl.DataFrame({"g": [1, None]}), rule)


@pytest.mark.parametrize(
    ("values", "train", "test"),
    [([1, 2, 3], ["1"], ["2", "3"]), ([True, False, False], ["True"], ["no"]), ([1.0, 2.5, 2.5], ["1"], ["2.50"])],
    ids=["int", "bool", "float"],
)
def test_values_of_a_split_are_read_in_the_type_of_their_column(values, train, test):
    rule = ColumnSplit(by="column", column="part", train=train, test=test, valid_share=0.5, seed=0)

    splits = assign_splits(pl.DataFrame({"part": values * 4}), rule)

    assert count(splits) == {"test": 8, "train": 2, "valid": 2}


def test_a_value_of_a_split_that_its_column_cannot_hold_is_reported():
    rule = ColumnSplit(by="column", column="part", train=["train"], test=["2"], valid_share=0.5, seed=0)

    with pytest.raises(TreadleError, match=r"data\.split\.train: 'train' is no int, and 'part' is int"):
        assign_splits(pl.DataFrame({"part": [1, 2]}), rule)


def test_time_takes_an_offset_as_moments_in_utc():
    hours = pl.datetime_range(datetime(2013, 1, 1), datetime(2013, 1, 1, 5), "1h", eager=True)  # noqa: DTZ001
    rule = TimeSplit(by="time", valid_from="2013-01-01T03:00+01:00", test_from="2013-01-01T04:00Z", gap="0h")

    splits = assign_splits(pl.DataFrame({PREDICT_AT: hours}), rule)

    assert count(splits) == {"test": 2, "train": 2, "valid": 2}


FOLDED = {"folds": 4, "test": 0.2, "seed": 0}


def count_turns(frame, rule):
    """For each row how often it is validated over all folds; rows of the test set are the same in each."""
    each = [assign_splits(frame, rule.model_copy(update={"fold": fold})) for fold in range(rule.num_folds)]
    assert all((splits == "test").equals(each[0] == "test") for splits in each)
    assert all(splits.null_count() == 0 for splits in each)
    return sum((splits == "valid").cast(int) for splits in each), each[0] == "test"


@pytest.mark.parametrize(
    "rule",
    [
        KFold(by="kfold", fold=0, repeats=3, **FOLDED),
        StratifiedKFold(by="stratified_kfold", column="y", fold=0, repeats=3, **FOLDED),
        GroupKFold(by="group_kfold", column="g", fold=0, repeats=3, **FOLDED),
    ],
    ids=lambda rule: rule.by,
)
def test_each_row_outside_of_the_test_set_validates_once_a_repeat(rule):
    frame = pl.DataFrame({"y": ["a", "b", "b"] * 67, "g": [i % 29 for i in range(201)]})

    turns, is_test = count_turns(frame, rule)

    assert set(turns.filter(is_test)) == {0}
    assert set(turns.filter(~is_test)) == {rule.repeats}
    first, second = (assign_splits(frame, rule.model_copy(update={"fold": fold})) for fold in (0, 4))
    assert not first.equals(second)  # the first fold of the second repeat is another one


def test_folds_are_equal_to_a_row_in_whole_and_in_each_stratum():
    frame = pl.DataFrame({"y": ["rare"] * 13 + ["common"] * 190 + ["other"] * 7})
    rule = StratifiedKFold(by="stratified_kfold", column="y", fold=0, **FOLDED)

    valid = [assign_splits(frame, rule.model_copy(update={"fold": fold})) == "valid" for fold in range(4)]

    for rows in (frame["y"] != "", frame["y"] == "rare", frame["y"] == "common", frame["y"] == "other"):
        sizes = [int((each & rows).sum()) for each in valid]
        assert max(sizes) - min(sizes) <= 1


@pytest.mark.slow
@given(groups=st.lists(st.integers(0, 30), min_size=60, max_size=200), fold=st.integers(0, 7))
def test_no_group_stands_in_two_folds(groups, fold):
    frame = pl.DataFrame({"g": [*groups, *range(30)]})
    rule = GroupKFold(by="group_kfold", column="g", fold=fold, repeats=2, **FOLDED)

    splits = assign_splits(frame, rule)

    assert frame.with_columns(splits).group_by("g").agg(pl.col("split").n_unique())["split"].max() == 1


@pytest.mark.parametrize(("fold", "train", "valid"), [(0, 4, 5), (1, 9, 5), (2, 14, 5)])
def test_a_fold_of_a_time_series_is_trained_on_its_past_alone(fold, train, valid):
    days = pl.datetime_range(datetime(2013, 1, 1), datetime(2013, 1, 30), "1d", eager=True)  # noqa: DTZ001
    rule = TimeSeriesFolds(by="time_series", folds=3, fold=fold, test_from="2013-01-22", gap="1d")

    splits = assign_splits(pl.DataFrame({PREDICT_AT: days.shuffle(seed=0)}), rule)

    ordered = pl.DataFrame({"day": days.shuffle(seed=0), "split": splits}).sort("day")["split"].to_list()
    left_out = 20 - train - 1 - valid
    assert ordered == ["train"] * train + [None] + ["valid"] * valid + [None] * (left_out + 1) + ["test"] * 9


def test_a_time_series_needs_rows_before_its_test_set():
    rule = TimeSeriesFolds(by="time_series", folds=3, fold=0, test_from="2013-01-01", gap="1d")

    with pytest.raises(TreadleError, match=r"data\.split\.test_from: no row is before 2013-01-01"):
        assign_splits(pl.DataFrame({PREDICT_AT: [datetime(2013, 1, 1)]}), rule)  # noqa: DTZ001
