"""Visits of shops, each counted over another number of days, and an experiment of them."""

import numpy as np
import polars as pl

from own_tables import describe_experiment, describe_features, make_own_project

NUM_ROWS = 3000
KINDS = ("bakery", "grocer", "tailor")

DATA = """\
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
EXPOSURE = {"_target_": "treadle.features.exposure.Exposure"}
FILES = {
    "data": DATA,
    "features": describe_features(
        numbers=["size"], categories=["kind"], days={"columns": ["days"], "steps": {"exposure": EXPOSURE}}
    ),
    "experiment": describe_experiment(
        "shops",
        question="How often will a shop be visited?",
        evaluation="count",
        schedule={"max_epochs": 12, "optimizer": {"lr": 0.03}},
    ),
}


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


def make_shops_project(folder):
    """A project in an empty folder."""
    make_own_project(folder, "shops", files=FILES, shops=make_shops())
