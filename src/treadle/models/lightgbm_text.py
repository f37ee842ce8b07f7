"""LightGBM's text of trees, held against what LightGBM writes: its own reader follows whatever indices it finds."""

from __future__ import annotations

import re
from collections.abc import Mapping
from itertools import pairwise

import numpy as np

_NUMBER = r"-?\d{1,20}(?:\.\d{1,20})?(?:e[-+]\d{1,3})?"
_INFO = rf"(?:none|\[{_NUMBER}:{_NUMBER}\]|-?\d{{1,9}}(?::-?\d{{1,9}})*)"
_HEAD = re.compile(
    r"tree\nversion=v4\nnum_class=(?P<num_class>\d+)\nnum_tree_per_iteration=(?P<trees>\d+)\nlabel_index=0\n"
    r"max_feature_idx=(?P<last>\d+)\n"
    r"objective=(?:binary sigmoid:1|multiclass num_class:\d+|regression|quantile|huber|poisson|tweedie)\n"
    r"feature_names=(?P<names>[^\n]*)\n(?:monotone_constraints=(?P<directions>(?:-?[01] ?)*)\n)?"
    rf"feature_infos=(?P<infos>{_INFO}(?: {_INFO})*)\ntree_sizes=(?P<sizes>\d{{1,9}}(?: \d{{1,9}})*)\n\n"
)
END = "end of trees\n"
_FLOATS = re.compile(rf"(?:{_NUMBER}(?: {_NUMBER})*)?")
_THRESHOLDS = re.compile(rf"(?:(?:{_NUMBER}|inf)(?: (?:{_NUMBER}|inf))*)?")  # inf: missing numbers from all others
_INTEGERS = re.compile(r"(?:-?\d{1,10}(?: -?\d{1,10})*)?")
# Of a tree with n leaves: the arrays of n - 1 numbers, and those of n.
_OF_SPLITS = {
    **dict.fromkeys(("split_feature", "decision_type", "left_child", "right_child", "internal_count"), _INTEGERS),
    **dict.fromkeys(("split_gain", "internal_value", "internal_weight"), _FLOATS),
    "threshold": _THRESHOLDS,
}
_OF_LEAVES = {"leaf_value": _FLOATS, "leaf_weight": _FLOATS, "leaf_count": _INTEGERS}
_CATEGORICAL, _WORD_BITS, _MAX_DECISION = 1, 32, 15


def strip_trees(text: str) -> str:
    """The text of the trees alone, without the parameters of the training."""
    return text[: text.index(END) + len(END)]


def check_trees(text: str, *, num_numeric: int, num_ids: int, num_outputs: int) -> None:
    """Check the text of trees over so many inputs and outputs.

    Raises:
        ValueError: LightGBM would not have written it.
    """
    head = _HEAD.match(text)
    if head is None or not text.endswith(END):
        raise ValueError("the text does not begin or end as LightGBM's does")
    num_inputs = num_numeric + num_ids
    if (int(head["num_class"]), int(head["trees"])) != (num_outputs, num_outputs):
        raise ValueError(f"there must be {num_outputs} outputs, found {head['num_class']}")
    counts = [int(head["last"]) + 1, len(head["infos"].split(" "))]
    counts += [len(head["directions"].split(" "))] if head["directions"] else []
    names = " ".join(f"Column_{place}" for place in range(num_inputs))
    if any(count != num_inputs for count in counts) or head["names"] != names:
        raise ValueError(f"there must be {num_inputs} inputs, found {counts[0]}")
    start = head.end()
    sizes = [int(size) for size in head["sizes"].split()]
    if len(sizes) % num_outputs:
        raise ValueError(f"there must be as many trees for each of {num_outputs} outputs, found {len(sizes)}")
    for index, size in enumerate(sizes):
        _check_tree(text[start : start + size], index, num_numeric=num_numeric, num_inputs=num_inputs)
        start += size
    if text[start:] != END:
        raise ValueError("the sizes of the trees are not theirs")


