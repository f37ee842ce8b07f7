"""Adversarial validation: whether a model can tell test rows from training rows, and by which columns.

Where it can, the test split asks about another world than the one that the model was trained in, or a column tells the
splits apart that has no meaning later, such as a running number.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from treadle.data.casting import is_countable
from treadle.evaluation.baselines import KINDS, Baseline, Sizes
from treadle.evaluation.comparison import SEED, make_resampling
from treadle.evaluation.evaluated import Evaluated, find_blocks
from treadle.evaluation.explanation import list_read_columns
from treadle.evaluation.intervals import Estimate, Resampling, resample
from treadle.evaluation.resampling import Blocks, Draws, Floats, Ints
from treadle.evaluation.scores import Auc, Scoring
from treadle.features.featurizer import Inputs
from treadle.profiles.calendar import find_calendar
from treadle.schema import PREDICT_AT, SHARES, Batch, Split

_MAX_TEXTS = 255  # of a column, the most frequent ones; the others count as one
_METRIC = "auroc"
_PERMUTED = 500  # rows of each half, to see what a column adds
_MIN_ROWS = 40  # of each split; fewer teach nothing


@dataclass(frozen=True)
class Shift:
    """How well test rows are told from training rows."""

    rows: int  # of both splits together
    auc: float  # 0.5: not at all
    interval: Estimate | None  # None: too few blocks
    columns: dict[str, float]  # what each column adds to the AUC, the largest first
    left_out: list[str]  # columns that say when a row was

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        bounds = None if self.interval is None else {"low": self.interval.low, "high": self.interval.high}
        return {
            "rows": self.rows,
            "auc": self.auc,
            "interval": bounds,
            "columns": self.columns,
            "left_out": self.left_out,
        }


def measure_shift(evaluated: Evaluated, *, num_rows: int, ignore: Sequence[str]) -> Shift | None:
    """Tell test rows from training rows by the columns that features read, as they are in the examples.

    Args:
        evaluated: with its training split.
        num_rows: of each split.
        ignore: columns that the model is not given.

    Returns:
        None where there is no column to judge by, or there are too few rows.
    """
    columns, left_out = _choose_columns(evaluated, ignore)
    if not columns:
        return None
    generator = np.random.default_rng(SEED)
    splits: tuple[Split, Split] = ("train", "test")
    drawn = [_draw(evaluated.read_rows(split), num_rows, generator) for split in splits]
    first, second = (
        evaluated.read_rows(split).select(columns).collect(engine="streaming")[positions]
        for split, positions in zip(splits, drawn, strict=True)
    )
    if min(len(first), len(second)) < _MIN_ROWS:
        return None
    found = tell_apart(
        pl.concat([first, second]),
        is_test=np.repeat([0.0, 1.0], [len(first), len(second)]),
        blocks=take_blocks(evaluated, splits, drawn),
        resampling=make_resampling(evaluated.experiment),
    )
    return None if found is None else replace(found, left_out=left_out)


def tell_apart(frame: pl.DataFrame, *, is_test: Floats, blocks: Blocks, resampling: Resampling) -> Shift | None:
    """Fit a model to half of the blocks, and judge it on the other half, both ways.

    Gradient boosting where LightGBM is installed, else a linear model.

    Args:
        frame: rows of both splits.
        is_test: `[B]` 1 for those of the test split, else 0.
        blocks: of the rows.
        resampling: of the interval; its seed also decides about the halves.

    Returns:
        None where a half has rows of one split only.
    """
    generator = np.random.default_rng(resampling.seed)
    encoded = _encode(frame)
    half = generator.permutation(blocks.count)[blocks.codes] % 2
    if any(len(np.unique(is_test[half == side])) < 2 for side in (0, 1)):  # noqa: PLR2004 - both splits
        return None
    scores, losses = np.empty(len(is_test)), np.zeros(len(encoded.names))
    for side in (0, 1):
        model = _fit(encoded, is_test, np.flatnonzero(half != side))
        asked = np.flatnonzero(half == side)
        scores[asked] = model.predict(encoded.take(asked)).numpy()
        few = generator.permutation(asked)[:_PERMUTED]
        losses += _permute_each(model, encoded, is_test, few, generator) / 2
    samples = resample(
        {"model": scores},
        target=is_test,
        blocks=blocks,
        scoring=Scoring("binary", threshold=0.5, num_bins=10),
        resampling=resampling,
        metrics=[_METRIC],
    )["model"]
    interval = samples.estimate(_METRIC, coverage=resampling.coverage)
    ranked = sorted(zip(encoded.names, losses.tolist(), strict=True), key=lambda pair: -pair[1])
    return Shift(len(is_test), samples.whole[_METRIC], interval, dict(ranked), [])


def _choose_columns(evaluated: Evaluated, ignore: Sequence[str]) -> tuple[list[str], list[str]]:
    """The columns that a feature reads, without those that say when a row was, which are the second list."""
    read = list_read_columns(evaluated.experiment, list(evaluated.bundle.card.columns))
    train = evaluated.read_rows("train")
    schema = train.collect_schema()
    counted = [name for name in read if is_countable(schema[name])]
    others = [name for name in counted if name not in ignore and not schema[name].is_temporal()]
    calendar = find_calendar(train, others, time=PREDICT_AT) if PREDICT_AT in schema else []
    moments = [name for name in read if schema[name].is_temporal()]
    return [name for name in others if name not in calendar], [*moments, *calendar]


def _draw(rows: pl.LazyFrame, count: int, generator: np.random.Generator) -> Ints:
    """Positions of some rows, in order."""
    return np.sort(generator.permutation(rows.select(pl.len()).collect().item())[:count])


def take_blocks(evaluated: Evaluated, splits: Sequence[Split], positions: Sequence[Ints]) -> Blocks:
    """The blocks of some rows of several splits; a day that splits share is one block.

    Args:
        evaluated: whose rows they are.
        splits: in whose order the rows are.
        positions: of the rows, in each split.
    """
    rows = [evaluated.read_rows(split).drop(SHARES, strict=False) for split in splits]  # of training rows alone
    starts = np.cumsum([0, *(part.select(pl.len()).collect().item() for part in rows)])[:-1]
    blocks = find_blocks(pl.concat(rows), evaluated.experiment)
    return blocks.take(np.concatenate([start + taken for start, taken in zip(starts, positions, strict=True)]))


@dataclass(frozen=True)
class _Encoded:
    """Columns as a baseline takes them, numbers before texts."""

    names: list[str]
    inputs: Inputs
    cardinalities: list[int]

    def take(self, rows: Ints) -> Inputs:
        return Inputs(*(values[rows] for values in self.inputs))


def _encode(frame: pl.DataFrame) -> _Encoded:
    numbers = [column for column in frame if column.dtype.is_numeric()]
    texts = [column for column in frame if not column.dtype.is_numeric()]
    ids = [_encode_texts(column) for column in texts]
    return _Encoded(
        [column.name for column in (*numbers, *texts)],
        Inputs.of_numbers(
            _stack([torch.from_numpy(_read_numbers(column)) for column in numbers], len(frame)).float(),
            _stack([torch.from_numpy(codes) for codes in ids], len(frame)).long(),
        ),
        [int(codes.max()) + 1 for codes in ids],
    )


def _stack(columns: Sequence[Tensor], num_rows: int) -> Tensor:
    return torch.stack(list(columns), dim=1) if columns else torch.empty(num_rows, 0)


def _read_numbers(column: pl.Series) -> Floats:
    return column.cast(pl.Float64).fill_null(float("nan")).to_numpy(writable=True)


def _encode_texts(column: pl.Series) -> Ints:
    """0: missing or rare."""
    texts = column.cast(pl.String)
    counts = texts.drop_nulls().rename("text").value_counts().sort("count", "text", descending=[True, False])
    frequent = counts["text"].head(_MAX_TEXTS).to_list()
    codes = texts.replace_strict(frequent, range(1, len(frequent) + 1), default=0, return_dtype=pl.Int64)
    return codes.to_numpy(writable=True)


def _fit(encoded: _Encoded, is_test: Floats, rows: Ints) -> Baseline:
    """Both splits have the same weight."""
    inputs, target = encoded.take(rows), is_test[rows]
    weight = np.where(target > 0, 1 / target.mean(), 1 / (1 - target.mean()))
    labels = torch.from_numpy(target).float(), torch.from_numpy(weight).float()
    batch = Batch(inputs.numeric, inputs.ids, *labels, inputs.pixels)
    sizes = Sizes("binary", inputs.numeric.shape[1], encoded.cardinalities, 0, is_raw=True)
    kind = "gradient_boosting" if importlib.util.find_spec("lightgbm") else "linear"
    return KINDS[kind].fit(batch, sizes)


def _permute_each(
    model: Baseline, encoded: _Encoded, is_test: Floats, rows: Ints, generator: np.random.Generator
) -> Floats:
    """What each column adds to the AUC on these rows: what is lost when it is permuted."""
    whole = _compute_auc(model.predict(encoded.take(rows)).numpy(), is_test[rows])
    losses = []
    for place in range(len(encoded.names)):
        inputs = encoded.take(rows)
        values, column = _find_column(inputs, place)
        values[:, column] = values[generator.permutation(len(rows)), column]
        losses.append(whole - _compute_auc(model.predict(inputs).numpy(), is_test[rows]))
    return np.array(losses)


def _find_column(inputs: Inputs, place: int) -> tuple[Tensor, int]:
    num_numeric = inputs.numeric.shape[1]
    return (inputs.numeric, place) if place < num_numeric else (inputs.ids, place - num_numeric)


def _compute_auc(scores: Floats, is_test: Floats) -> float:
    once = np.ones((1, len(scores)))
    found = Auc(scores, target=is_test, blocks=Blocks.of_rows(len(scores))).evaluate(Draws(once.astype(np.int32), once))
    return float(found[0])
