import json
from functools import partial

import numpy as np
import polars as pl
import pytest
import torch

from treadle.errors import TreadleError
from treadle.experiment.source_bundles import settle_source
from treadle.experiment.spec import Features
from treadle.features.featurize import draw_rows, featurize
from treadle.features.stored import load_rows

NUM_ROWS = 300
PLACE = "treadle.features"


def step(name, **arguments):
    return {"_target_": f"{PLACE}.{name}", **arguments}


BLOCKS = {
    "numbers": {
        "columns": ["a", "b"],
        "steps": {
            "impute": step("transforms.Impute", strategy="median", indicator=True),
            "scale": step("transforms.Quantile", num_quantiles=50, output="normal"),
        },
    },
    "bins": {
        "columns": ["b"],
        "steps": {
            "impute": step("transforms.Impute", strategy="mean", indicator=False),
            "bins": step("transforms.PiecewiseLinear", num_bins=8),
        },
    },
    "clock": {"columns": ["hour"], "steps": {"cycle": step("transforms.Cyclic", period=24)}},
    "words": {"columns": ["word"], "steps": {"ids": step("categories.Vocabulary", min_count=2)}},
    "hashes": {"columns": ["word"], "steps": {"ids": step("categories.Hashing", num_buckets=16)}},
}


@pytest.fixture
def examples(tmp_path):
    generator = np.random.default_rng(0)
    for split, num_rows in (("train", NUM_ROWS), ("valid", 100)):
        numbers = generator.normal(size=(2, num_rows))
        frame = pl.DataFrame(
            {
                "a": np.where(generator.random(num_rows) < 0.2, np.nan, numbers[0]),
                "b": np.exp(numbers[1]),
                "hour": generator.integers(24, size=num_rows),
                "word": [f"w{n}" for n in generator.geometric(0.3, size=num_rows)],
                "label": [f"class {n}" for n in range(num_rows)] if split == "train" else ["class 299", "new"] * 50,
            }
        )
        frame.with_columns(pl.int_range(pl.len()).alias("weight")).write_parquet(tmp_path / f"{split}.parquet")
    return tmp_path


def run(examples, folder, *, fit_rows, task="multiclass"):
    features = Features.model_validate({"blocks": BLOCKS, "fit_rows": fit_rows})
    featurize(
        features, task=task, targets=["treadle.features."], examples=examples, folder=folder, before=None, file_rows=4
    )
    return {split: load_rows(folder / split) for split in ("train", "valid")}


@pytest.mark.slow
def test_a_sample_of_all_rows_gives_in_parts_what_is_made_in_memory(examples, tmp_path):
    whole = run(examples, tmp_path / "whole", fit_rows=None)
    parts = run(examples, tmp_path / "parts", fit_rows=NUM_ROWS)

    for split in ("train", "valid"):
        assert all(torch.equal(a, b) for a, b in zip(whole[split], parts[split], strict=True))
    for name in ("featurizer.json", "inputs.json"):
        a, b = (json.loads((tmp_path / folder / name).read_text()) for folder in ("whole", "parts"))
        assert a == b


@pytest.mark.slow
def test_a_small_sample_gives_every_row_and_every_class(examples, tmp_path):
    rows = run(examples, tmp_path / "features", fit_rows=50)

    names = sorted(f"class {n}" for n in range(NUM_ROWS))
    assert [names[position] for position in rows["train"].target] == [f"class {n}" for n in range(NUM_ROWS)]
    assert rows["valid"].target.tolist() == [names.index("class 299"), -1] * 50
    assert rows["train"].weight.tolist() == list(range(NUM_ROWS))
    assert rows["train"].numeric.isfinite().all()


def test_transforms_of_a_bundle_are_kept_unless_they_are_of_other_values(examples, tmp_path):
    bundle = tmp_path / "bundle"
    block = {"columns": ["more"], "steps": {"scale": step("transforms.Standardize")}}
    spec = {"derive": {"more": "b + 1"}, "blocks": {"numbers": block}}
    started = partial(featurize, task="multiclass", targets=[f"{PLACE}."], examples=examples)
    started(Features.model_validate(spec), folder=bundle, before=None)
    (bundle / "experiment.json").write_text(json.dumps({"features": spec}))
    (bundle / "bundle.json").write_text("{}")

    def start(folder, **changed):
        place = settle_source("champion", bundle)
        started(Features.model_validate({**spec, "start_from": place, **changed}), folder=folder, before=bundle)

    start(tmp_path / "kept")
    with pytest.raises(TreadleError, match=r'features\.derive\.more was "b \+ 1", and is "b \* 1000"; set it to null'):
        start(tmp_path / "derived", derive={"more": "b * 1000"})
    with pytest.raises(TreadleError, match=r"features\.blocks\.numbers was .*Standardize.*, and is .*Rank"):
        start(tmp_path / "stepped", blocks={"numbers": {**block, "steps": {"scale": step("transforms.Rank")}}})

    assert (tmp_path / "kept/featurizer.pt").read_bytes() == (bundle / "featurizer.pt").read_bytes()
    assert not (tmp_path / "derived").exists()


@pytest.mark.slow
def test_steps_learn_from_the_sample_alone(examples, tmp_path):
    whole = run(examples, tmp_path / "whole", fit_rows=None)
    sample = run(examples, tmp_path / "sample", fit_rows=50)
    again = run(examples, tmp_path / "again", fit_rows=50)

    assert not torch.equal(whole["train"].numeric, sample["train"].numeric)
    assert torch.equal(sample["train"].numeric, again["train"].numeric)


@pytest.mark.parametrize("count", [1, 7, 64, 299, 300, 1000])
def test_a_sample_is_spread_evenly_over_the_rows(examples, count):
    drawn = draw_rows(examples / "train.parquet", count, file_rows=4)["weight"]

    wanted = min(count, NUM_ROWS)
    assert len(drawn) == drawn.n_unique() == wanted
    stretches = (drawn.to_numpy() * wanted) // NUM_ROWS
    assert np.abs(stretches - np.arange(wanted)).max() <= 1


@pytest.mark.parametrize("weight", [None, "label = 'class 7'"], ids=["all rows", "the rows that count"])
def test_a_training_split_of_one_class_is_refused(examples, tmp_path, weight):
    frame = pl.read_parquet(examples / "train.parquet")
    count = pl.sql_expr(weight).cast(pl.Float32) if weight else 1.0
    label = pl.col("label") if weight else pl.lit("class 7")
    frame.with_columns(weight=count, label=label).write_parquet(examples / "train.parquet")

    with pytest.raises(TreadleError, match=r"data\.split: all rows of train that count are of one class, 'class 7'"):
        run(examples, tmp_path / "features", fit_rows=None)


def test_a_target_is_stored_as_exactly_as_the_label_is(examples, tmp_path):
    for split in ("train", "valid"):
        frame = pl.read_parquet(examples / f"{split}.parquet")
        large = pl.int_range(pl.len()) / 8 + 1_700_000_000.0
        frame.with_columns(label=large).write_parquet(examples / f"{split}.parquet")

    rows = run(examples, tmp_path / "features", fit_rows=None, task="regression")

    assert rows["train"].target.tolist() == [1_700_000_000 + n / 8 for n in range(NUM_ROWS)]
