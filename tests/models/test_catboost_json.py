"""The JSON of trees may come from anybody: what CatBoost would not have written never reaches its reader."""

import copy
import json

import pytest

from estimators import CARDINALITIES, build_estimator, draw_rows, fit
from treadle.errors import TreadleError
from treadle.models.catboost_json import check_trees


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Splits by number, by name of a category, and by its statistics."""
    model = build_estimator("catboost", max_rounds=6, depth=4, one_hot_max_size=3)
    fit(model, draw_rows())
    file = tmp_path_factory.mktemp("trees") / "trees.json"
    model.save(file)
    return json.loads(file.read_text())


def check(values, *, num_outputs=1):
    check_trees(values, num_numeric=3, num_categories=len(CARDINALITIES), num_outputs=num_outputs)


def find_all(value, key):
    """Every object that has a key."""
    if isinstance(value, dict):
        if key in value:
            yield value
        value = list(value.values())
    for inner in value if isinstance(value, list) else ():
        yield from find_all(inner, key)


def test_what_catboost_writes_is_accepted_and_names_no_machine(saved):
    kinds = {split["split_type"] for split in find_all(saved, "split_type")}

    assert kinds == {"FloatFeature", "OneHotFeature", "OnlineCtr"}
    assert saved["model_info"] == {}
    check(saved)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("split_index", 4000),
        ("split_index", -1),
        ("split_type", "Other"),
        ("leaf_values", [0.0]),
        ("leaf_weights", [1.0]),
        ("splits", [{}] * 20),
        ("feature_index", 7),
        ("flat_feature_index", 0.0),
        ("borders", [2.0, 1.0]),
        ("borders", ["1"]),
        ("nan_value_treatment", "Foreign"),
        ("values", ["1"]),
        ("identifier", "other"),
        ("target_border_idx", 1),
        ("ctr_type", "FloatTargetMeanValue"),
        ("cat_feature_index", 5),
        ("hash_stride", 2),
        ("hash_stride", 0),
        ("hash_map", ["1", 2]),
        ("counter_denominator", -1),
        ("prior_numerator", None),
        ("scale_and_bias", [1, [0, 0]]),
        ("model_info", {"params": {}}),
    ],
)
def test_what_leads_outside_is_refused(saved, key, value):
    values = copy.deepcopy(saved)
    owner = [
        found
        for found in find_all(values, key)
        if key == "split_index" or "split_index" not in found or key == "split_type"
    ][-1]
    assert owner[key] != value or type(owner[key]) is not type(value)
    owner[key] = value

    with pytest.raises((ValueError, TypeError, LookupError)):
        check(values)


def test_trees_of_other_inputs_or_outputs_are_refused(saved):
    with pytest.raises(ValueError, match="3 numbers"):
        check_trees(saved, num_numeric=3, num_categories=0, num_outputs=1)
    with pytest.raises(ValueError, match="3 numbers"):
        check(saved, num_outputs=3)


def test_a_damaged_file_is_refused_in_one_line(saved, tmp_path):
    values = copy.deepcopy(saved)
    values["oblivious_trees"][0]["splits"][0]["split_index"] = 999
    (tmp_path / "trees.json").write_text(json.dumps(values))

    with pytest.raises(TreadleError, match=r"trees\.json holds no trees that can be read: tree 0: no such split"):
        build_estimator("catboost").load(tmp_path / "trees.json")