def _check_tree(text: str, index: int, *, num_numeric: int, num_inputs: int) -> None:
    first, *lines = text.removesuffix("\n\n\n").split("\n")
    if first != f"Tree={index}" or not text.endswith("\n\n\n"):
        raise ValueError(f"expected tree {index}, found {first[:40]!r}")
    pairs = [line.partition("=")[::2] for line in lines]
    values = dict(pairs)
    if len(values) < len(pairs):
        raise ValueError(f"tree {index} holds a line twice")
    num_leaves, num_sets = (int(values.pop(name)) for name in ("num_leaves", "num_cat"))
    if values.pop("is_linear") != "0":
        raise ValueError(f"tree {index} has linear leaves")
    if not re.fullmatch(_NUMBER, values.pop("shrinkage")) or num_leaves < 1:
        raise ValueError(f"tree {index} has no number of leaves, or no shrinkage")
    sets = {"cat_boundaries": _INTEGERS, "cat_threshold": _INTEGERS} if num_sets else {}
    forms = {**_OF_SPLITS, **_OF_LEAVES, **sets}
    if values.keys() != forms.keys() or not all(form.fullmatch(values[name]) for name, form in forms.items()):
        raise ValueError(f"tree {index} must hold numbers for {sorted(forms)}, and nothing else")
    counts = {**dict.fromkeys(_OF_SPLITS, num_leaves - 1), **dict.fromkeys(_OF_LEAVES, num_leaves)}
    counts |= {"cat_boundaries": num_sets + 1} if num_sets else {}
    for name, count in counts.items():
        found = len(values[name].split())
        if found != count and not (num_leaves == 1 and name in ("leaf_weight", "leaf_count")):
            raise ValueError(f"tree {index}: {name} must hold {count} numbers, found {found}")
    _require_finite(values, index)
    if num_leaves > 1:
        _check_splits(values, index, num_leaves=num_leaves, num_numeric=num_numeric, num_inputs=num_inputs)
        _check_categories(values, index, num_sets=num_sets)


def _require_finite(values: Mapping[str, str], index: int) -> None:
    for name in (name for name in (*_OF_SPLITS, *_OF_LEAVES) if values[name]):
        found = np.array([word for word in values[name].split() if word != "inf"], dtype=np.float64)
        if not np.isfinite(found).all():
            raise ValueError(f"tree {index}: {name} holds what is no finite number")


def _check_splits(values: Mapping[str, str], index: int, *, num_leaves: int, num_numeric: int, num_inputs: int) -> None:
    """Each node but the root is the child of one that stands before it."""
    left, right, inputs, decisions = (
        [int(word) for word in values[name].split()]
        for name in ("left_child", "right_child", "split_feature", "decision_type")
    )
    children = sorted([*left, *right])
    if children != [*range(-num_leaves, 0), *range(1, num_leaves - 1)]:
        raise ValueError(f"tree {index}: each node must be the child of one other")
    if any(0 <= child <= node for side in (left, right) for node, child in enumerate(side)):
        raise ValueError(f"tree {index}: a node stands before its parent")
    for column, decision in zip(inputs, decisions, strict=True):
        if not (0 <= column < num_inputs and 0 <= decision <= _MAX_DECISION):
            raise ValueError(f"tree {index}: no input {column}, or no decision {decision}")
        if (column >= num_numeric) != bool(decision & _CATEGORICAL):
            raise ValueError(f"tree {index}: a number is split by value, a category by set")


def _check_categories(values: Mapping[str, str], index: int, *, num_sets: int) -> None:
    """Each split by set has one, and the sets are where their bounds say."""
    thresholds = np.array(values["threshold"].split(), dtype=np.float64)
    decisions = np.array(values["decision_type"].split(), dtype=np.int64)
    sets = thresholds[decisions & _CATEGORICAL == _CATEGORICAL]
    if sorted(sets.tolist()) != list(range(num_sets)):
        raise ValueError(f"tree {index}: there must be a set for each split by category")
    if not num_sets:
        return
    words = [int(word) for word in values["cat_threshold"].split()]
    bounds = [int(bound) for bound in values["cat_boundaries"].split()]
    if bounds[0] != 0 or bounds[-1] != len(words) or any(a >= b for a, b in pairwise(bounds)):
        raise ValueError(f"tree {index}: the bounds of sets must ascend to {len(words)}")
    if not all(0 <= word < 1 << _WORD_BITS for word in words):
        raise ValueError(f"tree {index}: a set holds what are no 32 bits")
