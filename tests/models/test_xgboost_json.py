"""The JSON of trees may come from anybody: what XGBoost would not have written never reaches its reader."""

import copy
import json
import random
from contextlib import suppress

import pytest
import torch

from estimators import CARDINALITIES, build_estimator, draw_rows, fit
from treadle.errors import TreadleError
from treadle.models.xgboost_json import check_trees


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Splits by number and by category."""
    model = build_estimator("xgboost", max_rounds=3, max_depth=3, max_cat_to_onehot=1, monotone={"b": 1})
    fit(model, draw_rows())
    file = tmp_path_factory.mktemp("trees") / "trees.json"
    model.save(file)
    return json.loads(file.read_text())


def check(values):
    check_trees(values, num_numeric=3, vocabularies=CARDINALITIES, num_outputs=1)


def test_what_xgboost_writes_is_accepted(saved):
    assert any(tree["categories"] for tree in saved["learner"]["gradient_booster"]["model"]["trees"])

    check(saved)


@pytest.mark.parametrize("changes", [{"min_child_weight": 1e6}, {"gamma": 5.0}, {"grow_policy": "lossguide"}])
def test_trees_of_any_growth_travel(changes, tmp_path):
    rows = draw_rows(num_classes=3)
    model, other = (build_estimator("xgboost", num_classes=3, max_rounds=5, **changes) for _ in range(2))
    fit(model, rows, task="multiclass")
    model.save(tmp_path / "trees.json")

    other.load(tmp_path / "trees.json")

    assert torch.equal(other(rows.numeric, rows.ids), model(rows.numeric, rows.ids))


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("left_children", 4000, "child of one before it"),
        ("right_children", 1, "child of one before it"),
        ("parents", 3, "parents do not match"),
        ("split_indices", 9, "no such input"),
        ("split_type", 7, "split by value"),
        ("default_left", True, "must hold numbers"),
        ("split_conditions", "nan", "must hold numbers"),
        ("base_weights", 1e300, "no finite number"),
        ("categories_nodes", 6, "set for each split"),
        ("categories_segments", 1, "bounds of sets"),
        ("categories_sizes", 99, "bounds of sets"),
        ("categories", 1 << 23, "id that there is not"),
    ],
)
def test_a_tree_that_it_does_not_write_is_refused(saved, key, value, said):
    values = copy.deepcopy(saved)
    tree = next(tree for tree in values["learner"]["gradient_booster"]["model"]["trees"] if tree["categories"])
    tree[key][0] = value

    with pytest.raises(ValueError, match=said):
        check(values)


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        ("version", [9, 0, 0], "XGBoost 3"),
        ("learner.feature_types", ["q"] * 5, "3 numbers and 2 categories"),
        ("learner.learner_model_param.num_class", "3", "num_class"),
        ("learner.learner_model_param.base_score", "[1,2]", "base_score"),
        ("learner.objective.name", "rank:ndcg", "objective"),
        ("learner.gradient_booster.name", "dart", "trees"),
        ("learner.gradient_booster.model.tree_info", [0, 0, 1], "tree_info"),
        ("learner.gradient_booster.model.cats", {}, "cats"),
        ("learner.attributes", {"a": "b"}, "names"),
        ("learner", [], "an object"),
    ],
)
def test_a_model_that_it_does_not_write_is_refused(saved, path, value, said):
    values = copy.deepcopy(saved)
    *parents, last = path.split(".")
    node = values
    for parent in parents:
        node = node[parent]
    node[last] = value

    with pytest.raises(ValueError, match=said):
        check(values)


@pytest.mark.slow
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("seed", range(3))
def test_damage_anywhere_is_refused_or_harmless(saved, seed, tmp_path):
    """Bytes are replaced, cut and doubled: XGBoost's own reader could end the process."""
    draw = random.Random(seed)  # noqa: S311 - no secret
    rows, text = draw_rows(20), json.dumps(saved)
    for _ in range(100):
        place, length = draw.randrange(len(text)), draw.choice([1, 1, 2, 30])
        middle = draw.choice([draw.choice('0123456789-.e,"[]'), "", text[place : place + length] * 2])
        (tmp_path / "trees.json").write_text(text[:place] + middle + text[place + length :])
        model = build_estimator("xgboost")
        with suppress(TreadleError):
            model.load(tmp_path / "trees.json")
            assert model(rows.numeric, rows.ids).shape == (20, 1)
