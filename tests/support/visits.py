"""Visits of shops, each counted over another number of days, and an experiment of them."""

import numpy as np
import polars as pl

from runs import make_project

NUM_ROWS = 3000
KINDS = ("bakery", "grocer", "tailor")

DATA = """\
# yaml-language-server: $schema=../.schema/data.json
task: count
tables:
  shops:
    path: shops.parquet
    columns:
      size: {dtype: float}
      kind: {dtype: str}
      days: {dtype: int, min: 1}
      visits: {dtype: int, known_after_prediction: true}
examples:
  table: shops
  known: [size, kind, days]
  label: visits
split: {by: random, valid: 0.2, test: 0.2, seed: 0}
"""
FEATURES = """\
# yaml-language-server: $schema=../.schema/features.json
derive: {}
blocks:
  days:
    columns: [days]
    steps:
      exposure: {_target_: treadle.features.exposure.Exposure}
  numbers:
    columns: [size]
    steps:
      impute: {_target_: treadle.features.transforms.Impute, strategy: median, indicator: false}
      scale: {_target_: treadle.features.transforms.Standardize}
  kinds:
    columns: [kind]
    steps:
      ids: {_target_: treadle.features.categories.Vocabulary, min_count: 1}
fit_rows: null
"""
EXPERIMENT = """\
# @package _global_
# How often will a shop be visited?
# yaml-language-server: $schema=../.schema/experiment.json
defaults:
  - override /data: visits
  - override /features: visits
  - override /model: linear
  - override /schedule: one_cycle
  - override /evaluation: count
name: visits
schedule: {batch_size: 64, max_epochs: 12, optimizer: {lr: 0.03}}
evaluation:
  parity_rows: 3
  explanation: null
  questions: null
"""


def find_rates(shops):
    """Mean visits a day."""
    level = {"bakery": 2.0, "grocer": 0.5, "tailor": 0.1}
    return np.array([level[kind] for kind in shops["kind"]]) * np.exp(0.5 * shops["size"].to_numpy())


def make_shops():
    """A row a shop."""
    generator = np.random.default_rng(0)
    shops = pl.DataFrame(
        {
            "size": generator.normal(size=NUM_ROWS),
            "kind": generator.choice(KINDS, NUM_ROWS),
            "days": generator.choice([1, 7, 30, 365], NUM_ROWS),
        }
    )
    return shops.with_columns(visits=generator.poisson(find_rates(shops) * shops["days"].to_numpy()))


def make_visits_project(folder):
    """A project in an empty folder."""
    make_project(folder)
    for group, text in (("data", DATA), ("features", FEATURES), ("experiment", EXPERIMENT)):
        (folder / f"conf/{group}/visits.yaml").write_text(text)
    make_shops().write_parquet(folder / "shops.parquet")
