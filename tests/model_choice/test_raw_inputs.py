"""Features follow the model: trees get what the configuration gives to networks, without what only those need."""

import pytest

from treadle.check.resolve import resolve
from treadle.experiment.spec import RAW, Features
from treadle.model_choice.raw_inputs import strip_features

NUMBERS = {
    "impute": {"_target_": "treadle.features.transforms.Impute", "strategy": "median", "indicator": True},
    "scale": {"_target_": "treadle.features.transforms.Standardize"},
}
IDS = {"ids": {"_target_": "treadle.features.categories.Vocabulary", "min_count": 1}}


def strip(**blocks):
    spec = {name: {"columns": columns, "steps": steps} for name, (columns, steps) in blocks.items()}
    stripped = strip_features(Features.model_validate({"blocks": spec}))
    return {name: (block.columns, list(block.steps)) for name, block in stripped.blocks.items()}


def test_what_scales_and_imputes_is_left_out_and_ids_stay():
    assert strip(a=(["x", "y"], NUMBERS), b=(["z"], IDS), c=(["w"], {})) == {
        "a": (["x", "y"], ["raw"]),
        "b": (["z"], ["ids"]),
        "c": (["w"], ["raw"]),
    }


def test_a_column_that_two_blocks_would_give_comes_once():
    cycle = {"cycle": {"_target_": "treadle.features.transforms.Cyclic", "period": 24}}

    assert strip(a=(["hour", "x"], NUMBERS), b=(["hour"], cycle), c=(["hour"], IDS)) == {
        "a": (["hour", "x"], ["raw"]),
        "c": (["hour"], ["ids"]),
    }


def test_a_step_of_the_users_stays():
    own = {"raw": {"_target_": "my_package.Logarithm"}, **NUMBERS}

    assert strip(a=(["x"], own)) == {"a": (["x"], ["raw", "raw_"])}


def test_stripping_twice_changes_nothing():
    once = strip_features(Features.model_validate({"blocks": {"a": {"columns": ["x"], "steps": NUMBERS}}}))

    assert strip_features(once) == once


@pytest.mark.slow
def test_the_frozen_experiment_says_what_runs(root):
    trees = resolve(overrides=["model=lightgbm"], root=root).experiment
    network = resolve(overrides=["model=mlp"], root=root).experiment

    steps = [node["_target_"] for block in trees.features.blocks.values() for node in block.steps.values()]
    assert trees.features.is_raw
    assert set(steps) == {RAW, "treadle.features.categories.Vocabulary", "treadle.features.categories.Hashing"}
    assert trees.features.derive == network.features.derive
    assert not network.features.is_raw
