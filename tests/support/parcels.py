"""Parcels that may be late, damaged and lost, each of which is a label, and an experiment of them."""

import numpy as np
import polars as pl

from own_tables import describe_experiment, describe_features, make_own_project

NUM_ROWS = 3000
LABELS = ("late", "damaged", "lost")
CARRIERS = ("bike", "truck", "plane")

DATA = """\
task: multilabel
tables:
  parcels:
    path: parcels.parquet
    columns:
      km: {dtype: float}
      kg: {dtype: float, nullable: true}
      carrier: {dtype: str}
      hours_late: {dtype: float, known_after_prediction: true, nullable: true}
      damaged: {dtype: bool, known_after_prediction: true}
      lost: {dtype: int, min: 0, max: 1, known_after_prediction: true}
examples:
  table: parcels
  known: [km, kg, carrier]
  label: {late: hours_late > 0, damaged: damaged, lost: lost}
split: {by: random, valid: 0.2, test: 0.2, seed: 0}
"""
FILES = {
    "data": DATA,
    "features": describe_features(numbers=["km", "kg"], categories=["carrier"]),
    "experiment": describe_experiment(
        "parcels",
        question="What will go wrong with a parcel?",
        evaluation="multilabel",
        schedule={"max_epochs": 6, "optimizer": {"lr": 0.03}},
    ),
}


def find_chances(parcels):
    """`[B, 3]` the probability of each label."""
    km, kg = parcels["km"].to_numpy(), parcels["kg"].fill_null(0.0).to_numpy()
    by_bike = (parcels["carrier"] == "bike").to_numpy()
    logits = np.stack([2 * km - by_bike, 1.5 * kg - 1 + by_bike, km + kg - 4], axis=1)
    return 1 / (1 + np.exp(-logits))


def make_parcels():
    """A row a parcel; a lost one in twenty."""
    generator = np.random.default_rng(0)
    parcels = pl.DataFrame(
        {
            "km": generator.normal(size=NUM_ROWS),
            "kg": generator.normal(size=NUM_ROWS),
            "carrier": generator.choice(CARRIERS, NUM_ROWS),
        }
    )
    drawn = generator.random((NUM_ROWS, len(LABELS))) < find_chances(parcels)
    hours = np.where(drawn[:, 0], 5.0, -1.0)
    return parcels.with_columns(hours_late=hours, damaged=drawn[:, 1], lost=drawn[:, 2].astype(np.int64))


def make_parcels_project(folder, parcels=None):
    """A project in an empty folder."""
    make_own_project(folder, "parcels", files=FILES, parcels=make_parcels() if parcels is None else parcels)
