"""Bundles for the tests of serving: real rows, features fitted to them, and a network that is not trained."""

from functools import cache
from pathlib import Path

import polars as pl
import torch

from treadle.bundle import TARGETS, Bundle, Card, Recipe, Standard, build_model, fingerprint_code, save
from treadle.bundle.conform import conform_rows
from treadle.check.resolve import resolve
from treadle.features.featurizer import Featurizer

ROOT = Path(__file__).parents[2]


@cache
def read_known(name):
    """The columns that an example knows, as the table's contract reads them: those of `name`'s only table."""
    data = _resolve(name).data
    table = data.tables[data.examples.table]
    raw = pl.read_parquet(ROOT / table.path)
    return conform_rows(raw, {column: table.columns[column] for column in data.examples.known})


def make_bundle(name, *, num_rows=3_000, **features):
    """The bundle of a shipped experiment of one table; `features` take the place of those of its configuration."""
    experiment = _resolve(name)
    rows = read_known(name).head(num_rows)
    spec = experiment.features.model_copy(update=features)
    featurizer = Featurizer(spec, targets=TARGETS)
    featurizer.fit(rows)
    torch.manual_seed(0)
    network = build_model(
        experiment.network,
        targets=TARGETS,
        num_numeric=len(featurizer.numeric_names),
        cardinalities=featurizer.cardinalities,
        num_classes=0,
    ).eval()
    recipe = Recipe.take(experiment).model_copy(update={"features": spec})
    types = {column: str(dtype) for column, dtype in rows.schema.items()}
    target = Standard(mean=2.0, scale=1.5) if experiment.data.task == "regression" else Standard(mean=0.0, scale=1.0)
    card = Card(task=experiment.data.task, classes=[], columns=types, target=target, code=fingerprint_code(recipe))
    return Bundle(card, recipe, featurizer, network)


def save_run(bundle, folder):
    """The folder of a run that holds the bundle."""
    save(bundle, folder / "bundle")
    return folder


@cache
def _resolve(name):
    return resolve(overrides=[f"experiment={name}", "model=mlp", "model.width=16"], root=ROOT).experiment
