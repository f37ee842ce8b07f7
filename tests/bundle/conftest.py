"""A small trained run, and a tiny bundle with every kind of step, which the tests copy and break."""

import shutil

import polars as pl
import pytest
import torch

from runs import find_run, run_quick
from treadle.bundle import TARGETS, Bundle, Card, Recipe, Standard, build_model, fingerprint_code, load, save
from treadle.check.resolve import resolve
from treadle.experiment.spec import Features
from treadle.features.featurizer import Featurizer


@pytest.fixture(scope="package")
def trained(tmp_path_factory, root):
    """A run on adult: numbers, categories, missing values."""
    project = tmp_path_factory.mktemp("adult")
    (project / "conf").symlink_to(root / "conf")
    (project / "data").symlink_to(root / "data")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(project)
        run_quick("experiment=adult", "tracker=disabled", "schedule.max_epochs=1", verb="train")
        yield find_run(project)


@pytest.fixture
def bundle(trained):
    return load(trained)


@pytest.fixture
def rows(trained):
    return pl.read_parquet(trained / "examples" / "test.parquet")


def step(name, **arguments):
    return {"_target_": f"treadle.features.{name}", **arguments}


IMPUTE = step("transforms.Impute", strategy="median", indicator=True)
BLOCKS = {
    "scaled": {"columns": ["age", "older"], "steps": {"impute": IMPUTE, "scale": step("transforms.Standardize")}},
    "ranked": {
        "columns": ["capital-gain"],
        "steps": {"impute": IMPUTE, "rank": step("transforms.Quantile", num_quantiles=5, output="normal")},
    },
    "binned": {
        "columns": ["hours-per-week", "age"],
        "steps": {"impute": IMPUTE, "bins": step("transforms.PiecewiseLinear", num_bins=4)},
    },
    "round": {"columns": ["age"], "steps": {"cycle": step("transforms.Cyclic", period=7.0)}},
    "words": {"columns": ["workclass", "education"], "steps": {"ids": step("categories.Vocabulary", min_count=1)}},
    "hashed": {"columns": ["race"], "steps": {"ids": step("categories.Hashing", num_buckets=8)}},
}
ROWS = pl.DataFrame(
    {
        "age": [20, 30, None, 50, 60],
        "capital-gain": [0, 0, 5, 7, 9],
        "hours-per-week": [10, 20, 30, 40, 50],
        "workclass": ["a", "b", None, "a", "b"],
        "education": ["x", "y", "x", "x", "z"],
        "race": ["p", "q", "r", "p", "q"],
    }
)


@pytest.fixture(scope="package")
def tiny(tmp_path_factory, root):
    """The folder of a bundle of a few kilobytes, whose features hold every kind of step."""
    experiment = resolve(overrides=["experiment=adult", "model=mlp", "model.width=8"], root=root).experiment
    features = Features.model_validate({"derive": {"older": "age * 1.0 + 1"}, "blocks": BLOCKS})
    featurizer = Featurizer(features, targets=TARGETS)
    featurizer.fit(ROWS)
    torch.manual_seed(0)
    network = build_model(
        experiment.network,
        targets=TARGETS,
        num_numeric=len(featurizer.numeric_names),
        cardinalities=featurizer.cardinalities,
        num_classes=0,
    )
    types = {name: str(dtype) for name, dtype in ROWS.schema.items()}
    recipe = Recipe.take(experiment).model_copy(update={"features": features})
    target = Standard(mean=0.0, scale=1.0)
    card = Card(task="binary", classes=[], columns=types, target=target, code=fingerprint_code(recipe))
    folder = tmp_path_factory.mktemp("tiny") / "bundle"
    save(Bundle(card, recipe, featurizer, network), folder)
    return folder


@pytest.fixture
def copy(tiny, tmp_path):
    shutil.copytree(tiny, tmp_path / "bundle")
    return tmp_path / "bundle"
