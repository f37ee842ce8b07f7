"""Splits: which examples train, validate and test, by one declared rule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime

import numpy as np
import polars as pl

from treadle.data.bounds import read_texts
from treadle.data.casting import DTYPES
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration, parse_moment
from treadle.experiment.spec import (
    ColumnSplit,
    FoldRule,
    GroupKFold,
    GroupSplit,
    KFold,
    RandomFolds,
    RandomSplit,
    SplitRule,
    StratifiedKFold,
    StratifiedSplit,
    TimeSeriesFolds,
    TimeSplit,
)
from treadle.schema import PREDICT_AT, SPLITS, Split
from treadle.wording import number_of

_DTYPE = pl.Enum(SPLITS)

Span = tuple[datetime | None, datetime | None]  # from the first moment on, before the second one; None: without end


class EmptySplitError(TreadleError):
    """A split would have no rows.

    Args:
        counts: rows of each split.
        num_rows: of all examples.
        moments: of the examples, where the split is by time.
    """

    def __init__(self, counts: Mapping[Split, int], *, num_rows: int, moments: pl.Series | None) -> None:
        self.empty = [name for name, count in counts.items() if not count]
        self.span: tuple[datetime, datetime] | None = None  # from the oldest example to the newest one
        text = f"data.split: no rows for {', '.join(self.empty)}; found {dict(counts)} of {num_rows} examples"
        if moments is not None and moments.count():
            first, newest = moments.min(), moments.max()
            assert isinstance(first, datetime)
            assert isinstance(newest, datetime)
            self.span = first, newest
            text += f", which are from {first:%Y-%m-%dT%H:%M} to {newest:%Y-%m-%dT%H:%M}"
        super().__init__(text)


def assign_splits(examples: pl.DataFrame, rule: SplitRule) -> pl.Series:
    """`train`, `valid`, `test` or null (left out: a gap, a value that no split takes) for each example.

    Raises:
        EmptySplitError: a split would be empty.
        TreadleError: a column is absent or missing in some rows.
    """
    splits = _choose_fold(examples, rule) if isinstance(rule, FoldRule) else _split(examples, rule)
    splits = splits.cast(_DTYPE)
    counts: dict[Split, int] = {name: int((splits == name).sum()) for name in SPLITS}
    if not all(counts.values()):
        timed = isinstance(rule, TimeSplit | TimeSeriesFolds)
        raise EmptySplitError(counts, num_rows=len(examples), moments=examples[PREDICT_AT] if timed else None)
    return splits


def _split(
    examples: pl.DataFrame, rule: TimeSplit | RandomSplit | StratifiedSplit | GroupSplit | ColumnSplit
) -> pl.Series:
    match rule:
        case TimeSplit():
            return _by_time(examples, rule)
        case RandomSplit():
            return _draw(_take_one_stratum(examples), rule)
        case StratifiedSplit():
            return _draw(_need(examples, rule.column), rule)
        case GroupSplit():
            return _by_group(_need(examples, rule.column), rule)
        case ColumnSplit():
            return _by_column(_need(examples, rule.column), rule)


def _choose_fold(examples: pl.DataFrame, rule: FoldRule) -> pl.Series:
    match rule:
        case KFold():
            return _deal(_take_one_stratum(examples), rule)
        case StratifiedKFold():
            return _deal(_need(examples, rule.column), rule)
        case GroupKFold():
            return _deal_groups(_need(examples, rule.column), rule)
        case TimeSeriesFolds():
            return _by_period(examples, rule)


def _need(examples: pl.DataFrame, column: str) -> pl.Series:
    values = examples[column].fill_nan(None) if examples.schema[column].is_float() else examples[column]
    if values.null_count():
        raise TreadleError(f"data.split.column: {column!r} is missing in {number_of(values.null_count(), 'row')}")
    return values


def _take_one_stratum(examples: pl.DataFrame) -> pl.Series:
    return pl.Series([0] * len(examples), dtype=pl.Int64)


# --- by time ------------------------------------------------------------------------------------------


def _need_moments(examples: pl.DataFrame) -> pl.Series:
    if PREDICT_AT not in examples.columns:
        raise TreadleError("data.split.by: a split by time needs data.examples.predict_at")
    return examples[PREDICT_AT]


def _by_time(examples: pl.DataFrame, rule: TimeSplit) -> pl.Series:
    moments = _need_moments(examples)
    valid_from, test_from = parse_moment(rule.valid_from), parse_moment(rule.test_from)
    if valid_from >= test_from:
        raise TreadleError(f"data.split.valid_from: {rule.valid_from} must be before test_from {rule.test_from}")
    gap = parse_duration(rule.gap)
    train_from = None if rule.train_from is None else parse_moment(rule.train_from)
    test_to = None if rule.test_to is None else parse_moment(rule.test_to)
    return _cut(
        moments,
        train=(train_from, valid_from - gap),
        valid=(valid_from, test_from - gap),
        test=(test_from, test_to),
    )


def _by_period(examples: pl.DataFrame, rule: TimeSeriesFolds) -> pl.Series:
    """Rows of the same moment stay together, so that periods may differ by some rows."""
    moments = _need_moments(examples)
    gap, test_from = parse_duration(rule.gap), parse_moment(rule.test_from)
    earlier = moments.filter(moments < test_from - gap).sort()
    if earlier.is_empty():
        raise TreadleError(f"data.split.test_from: no row is before {rule.test_from}")
    starts = [earlier[len(earlier) * place // (rule.folds + 1)] for place in range(1, rule.folds + 1)]
    valid = (starts[rule.fold], [*starts, test_from - gap][rule.fold + 1])
    return _cut(moments, train=(None, valid[0] - gap), valid=valid, test=(test_from, None))


def _cut(moments: pl.Series, *, train: Span, valid: Span, test: Span) -> pl.Series:
    choice = pl.lit(None, dtype=_DTYPE)
    for split, span in (("test", test), ("valid", valid), ("train", train)):
        choice = pl.when(_is_within(pl.col(moments.name), span)).then(pl.lit(split, dtype=_DTYPE)).otherwise(choice)
    return moments.to_frame().select(choice.alias("split"))["split"]


def _is_within(moment: pl.Expr, span: Span) -> pl.Expr:
    first, last = span
    is_in = moment.is_not_null() if first is None else moment >= first
    return is_in if last is None else is_in & (moment < last)


# --- drawn --------------------------------------------------------------------------------------------


def _shuffle(strata: pl.Series, seed: int) -> Iterator[np.ndarray]:
    """The rows of each stratum in random order."""
    generator = np.random.default_rng(seed)
    for value in strata.unique().sort().to_list():
        yield generator.permutation((strata == value).arg_true().to_numpy())


def _draw(strata: pl.Series, rule: RandomSplit | StratifiedSplit) -> pl.Series:
    """The same shares in every stratum, to the nearest row."""
    splits = np.full(len(strata), "train", dtype=object)
    for rows in _shuffle(strata, rule.seed):
        num_test, num_valid = round(rule.test * len(rows)), round(rule.valid * len(rows))
        splits[rows[:num_test]] = "test"
        splits[rows[num_test : num_test + num_valid]] = "valid"
    return pl.Series("split", splits, dtype=pl.String)


def _deal(strata: pl.Series, rule: RandomFolds) -> pl.Series:
    """The share of test rows in every stratum; the others dealt to the folds in turn, one stratum after the other."""
    splits = np.full(len(strata), "train", dtype=object)
    others = []
    for rows in _shuffle(strata, rule.seed):
        num_test = round(rule.test * len(rows))
        splits[rows[:num_test]] = "test"
        others.append(rows[num_test:])
    repeat, fold = divmod(rule.fold, rule.folds)
    if repeat:
        again = _start_repeat(rule, repeat)
        others = [again.permutation(rows) for rows in others]
    splits[np.concatenate(others)[fold :: rule.folds]] = "valid"
    return pl.Series("split", splits, dtype=pl.String)


def _start_repeat(rule: RandomFolds, repeat: int) -> np.random.Generator:
    return np.random.default_rng([rule.seed, repeat])


def _by_group(groups: pl.Series, rule: GroupSplit) -> pl.Series:
    wanted: dict[Split, float] = {"test": rule.test * len(groups), "valid": rule.valid * len(groups)}
    assigned = _fill(_shuffle_groups(groups, rule.seed), wanted)
    return groups.replace_strict(assigned, return_dtype=pl.String).alias("split")


def _shuffle_groups(groups: pl.Series, seed: int) -> list[tuple[object, int]]:
    """Each group with its number of rows, in random order."""
    sizes = groups.rename("group").value_counts().sort("group")
    return sizes[np.random.default_rng(seed).permutation(len(sizes))].rows()


def _fill(sizes: list[tuple[object, int]], wanted: Mapping[Split, float]) -> dict[object, Split]:
    """Each whole group to the first split that it fills by at least half of the group; the others train."""
    left, assigned = dict(wanted), dict[object, Split]()
    for group, size in sizes:
        split: Split = next((name for name, rest in left.items() if rest >= size / 2), "train")
        if split in left:
            left[split] -= size
        assigned[group] = split
    return assigned


def _deal_groups(groups: pl.Series, rule: GroupKFold) -> pl.Series:
    """Groups of the test set first; each other one, in random order, to the fold that has the fewest rows."""
    sizes = _shuffle_groups(groups, rule.seed)
    assigned = _fill(sizes, {"test": rule.test * len(groups)})
    others = [(group, size) for group, size in sizes if assigned[group] == "train"]
    repeat, fold = divmod(rule.fold, rule.folds)
    if repeat:
        others = [others[place] for place in _start_repeat(rule, repeat).permutation(len(others))]
    filled = [0] * rule.folds
    for group, size in others:
        lightest = filled.index(min(filled))
        filled[lightest] += size
        if lightest == fold:
            assigned[group] = "valid"
    return groups.replace_strict(assigned, return_dtype=pl.String).alias("split")


# --- by a column of the data --------------------------------------------------------------------------


def _read_values(values: pl.Series, rule: ColumnSplit, split: Split) -> pl.Series:
    """The values that the rule lists for a split, in the type of its column."""
    dtype = values.dtype
    word = "int" if dtype.is_integer() else next((w for w, d in DTYPES.items() if type(d) is type(dtype)), "str")
    try:
        return read_texts(getattr(rule, split), dtype=word)
    except ValueError as error:
        raise TreadleError(f"data.split.{split}: {error}, and {rule.column!r} is {word}") from error


def _by_column(values: pl.Series, rule: ColumnSplit) -> pl.Series:
    splits = pl.repeat(None, len(values), dtype=pl.String, eager=True).alias("split")
    for split in SPLITS:
        splits = splits.set(values.is_in(_read_values(values, rule, split).implode()), split)
    if rule.valid_share is None:
        return splits
    if rule.valid:
        raise TreadleError("data.split.valid_share: give either `valid` or `valid_share`, not both")
    train = (splits == "train").fill_null(value=False).arg_true().to_numpy()
    drawn = np.random.default_rng(rule.seed).permutation(train)[: round(rule.valid_share * len(train))]
    chosen = np.zeros(len(splits), dtype=bool)
    chosen[drawn] = True
    return pl.select(pl.when(pl.Series(chosen)).then(pl.lit("valid")).otherwise(splits).alias("split"))["split"]
