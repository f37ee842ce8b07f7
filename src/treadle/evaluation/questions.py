"""Questions to the data: do test rows look like training rows, which rows repeat, which labels are suspect?"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any

import polars as pl

from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.explanation import list_read_columns
from treadle.evaluation.label_noise import LabelNoise, find_label_noise
from treadle.evaluation.shift import Shift, measure_shift
from treadle.pages.charts import Bar, draw_bars
from treadle.schema import LABEL, ROW

_NUM_BARS = 10


@dataclass(frozen=True)
class Repetition:
    """Training rows that agree in every column that a feature reads."""

    rows: int
    repeated: int  # rows with the label of another one
    contradictory: int  # rows of which another one has another label


@dataclass(frozen=True)
class DataFindings:
    """What the data answered."""

    shift: Shift | None
    repetition: Repetition
    noise: LabelNoise | None
    suspect_rows: Sequence[int]  # keys of the suspects' predictions

    @cached_property
    def shift_chart(self) -> str:
        """As SVG."""
        columns = {} if self.shift is None else self.shift.columns
        bars = [Bar(name, value) for name, value in list(columns.items())[:_NUM_BARS]]
        return draw_bars(title="What a column adds to the AUC of test against training rows", bars=bars)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "shift": None if self.shift is None else self.shift.to_plain(),
            "repetition": asdict(self.repetition),
            "label_noise": None if self.noise is None else {**self.noise.to_plain(), "keys": list(self.suspect_rows)},
        }

    def to_numbers(self) -> dict[str, float]:
        """How well splits are told apart, and the shares of repeated and contradictory rows and of suspect labels."""
        rows = max(1, self.repetition.rows)
        return {
            "shift_auc": math.nan if self.shift is None else self.shift.auc,
            "repeated_share": self.repetition.repeated / rows,
            "contradictory_share": self.repetition.contradictory / rows,
            "suspect_labels": math.nan if self.noise is None else self.noise.share,
        }


def ask_data(evaluated: Evaluated) -> DataFindings | None:
    """Ask; None if `evaluation.questions` is null."""
    settings = evaluated.experiment.evaluation.questions
    if settings is None:
        return None
    shift = measure_shift(evaluated, num_rows=settings.rows, ignore=settings.ignore) if settings.rows else None
    noise = None
    if settings.suspects:
        noise = find_label_noise(
            evaluated.predictions[MODEL].numpy(),
            target=evaluated.target.numpy(),
            task=evaluated.task,
            classes=evaluated.bundle.classes,
            count=settings.suspects,
        )
    keys = evaluated.test.select(ROW).collect()[ROW]
    suspects = [] if noise is None else [int(keys[one.position]) for one in noise.suspects]
    return DataFindings(shift, _count_repetition(evaluated), noise, suspects)


def _count_repetition(evaluated: Evaluated) -> Repetition:
    columns = list_read_columns(evaluated.experiment, list(evaluated.bundle.card.columns))
    inputs = pl.struct(columns).hash() if columns else pl.lit(0)
    same = evaluated.read_rows("train").select(inputs.alias("inputs"), pl.col(LABEL)).group_by("inputs", LABEL).len()
    found = same.group_by("inputs").agg(
        rows=pl.col("len").sum(),
        repeated=pl.col("len").filter(pl.col("len") > 1).sum(),
        labels=pl.len(),
    )
    counts = found.select(
        pl.col("rows").sum(),
        pl.col("repeated").sum(),
        contradictory=pl.col("rows").filter(pl.col("labels") > 1).sum(),
    )
    return Repetition(*(int(value) for value in counts.collect(engine="streaming").row(0)))
