"""XGBoost's JSON of trees, held against what XGBoost writes: its own reader follows whatever indices it finds."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

import numpy as np

MAJOR = 3  # version that the JSON is of
_NO_PARENT = (1 << 31) - 1
_SCORE = r"-?\d{1,20}(?:\.\d{1,20})?(?:E-?\d{1,2})?"
_NUMBER = re.compile(r"[\[\]\d.eE+-]{1,40}")
_OBJECTIVES = {  # and the parameters that each has
    "binary:logistic": "reg_loss_param",
    "multi:softprob": "softmax_multiclass_param",
    "reg:squarederror": "reg_loss_param",
    "reg:quantileerror": "quantile_loss_param",
    "reg:pseudohubererror": "pseudo_huber_param",
    "count:poisson": "poisson_regression_param",
    "reg:tweedie": "tweedie_regression_param",
}
_NO_NAMES: dict[str, list[Any]] = {"enc": [], "feature_segments": [], "sorted_idx": []}  # of categories
_MODEL_KEYS = ("cats", "gbtree_model_param", "iteration_indptr", "tree_info", "trees")
_FLOATS = ("base_weights", "loss_changes", "split_conditions", "sum_hessian")
_INTEGERS = ("default_left", "left_children", "right_children", "parents", "split_indices", "split_type")
_SETS = ("categories", "categories_nodes", "categories_segments", "categories_sizes")


def check_trees(values: Any, *, num_numeric: int, vocabularies: Sequence[int], num_outputs: int) -> None:
    """Check the values of the JSON of trees over so many inputs and outputs.

    Raises:
        ValueError: XGBoost would not have written them.
    """
    learner = _take(values, "learner", "version")["learner"]
    version = values["version"]
    if not isinstance(version, list) or not all(type(part) is int for part in version) or version[:1] != [MAJOR]:
        raise ValueError(f"there must be trees of XGBoost {MAJOR}, found version {version}")
    num_inputs = num_numeric + len(vocabularies)
    _take(
        learner,
        "attributes",
        "feature_names",
        "feature_types",
        "gradient_booster",
        "learner_model_param",
        "objective",
    )
    if learner["feature_types"] != [*["q"] * num_numeric, *["c"] * len(vocabularies)]:
        raise ValueError(f"there must be {num_numeric} numbers and {len(vocabularies)} categories")
    _require("names of inputs", [learner["attributes"], learner["feature_names"]], [{}, []])
    _check_model(learner["learner_model_param"], num_inputs=num_inputs, num_outputs=num_outputs)
    _check_objective(learner["objective"])
    model = _take(_take(learner["gradient_booster"], "model", "name")["model"], *_MODEL_KEYS)
    trees = model["trees"]
    if learner["gradient_booster"]["name"] != "gbtree" or not isinstance(trees, list) or len(trees) % num_outputs:
        raise ValueError(f"there must be as many trees for each of {num_outputs} outputs")
    _require("cats", model["cats"], _NO_NAMES)
    _require("num_trees", model["gbtree_model_param"], {"num_parallel_tree": "1", "num_trees": str(len(trees))})
    _require("iteration_indptr", model["iteration_indptr"], list(range(0, len(trees) + 1, num_outputs)))
    _require("tree_info", model["tree_info"], list(range(num_outputs)) * (len(trees) // num_outputs))
    for index, tree in enumerate(trees):
        _check_tree(tree, index, num_numeric=num_numeric, vocabularies=vocabularies)


def _take(values: Any, *keys: str) -> dict[str, Any]:
    """An object of these names."""
    if not isinstance(values, dict) or values.keys() != set(keys):
        raise ValueError(f"there must be an object of {sorted(keys)}")
    return values


def _require(name: str, found: Any, expected: Any) -> None:
    """The same values, of the same types: 1.0 and true are no 1."""
    if found != expected or repr(found) != repr(expected):
        raise ValueError(f"{name} is not as expected")


def _check_model(found: Any, *, num_inputs: int, num_outputs: int) -> None:
    _take(found, "base_score", "boost_from_average", "num_class", "num_feature", "num_target")
    num_classes = num_outputs if num_outputs > 1 else 0
    sizes = {"boost_from_average": "1", "num_class": str(num_classes), "num_feature": str(num_inputs)}
    for key, size in {**sizes, "num_target": "1"}.items():
        if found[key] != size:
            raise ValueError(f"{key} must be {size}")
    score = rf"\[{_SCORE}(?:,{_SCORE}){{{num_outputs - 1}}}\]"
    if not isinstance(found["base_score"], str) or not re.fullmatch(score, found["base_score"]):
        raise ValueError(f"base_score must be {num_outputs} numbers")


def _check_objective(found: Any) -> None:
    name = found.get("name") if isinstance(found, dict) else None
    if name not in _OBJECTIVES:
        raise ValueError(f"the objective must be one of {', '.join(_OBJECTIVES)}")
    parameters = _take(found, "name", _OBJECTIVES[name])[_OBJECTIVES[name]]
    if not isinstance(parameters, dict) or not all(
        isinstance(value, str) and _NUMBER.fullmatch(value) for value in parameters.values()
    ):
        raise ValueError("the parameters of the objective must be numbers")


def _check_tree(tree: Any, index: int, *, num_numeric: int, vocabularies: Sequence[int]) -> None:
    _take(tree, *_FLOATS, *_INTEGERS, *_SETS, "id", "tree_param")
    size = len(tree["parents"]) if isinstance(tree["parents"], list) else 0
    num_inputs = num_numeric + len(vocabularies)
    param = {"num_deleted": "0", "num_feature": str(num_inputs), "num_nodes": str(size), "size_leaf_vector": "1"}
    if not size or tree["tree_param"] != param or tree["id"] != index:
        raise ValueError(f"tree {index}: its number, or that of its nodes or inputs, is wrong")
    for name in (*_FLOATS, *_INTEGERS, *_SETS):
        kinds = (float, int) if name in _FLOATS else (int,)
        found = tree[name]
        if not isinstance(found, list) or not all(type(value) in kinds for value in found):
            raise ValueError(f"tree {index}: {name} must hold numbers")
        if name not in _SETS and len(found) != size:
            raise ValueError(f"tree {index}: {name} must hold {size} numbers, found {len(found)}")
    if not all((np.abs(np.array(tree[name], dtype=np.float64)) <= np.finfo(np.float32).max).all() for name in _FLOATS):
        raise ValueError(f"tree {index} holds what is no finite number")
    _check_nodes(tree, index, size=size)
    _check_splits(tree, index, num_numeric=num_numeric, vocabularies=vocabularies)


def _check_nodes(tree: Mapping[str, list[int]], index: int, *, size: int) -> None:
    """Each node but the root is the child of one that stands before it."""
    pairs = list(zip(tree["left_children"], tree["right_children"], strict=True))
    places = sorted((child, node) for node, pair in enumerate(pairs) if pair != (-1, -1) for child in pair)
    if [child for child, _ in places] != list(range(1, size)) or any(child <= node for child, node in places):
        raise ValueError(f"tree {index}: each node must be the child of one before it")
    if tree["parents"] != [_NO_PARENT, *(node for _, node in places)]:
        raise ValueError(f"tree {index}: parents do not match children")


def _check_splits(tree: Mapping[str, list[int]], index: int, *, num_numeric: int, vocabularies: Sequence[int]) -> None:
    """A number is split by value, a category by one of the sets."""
    columns, kinds = tree["split_indices"], tree["split_type"]
    inner = [node for node, child in enumerate(tree["left_children"]) if child != -1]
    if not all(0 <= column < num_numeric + len(vocabularies) for column in columns):
        raise ValueError(f"tree {index}: no such input")
    if not {*kinds, *tree["default_left"]} <= {0, 1} or any(
        (columns[node] >= num_numeric) != bool(kinds[node]) for node in inner
    ):
        raise ValueError(f"tree {index}: a number is split by value, a category by set")
    sizes, sets = tree["categories_sizes"], tree["categories"]
    if tree["categories_nodes"] != [node for node, kind in enumerate(kinds) if kind]:
        raise ValueError(f"tree {index}: there must be a set for each split by category")
    bounds = list(accumulate(sizes, initial=0))
    if any(size < 1 for size in sizes) or (tree["categories_segments"], len(sets)) != (bounds[:-1], bounds[-1]):
        raise ValueError(f"tree {index}: the bounds of sets are not theirs")
    for node, (start, end) in zip(tree["categories_nodes"], pairwise(bounds), strict=True):
        cardinality = vocabularies[columns[node] - num_numeric] if columns[node] >= num_numeric else 0
        if not all(0 <= category < cardinality for category in sets[start:end]):
            raise ValueError(f"tree {index}: a set holds an id that there is not")
