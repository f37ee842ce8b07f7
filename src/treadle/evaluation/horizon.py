"""Forecasts by step: how errors grow with the horizon, and how much less they are than those of naive forecasts.

Errors are scaled by those that a seasonal naive forecast, one season back, makes in the training split, series by
series (MASE: Hyndman and Koehler, "Another look at measures of forecast accuracy", 2006).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from itertools import pairwise
from typing import Any, Self

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.bundle.conformal import HIGH, LOW
from treadle.data.series import SERIES_FILE, TIME
from treadle.evaluation.comparison import make_resampling
from treadle.evaluation.evaluated import MODEL, Evaluated
from treadle.evaluation.intervals import Measured, measure
from treadle.evaluation.naive import DRIFT, LAST_VALUE, SEASONAL
from treadle.evaluation.quantiles import lose
from treadle.evaluation.resampling import Draws, Floats
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Experiment, Forecast
from treadle.pages.charts import Line, draw_chart
from treadle.schema import LABEL, STEP

_PARTS = 24  # of the horizon that are told apart at most; a longer one is cut into ranges of steps
_SCALE = "__scale__"

Sums = list[tuple[str, NDArray[Any], NDArray[Any]]]  # name of a ratio, its numerators and its denominators by row


@dataclass(frozen=True)
class StepRange:
    """What was found of some steps."""

    first: int
    last: int
    mase: Mapping[str, Measured]  # of the model and of each naive baseline
    coverage: Measured | None  # of the intervals of the bundle; None: it has none

    @property
    def name(self) -> str:
        """Such as `1` or `1 to 2`."""
        return str(self.first) if self.first == self.last else f"{self.first} to {self.last}"


@dataclass(frozen=True)
class Horizon:
    """What was found."""

    mase: Mapping[str, Measured]  # of the model and of each baseline, over all steps
    wape: Mapping[str, Measured]  # sum of the absolute errors as a share of the sum of the absolute labels
    gains: Mapping[str, Measured]  # share by which the model's MASE is below that of each naive baseline
    pinball: Mapping[str, Measured]  # mean loss of both ends of the intervals, by quantile
    steps: Sequence[StepRange]
    origins: int  # of the test split
    series: int
    unscaled: int  # series that the training split does not have, or in which nothing changes: without MASE

    @cached_property
    def chart(self) -> str:
        """MASE by step, as SVG."""
        x = [one.last for one in self.steps]
        lines = [
            Line(name.replace("_", " "), x, [one.mase[name].value for one in self.steps])
            for name in (self.steps[0].mase if self.steps else ())
        ]
        return draw_chart(title="MASE by step", x="step", y="MASE", lines=lines)

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "origins": self.origins,
            "series": self.series,
            "unscaled_series": self.unscaled,
            "mase": _to_plain(self.mase),
            "wape": _to_plain(self.wape),
            "gain": _to_plain(self.gains),
            "pinball": _to_plain(self.pinball),
            "steps": {
                one.name: {
                    "mase": _to_plain(one.mase),
                    "coverage": None if one.coverage is None else one.coverage.to_plain(),
                }
                for one in self.steps
            },
        }

    def to_numbers(self) -> dict[str, float]:
        """MASE and WAPE of the model, and how much its MASE is below that of the naive forecasts."""
        covered = [one.coverage.value for one in self.steps if one.coverage is not None]
        return {
            "mase": self.mase[MODEL].value,
            "wape": self.wape[MODEL].value,
            **{f"gain_over_{name}": found.value for name, found in self.gains.items()},
            "worst_coverage": min(covered, default=math.nan),
        }


def _to_plain(found: Mapping[str, Measured]) -> dict[str, Any]:
    return {name: one.to_plain() for name, one in found.items()}


@dataclass(frozen=True)
class _Errors:
    """The absolute errors on the test split, and what they are divided by, `[B]` each."""

    target: Floats
    absolute: Mapping[str, Floats]  # by model
    scaled: Mapping[str, Floats]  # 0 where the series has no scale
    counted: Floats  # 1 where it has one, else 0
    ends: Sequence[tuple[float, Floats]]  # of the intervals, with the level of each

    @classmethod
    def of(cls, evaluated: Evaluated, scale: Floats) -> Self:
        """Of all models.

        Args:
            evaluated: the forecasts.
            scale: `[B]` of the series of each row; not finite where it has none.
        """
        target = evaluated.target.double().numpy()
        errors = {name: np.abs(values.double().numpy() - target) for name, values in evaluated.predictions.items()}
        scaled = {name: np.where(np.isfinite(scale), values / scale, 0.0) for name, values in errors.items()}
        return cls(target, errors, scaled, np.isfinite(scale).astype(np.float64), _read_ends(evaluated))

    def list_ratios(self) -> Sums:
        """Over all steps."""
        return [
            *((f"mase {name}", values, self.counted) for name, values in self.scaled.items()),
            *((f"wape {name}", values, np.abs(self.target)) for name, values in self.absolute.items()),
            *(
                (f"pinball {level:g}", lose(end, self.target, level=level), np.ones(len(self.target)))
                for level, end in self.ends
            ),
        ]

    def list_step_ratios(self, place: int, mask: NDArray[np.bool_], models: Sequence[str]) -> Sums:
        """Over the steps of one part of the horizon, whose rows are those of a mask `[B]`."""
        ratios: Sums = [(f"{place} mase {name}", self.scaled[name] * mask, self.counted * mask) for name in models]
        if self.ends:
            (_, low), (_, high) = self.ends
            inside = (low <= self.target) & (self.target <= high)
            ratios.append((f"{place} coverage", inside * mask, mask.astype(np.float64)))
        return ratios


def find_horizon(evaluated: Evaluated) -> Horizon | None:
    """Measure forecasts; None for other tasks."""
    forecast = evaluated.experiment.data.forecast
    if forecast is None:
        return None
    rows = evaluated.read_columns(forecast.keys)
    scale = _scale_rows(rows, evaluated, forecast)
    naive = [name for name in (SEASONAL, LAST_VALUE, DRIFT) if name in evaluated.predictions]
    errors = _Errors.of(evaluated, scale)
    parts = _cut(rows[STEP].to_numpy(), forecast.horizon)
    ratios = errors.list_ratios()
    for place, (_, mask) in enumerate(parts):
        ratios += errors.list_step_ratios(place, mask, (MODEL, *naive))
    found = _measure(ratios, naive, evaluated)
    steps = [
        StepRange(*bounds, _take(found, f"{place} mase "), found.get(f"{place} coverage"))
        for place, (bounds, _) in enumerate(parts)
    ]
    series = rows.select(forecast.series).n_unique() if forecast.series else 1
    lost = rows.filter(pl.Series(errors.counted == 0))
    return Horizon(
        _take(found, "mase "),
        _take(found, "wape "),
        _take(found, "gain "),
        _take(found, "pinball "),
        steps,
        origins=evaluated.read_columns([forecast.time, STEP]).select(_write_origin(forecast)).n_unique(),
        series=series,
        unscaled=(lost.select(forecast.series).n_unique() if forecast.series else 1) if len(lost) else 0,
    )


def _write_origin(forecast: Forecast) -> pl.Expr:
    return pl.col(forecast.time).cast(pl.Datetime("us")) - parse_duration(forecast.frequency) * pl.col(STEP)


def _take(found: Mapping[str, Measured], prefix: str) -> dict[str, Measured]:
    return {name.removeprefix(prefix): one for name, one in found.items() if name.startswith(prefix)}


def _measure(ratios: Sums, naive: Sequence[str], evaluated: Evaluated) -> dict[str, Measured]:
    """Each ratio of sums with its interval, and the gains over the naive baselines, of the same resamples."""
    blocks = evaluated.blocks.pool()
    upper = blocks.sum(*(values for _, values, _ in ratios))
    lower = blocks.sum(*(values for *_, values in ratios))
    names = [name for name, *_ in ratios]
    model, others = names.index(f"mase {MODEL}"), [names.index(f"mase {name}") for name in naive]

    def evaluate(draws: Draws) -> Floats:
        with np.errstate(divide="ignore", invalid="ignore"):
            values = draws.multiply(upper) / draws.multiply(lower)
            gains = 1 - values[:, [model]] / values[:, others]
        return np.concatenate([values, gains], axis=1)

    found = measure(evaluate, blocks=blocks, resampling=make_resampling(evaluated.experiment))
    return dict(zip([*names, *(f"gain {name}" for name in naive)], found, strict=True))


def _cut(steps: NDArray[np.int64], horizon: int) -> list[tuple[tuple[int, int], NDArray[np.bool_]]]:
    """Ranges of steps of about equal length, and which rows are in each; none without a row."""
    edges = np.unique(np.linspace(0, horizon, min(horizon, _PARTS) + 1).round().astype(int))
    masks = [((int(a) + 1, int(b)), (steps > a) & (steps <= b)) for a, b in pairwise(edges)]
    return [(bounds, mask) for bounds, mask in masks if mask.any()]


def _read_ends(evaluated: Evaluated) -> list[tuple[float, Floats]]:
    """The ends of the intervals of the bundle, each with its quantile; none where it has no intervals."""
    conformal = evaluated.bundle.card.conformal
    if conformal is None:
        return []
    predicted = pl.read_parquet(evaluated.folder.evaluation / "predictions.parquet", columns=[LOW, HIGH])
    outside = round((1 - conformal.coverage) / 2, 12)
    return [(outside, predicted[LOW].to_numpy()), (1 - outside, predicted[HIGH].to_numpy())]


# --- the scale ----------------------------------------------------------------------------------------


def _scale_rows(rows: pl.DataFrame, evaluated: Evaluated, forecast: Forecast) -> Floats:
    """`[B]` mean error of the seasonal naive forecast in the training split, of the series of each row; NaN without."""
    last = evaluated.read_rows("train").select(pl.col(forecast.time).cast(pl.Datetime("us")).max()).collect().item()
    labels = pl.read_parquet(evaluated.folder.examples / SERIES_FILE).filter(pl.col(TIME) <= last)
    season = _find_season(evaluated.experiment, forecast)
    before = labels.with_columns(pl.col(TIME) + season).rename({LABEL: "__before__"})
    pairs = labels.join(before, on=[*forecast.series, TIME], how="inner")
    change = (pl.col(LABEL) - pl.col("__before__")).abs().mean().alias(_SCALE)
    keys = [pl.col(name) for name in forecast.series] or [pl.lit(0).alias("one")]
    scales = pairs.group_by(keys).agg(change).filter(pl.col(_SCALE) > 0)
    on = forecast.series or ["one"]
    found = rows.with_columns(pl.lit(0).alias("one")).select(on).join(scales, on=on, how="left", maintain_order="left")
    values: Floats = found[_SCALE].fill_null(math.nan).to_numpy().astype(np.float64)
    return values


def _find_season(experiment: Experiment, forecast: Forecast) -> timedelta:
    """That of the naive baselines; without one, a single period."""
    naive = experiment.evaluation.naive
    season = None if naive is None else naive.season
    return parse_duration(forecast.frequency if season is None else season)
