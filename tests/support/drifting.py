"""A small table whose rule drifts: what a replay and a retraining are tested on."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from own_tables import make_own_project
from runs import treadle

DATA = """\
task: binary
tables:
  visits:
    path: visits.parquet
    columns:
      id: {dtype: int, unique: true}
      at: {dtype: datetime}
      x: {dtype: float}
      z: {dtype: float}
      bought: {dtype: int, allowed: [0, 1], known_after_prediction: true}
examples: {table: visits, predict_at: at, known: [id, x, z], label: bought = 1, weight: null}
split: {by: time, valid_from: "2020-03-01", test_from: "2020-04-01", gap: 1d}
"""
FEATURES = """\
blocks:
  numbers:
    columns: [x, z]
    steps: {impute: {_target_: treadle.features.transforms.Impute, strategy: median, indicator: false}}
fit_rows: null
"""
EXPERIMENT = """\
# @package _global_
# Who buys?
defaults: [override /data: visits, override /features: visits, override /model: lightgbm, override /tracker: disabled]
name: visits
model: {max_rounds: 20, early_stopping_rounds: 10, min_data_in_leaf: 5}
trainer: {threads: 1}
evaluation:
  metric: log_loss
  baselines: [prior]
  parity_rows: 2
  checks: {shift: null, calibration: null}
  explanation: null
  questions: null
  intervals: {blocks: auto, resamples: 200, coverage: 0.95}
"""
RULES = ["experiment=visits", "retrain.valid=7d", "retrain.block=14d", "retrain.window=28d"]
NUM_DAYS = 270
PER_DAY = 12


def make_visits(num_days: int = NUM_DAYS, *, breaks_at: int | None = None, heals_at: int | None = None) -> pl.DataFrame:
    """From 2020-01-01 on; the larger x, the likelier, but from the day of a break until it heals: then the smaller."""
    generator = np.random.default_rng(0)
    days = np.repeat(np.arange(num_days), PER_DAY)
    x, z = generator.normal(size=(2, len(days)))
    broken = (days >= (num_days if breaks_at is None else breaks_at)) & (days < (heals_at or num_days))
    sign = np.where(broken, -1, 1)
    bought = generator.random(len(days)) < 1 / (1 + np.exp(-2 * sign * x))
    at = [datetime(2020, 1, 1) + timedelta(days=int(day), hours=i % PER_DAY) for i, day in enumerate(days)]  # noqa: DTZ001 - UTC
    return pl.DataFrame({"id": np.arange(len(days)), "at": at, "x": x, "z": z, "bought": bought.astype(np.int64)})


def make_visits_project(folder: Path, *, breaks_at: int | None = None, heals_at: int | None = None) -> None:
    """A project of its own, in an empty folder."""
    files = {"data": DATA, "features": FEATURES, "experiment": EXPERIMENT}
    make_own_project(folder, "visits", files=files, visits=make_visits(breaks_at=breaks_at, heals_at=heals_at))


def decide(*moments: str, rules: Sequence[str] = ()) -> None:
    """Retrain by rule in the current project, as if it were each of these moments."""
    for moment in moments:
        assert treadle("retrain", *RULES, *rules, "--now", moment) == 0
