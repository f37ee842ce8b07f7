"""CatBoost's JSON of trees, held against what CatBoost writes: its own reader follows whatever indices it finds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

_FEATURES = ("float_features", "categorical_features")
_NUMBER = {"borders", "feature_id", "feature_index", "flat_feature_index", "has_nans", "nan_value_treatment"}
_CATEGORY = {"feature_id", "feature_index", "flat_feature_index"}  # and `values`, where it is asked for by name
_NANS = ("AsIs", "AsFalse", "AsTrue")
_STATISTIC = {
    "borders",
    "ctr_type",
    "elements",
    "identifier",
    "prior_denomerator",
    "prior_numerator",
    "scale",
    "shift",
    "target_border_idx",
}
_TABLE = {"counter_denominator", "hash_map", "hash_stride"}
_KINDS = {"OnlineCtr", "FloatFeature", "OneHotFeature"}
MAX_DEPTH = 16


def check_trees(values: Any, *, num_numeric: int, num_categories: int, num_outputs: int) -> None:
    """Check the values of the JSON of trees over so many inputs and outputs.

    Raises:
        ValueError: CatBoost would not have written them.
    """
    if not isinstance(values, dict) or not {"features_info", "model_info", "oblivious_trees", "scale_and_bias"} <= (
        values.keys()
    ):
        raise ValueError("there must be trees of CatBoost")
    if values.keys() - {"ctr_data", "features_info", "model_info", "oblivious_trees", "scale_and_bias"}:
        raise ValueError("there is more than trees")
    if values["model_info"] != {}:
        raise ValueError("model_info must be empty")
    features = values["features_info"]
    if not isinstance(features, dict) or features.keys() - {*_FEATURES, "ctrs"}:
        raise ValueError("features_info must be an object of numbers, categories and their statistics")
    numbers, categories = (features.get(name, []) for name in _FEATURES)
    if len(numbers) != num_numeric or len(categories) != num_categories:
        raise ValueError(f"there must be {num_numeric} numbers and {num_categories} categories")
    splits = sum(_check_number(found, index) for index, found in enumerate(numbers))
    splits += sum(_check_category(found, index, num_numeric=num_numeric) for index, found in enumerate(categories))
    tables = values.get("ctr_data", {})
    widths = {name: _check_table(table, num_outputs=num_outputs) for name, table in tables.items()}
    sizes = (num_numeric, num_categories)
    splits += sum(_check_statistic(found, widths, sizes=sizes) for found in features.get("ctrs", []))
    scale, bias = values["scale_and_bias"]
    if scale != 1 or not _are_finite(bias) or len(bias) != num_outputs:
        raise ValueError(f"scale_and_bias must be 1 and {num_outputs} numbers")
    for index, tree in enumerate(values["oblivious_trees"]):
        _check_tree(tree, index, num_splits=splits, num_outputs=num_outputs)


def _are_finite(found: Any) -> bool:
    """Whether it is a list of numbers, none of them infinite."""
    return isinstance(found, list) and all(type(value) in (int, float) and math.isfinite(value) for value in found)


def _check_borders(found: Any) -> int:
    """Bounds rise; returns how many there are."""
    if not _are_finite(found) or any(low >= high for low, high in pairwise(found)):
        raise ValueError("borders must be numbers that rise")
    return len(found)


def _require_index(found: Mapping[str, Any], **expected: int) -> None:
    if any(type(found[name]) is not int or found[name] != value for name, value in expected.items()):
        raise ValueError("the inputs are not in their order")
    if found["feature_id"] != "":
        raise ValueError("an input has a name")


def _check_number(found: Any, index: int) -> int:
    if found.keys() != _NUMBER or type(found["has_nans"]) is not bool or found["nan_value_treatment"] not in _NANS:
        raise ValueError(f"number {index} is not as CatBoost describes one")
    _require_index(found, feature_index=index, flat_feature_index=index)
    return _check_borders(found["borders"])


def _check_category(found: Any, index: int, *, num_numeric: int) -> int:
    if found.keys() - {"values"} != _CATEGORY:
        raise ValueError(f"category {index} is not as CatBoost describes one")
    _require_index(found, feature_index=index, flat_feature_index=num_numeric + index)
    values = found.get("values", [])
    if not isinstance(values, list) or not all(type(value) is int and -(2**31) <= value < 2**32 for value in values):
        raise ValueError(f"category {index}: values must be hashes")
    return len(values)


def _check_table(found: Any, *, num_outputs: int) -> int:
    """Rows of a hash and some counts; returns the width of a row."""
    if not isinstance(found, dict) or found.keys() != _TABLE:
        raise ValueError("a table of statistics is not as CatBoost writes one")
    width, entries, denominator = found["hash_stride"], found["hash_map"], found["counter_denominator"]
    if type(width) is not int or width not in range(2, 2 + max(2, num_outputs)):
        raise ValueError("hash_stride is not the width of a table")
    if type(denominator) is not int or not 0 <= denominator < 2**31:
        raise ValueError("counter_denominator must be a count")
    if not isinstance(entries, list) or len(entries) % width:
        raise ValueError("a table of statistics has an incomplete row")
    for place, value in enumerate(entries):
        is_hash = place % width == 0
        if is_hash and not (isinstance(value, str) and value.isascii() and value.isdigit() and int(value) < 2**64):
            raise ValueError("a table of statistics has a row without a hash")
        if not is_hash and not (type(value) is int and 0 <= value < 2**31):
            raise ValueError("a table of statistics has a count that is none")
    return width


def _check_statistic(found: Any, widths: Mapping[str, int], *, sizes: tuple[int, int]) -> int:
    """A statistic of a table; returns the number of its bounds."""
    if found.keys() != _STATISTIC or found["identifier"] not in widths:
        raise ValueError("a statistic has no table")
    width, kind, border = widths[found["identifier"]], found["ctr_type"], found["target_border_idx"]
    allowed = {"Borders": width - 2, "Counter": 1 if width == 2 else 0}.get(kind, 0)  # noqa: PLR2004 - hash and count
    if type(border) is not int or not 0 <= border < allowed:
        raise ValueError("a statistic reads what its table does not have")
    if json.loads(found["identifier"]) != {"identifier": found["elements"], "type": kind}:
        raise ValueError("a statistic is not that of its table")
    if not _are_finite([found[name] for name in ("prior_denomerator", "prior_numerator", "scale", "shift")]):
        raise ValueError("a statistic must be made of numbers")
    if not found["elements"]:
        raise ValueError("a statistic of nothing")
    for element in found["elements"]:
        _check_element(element, sizes=sizes)
    return _check_borders(found["borders"])


def _check_element(found: Any, *, sizes: tuple[int, int]) -> None:
    """A category by itself, or one that is joined with a condition."""
    keys = {
        "cat_feature_value": ("cat_feature_index",),
        "cat_feature_exact_value": ("cat_feature_index", "value"),
        "float_feature": ("float_feature_index", "border"),
    }.get(found["combination_element"], ())
    if found.keys() != {"combination_element", *keys} or not _are_finite([found[key] for key in keys[1:]]):
        raise ValueError("a combination of categories is not as CatBoost writes one")
    index, size = found[keys[0]], sizes["cat" in keys[0]]
    if type(index) is not int or not 0 <= index < size:
        raise ValueError("a combination of categories reads an input that there is not")


def _check_tree(found: Any, index: int, *, num_splits: int, num_outputs: int) -> None:
    if not isinstance(found, dict) or found.keys() - {"leaf_weights"} != {"leaf_values", "splits"}:
        raise ValueError(f"tree {index} is not as CatBoost writes one")
    splits = found["splits"] or []
    if not isinstance(splits, list) or len(splits) > MAX_DEPTH:
        raise ValueError(f"tree {index} is deeper than {MAX_DEPTH}")
    for split in splits:
        place = split.get("split_index")
        if split.get("split_type") not in _KINDS or type(place) is not int or not 0 <= place < num_splits:
            raise ValueError(f"tree {index}: no such split")
    leaves = 1 << len(splits)
    if not _are_finite(found["leaf_values"]) or len(found["leaf_values"]) != leaves * num_outputs:
        raise ValueError(f"tree {index} must have {leaves * num_outputs} values")
    weights = found.get("leaf_weights", [])
    if not _are_finite(weights) or len(weights) not in (0, leaves):
        raise ValueError(f"tree {index} must have {leaves} weights")
