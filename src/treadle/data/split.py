"""Splits: which examples train, validate and test, by one declared rule."""

from __future__ import annotations

import numpy as np
import polars as pl

from treadle.data.bounds import read_texts
from treadle.data.casting import DTYPES
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration, parse_moment
from treadle.experiment.spec import ColumnSplit, GroupSplit, RandomSplit, SplitRule, StratifiedSplit, TimeSplit
from treadle.schema import PREDICT_AT, SPLITS, Split

_DTYPE = pl.Enum(SPLITS)


def assign_splits(examples: pl.DataFrame, rule: SplitRule) -> pl.Series:
    """`train`, `valid`, `test` or null (left out: a gap, a value that no split takes) for each example.

    Raises:
        TreadleError: a column is absent or missing in some rows, or a split would be empty.
    """
    match rule:
        case TimeSplit():
            splits = _by_time(examples, rule)
        case RandomSplit():
            splits = _draw(pl.Series([0] * len(examples), dtype=pl.Int64), rule)
        case StratifiedSplit():
            splits = _draw(_need(examples, rule.column), rule)
        case GroupSplit():
            splits = _by_group(_need(examples, rule.column), rule)
        case ColumnSplit():
            splits = _by_column(_need(examples, rule.column), rule)
    splits = splits.cast(_DTYPE)
    counts = {name: int((splits == name).sum()) for name in SPLITS}
    if empty := [name for name, count in counts.items() if not count]:
        raise TreadleError(f"data.split: no rows for {', '.join(empty)}; found {counts} of {len(examples)} examples")
    return splits


def _need(examples: pl.DataFrame, column: str) -> pl.Series:
    values = examples[column].fill_nan(None) if examples.schema[column].is_float() else examples[column]
    if values.null_count():
        raise TreadleError(f"data.split.column: {column!r} is missing in {values.null_count():,} rows")
    return values


def _by_time(examples: pl.DataFrame, rule: TimeSplit) -> pl.Series:
    if PREDICT_AT not in examples.columns:
        raise TreadleError("data.split.by: a split by time needs data.examples.predict_at")
    valid_from, test_from = parse_moment(rule.valid_from), parse_moment(rule.test_from)
    if valid_from >= test_from:
        raise TreadleError(f"data.split.valid_from: {rule.valid_from} must be before test_from {rule.test_from}")
    gap = parse_duration(rule.gap)
    moment = pl.col(PREDICT_AT)
    choice = (
        pl.when(moment < valid_from - gap)
        .then(pl.lit("train", dtype=_DTYPE))
        .when(moment.is_between(valid_from, test_from - gap, closed="left"))
        .then(pl.lit("valid", dtype=_DTYPE))
        .when(moment >= test_from)
        .then(pl.lit("test", dtype=_DTYPE))
    )
    return examples.select(choice.alias("split"))["split"]


def _draw(strata: pl.Series, rule: RandomSplit | StratifiedSplit) -> pl.Series:
    """The same shares in every stratum, to the nearest row."""
    generator = np.random.default_rng(rule.seed)
    splits = np.full(len(strata), "train", dtype=object)
    for value in strata.unique().sort().to_list():
        rows = generator.permutation((strata == value).arg_true().to_numpy())
        num_test, num_valid = round(rule.test * len(rows)), round(rule.valid * len(rows))
        splits[rows[:num_test]] = "test"
        splits[rows[num_test : num_test + num_valid]] = "valid"
    return pl.Series("split", splits, dtype=pl.String)


def _by_group(groups: pl.Series, rule: GroupSplit) -> pl.Series:
    """Whole groups in random order, each to the first split that it fills by at least half of the group."""
    sizes = groups.value_counts().sort(groups.name)
    order = np.random.default_rng(rule.seed).permutation(len(sizes))
    wanted: dict[Split, float] = {"test": rule.test * len(groups), "valid": rule.valid * len(groups)}
    assigned: dict[object, Split] = {}
    for group, size in sizes[order].iter_rows():
        split: Split = next((name for name, rest in wanted.items() if rest >= size / 2), "train")
        if split in wanted:
            wanted[split] -= size
        assigned[group] = split
    return groups.replace_strict(assigned, return_dtype=pl.String).alias("split")


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
