"""What a check may look at: the predictions of the model and its baselines, the rows, and what was computed of them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import polars as pl
from torch import Tensor

from treadle.bundle import Predictor
from treadle.data.blocks import rank_blocks
from treadle.data.lazy_frames import collect, count_rows, derive, narrow_integers
from treadle.evaluation.resampling import Blocks
from treadle.experiment.blocks import settle_blocks
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.features.featurizer import Featurizer, Inputs
from treadle.metrics.registry import Threshold
from treadle.schema import Split, Task

Results = dict[str, dict[str, float]]  # model or baseline: metric: value
PART_ROWS = 1 << 18  # of a split in memory at a time, with all their columns
MODEL = "model"  # its name among the results and the predictions; the first


class Answer(Protocol):
    """What a part of the evaluation found; `treadle.evaluation.parts` lists them."""

    def to_plain(self) -> dict[str, Any]:
        """All of it, for JSON."""

    def to_numbers(self) -> dict[str, float]:
        """The few numbers that tell whether it got better or worse, by stable names; NaN where one is not defined."""


@dataclass(frozen=True)
class Evaluated:
    """A model and its baselines on the test split."""

    experiment: Experiment
    folder: RunFolder  # of the run
    bundle: Predictor
    predictions: Mapping[str, Tensor]  # of the model and of each baseline, `[B]`, or `[B, K]` for K classes or labels
    target: Tensor  # `[B]`; of a multiclass task the class, -1 where training never saw it; `[B, L]` of L labels
    results: Results  # metrics of the model and of each baseline; NaN where one is not defined
    parity: Mapping[str, Any]  # rows predicted one by one: how many, the largest difference, and the allowed one
    thresholds: Mapping[str, Sequence[float]] = field(default_factory=dict)  # of labels, by model; none: as `threshold`
    answers: dict[str, Answer] = field(default_factory=dict)  # of each part, by its name; a check runs after all parts

    @property
    def task(self) -> Task:
        """Of the experiment."""
        return self.bundle.task

    @property
    def threshold(self) -> Threshold:
        """Of a binary decision; of several labels that of each, where the bundle has learned them."""
        return self.bundle.card.thresholds or self.experiment.evaluation.threshold

    @property
    def test(self) -> pl.LazyFrame:
        """The rows of the test split, in the order of the predictions."""
        return self.read_rows("test")

    def read_rows(self, split: Split) -> pl.LazyFrame:
        """The rows of a split, as `prepare` wrote them."""
        return pl.scan_parquet(self.folder.examples / f"{split}.parquet")

    def read_columns(self, names: Sequence[str], *, split: Split = "test") -> pl.DataFrame:
        """Columns of the examples, or of `evaluation.derive`."""
        key = "evaluation.derive"
        rows = derive(self.read_rows(split), self.experiment.evaluation.derive, key=key)
        return narrow_integers(collect(rows.select(names), key=key)[0].lazy()).collect()

    def compute(self, expressions: Mapping[str, str], *, split: Split, key: str) -> pl.DataFrame:
        """SQL expressions of `key` over the examples and `evaluation.derive`, by name."""
        rows = derive(self.read_rows(split), self.experiment.evaluation.derive, key="evaluation.derive")
        values = [derive(rows, {name: text}, key=key).select(name) for name, text in expressions.items()]
        return pl.concat(collect(*values, key=key), how="horizontal")

    @cached_property
    def blocks(self) -> Blocks:
        """Which test rows hang together: those of a day, where rows have a time, or of a group that is split by."""
        return find_blocks(self.test, self.experiment)

    @cached_property
    def featurizer(self) -> Featurizer:
        """As it was fitted on the training split."""
        return Featurizer.load(self.folder.features, spec=self.experiment.features, targets=self.experiment.targets)

    def read_inputs(self) -> Iterator[Inputs]:
        """What the model is given of the test split, part by part: a long one is never whole in memory."""
        for part in read_parts(self.test):
            yield self.featurizer(part)

    @cached_property
    def training(self) -> dict[str, Any]:
        """The summary of the training, such as `num_parameters`."""
        summary: dict[str, Any] = json.loads((self.folder.model / "summary.json").read_text(encoding="utf-8"))
        return summary


def read_parts(rows: pl.LazyFrame) -> Iterator[pl.DataFrame]:
    """The rows of a split, some at a time; of no rows one frame, which has none."""
    for start in range(0, max(1, count_rows(rows)), PART_ROWS):
        yield rows.slice(start, PART_ROWS).collect()


def find_blocks(rows: pl.LazyFrame, experiment: Experiment) -> Blocks:
    """The blocks of the rows of a split, by `evaluation.intervals.blocks`; without intervals, those of `auto`."""
    settings = experiment.evaluation.intervals
    unit = settle_blocks("auto" if settings is None else settings.blocks, experiment.data)
    codes = rank_blocks(rows, unit)
    return Blocks.of_rows(len(codes)) if unit.kind == "row" else Blocks.of(codes, unit=unit.name)
