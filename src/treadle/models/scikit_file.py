"""The file of a scikit-learn estimator, as skops writes it: plain arrays and a description, no pickle.

skops builds only types that are known to be harmless, or named by its reader. Code that is compiled trusts its arrays
beyond that: a tree whose child is its parent never ends, one whose column does not exist reads foreign memory. So each
node of each tree is held against the others, and against the number of inputs, before a row is predicted.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from treadle.errors import TreadleError
from treadle.json_files import read_limited
from treadle.models.estimator import import_library

MAX_BYTES = 1 << 30
_SCHEMA = "schema.json"
_TIME = (1980, 1, 1, 0, 0, 0)  # of each entry: a moment would make two equal estimators two files
_UNSET = "missing_go_to_left"
LEAF = -1  # in place of a child of scikit-learn's trees


def dump(estimator: Any) -> bytes:
    """The bytes of an estimator: the same for two that are the same.

    skops names each object by its place in memory; here each is named by its place in the description.
    """
    skops = import_library("skops.io", extra="sklearn")
    with zipfile.ZipFile(io.BytesIO(skops.dumps(estimator))) as archive:
        schema = json.loads(archive.read(_SCHEMA))
        names = _rename(schema)
        content = {new: _clean(archive.read(old)) for old, new in names.items()}
    content[_SCHEMA] = json.dumps(schema, indent=1).encode()
    written = io.BytesIO()
    with zipfile.ZipFile(written, "w", zipfile.ZIP_STORED) as archive:
        for name, data in content.items():
            archive.writestr(zipfile.ZipInfo(name, _TIME), data)
    return written.getvalue()


def _clean(data: bytes) -> bytes:
    """An array of records without what memory held between its fields, and in one that a leaf leaves unset."""
    found = np.load(io.BytesIO(data), allow_pickle=False)
    if found.dtype.names is None:
        return data
    clean = np.zeros(found.shape, found.dtype)  # `zeros_like` would zero the fields alone
    for name in found.dtype.names:
        clean[name] = found[name]
    if {"left_child", _UNSET} <= set(found.dtype.names):
        clean[_UNSET][clean["left_child"] == LEAF] = 0
    written = io.BytesIO()
    np.lib.format.write_array_header_1_0(written, np.lib.format.header_data_from_array_1_0(clean))
    written.write(clean.tobytes())  # `np.save` copies records by way of a buffer, and with it what that holds
    return written.getvalue()


def _rename(schema: dict[str, Any]) -> dict[str, str]:
    """Number objects and files in the order in which they come; returns the new name of each file."""
    numbers: dict[Any, int] = {}
    files: dict[str, str] = {}
    for count, node in enumerate(_walk(schema)):
        if "__id__" in node:  # a plain value is nobody's: which of them are one object depends on the interpreter
            key = count if node.get("is_json") else ("object", node["__id__"])
            node["__id__"] = numbers.setdefault(key, len(numbers))
        if "file" in node:
            node["file"] = files.setdefault(node["file"], f"{len(files)}{Path(node['file']).suffix}")
    return files


def _walk(value: Any) -> Iterator[dict[str, Any]]:
    """Every object of a description, outer ones first."""
    if isinstance(value, dict):
        yield value
    for inner in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from _walk(inner)


def read(file: Path, *, trusted: Sequence[str], num_inputs: int) -> Any:
    """The estimator of a file, from whoever it comes.

    Args:
        file: as `dump` writes it.
        trusted: dotted paths of types that are built, beyond those that skops knows to be harmless.
        num_inputs: columns of the matrix that it is to be given.

    Raises:
        TreadleError: it holds something else.
    """
    data = read_limited(file, max_bytes=MAX_BYTES)
    skops = import_library("skops.io", extra="sklearn")
    try:
        _require_plain(data)
        found = skops.loads(data, trusted=list(trusted))
        _require_inputs(found, num_inputs)
        for tree in _list_trees(found):
            _check_tree(tree, num_inputs=num_inputs)
    except Exception as error:  # of a damaged file skops raises whatever its parts do
        lines = str(error).splitlines() or [type(error).__name__]
        raise TreadleError(f"{file} holds no estimator that can be read: {lines[0]}") from error
    return found


def _require_plain(data: bytes) -> None:
    """Nothing is compressed, so that the file's size limits what is read."""
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("an entry is compressed")
        if sum(entry.file_size for entry in archive.infolist()) > len(data):
            raise ValueError("its entries are larger than the file")


def _require_inputs(estimator: Any, num_inputs: int) -> None:
    found = getattr(estimator, "n_features_in_", None)
    if found != num_inputs:
        raise ValueError(f"it takes {found} inputs, not {num_inputs}")


def _list_trees(estimator: Any) -> Iterator[Any]:
    """The trees of an estimator, those of `sklearn.tree` and those of boosting by histograms."""
    if hasattr(estimator, "_predictors"):
        mapper = estimator._bin_mapper  # noqa: SLF001 - no public name leads to the nodes
        if estimator._preprocessor is not None or np.any(mapper.is_categorical_):  # noqa: SLF001
            raise ValueError("it encodes categories itself")
        yield from (tree for trees in estimator._predictors for tree in trees)  # noqa: SLF001
        return
    members = getattr(estimator, "estimators_", None)
    yield from (member.tree_ for member in (members if members is not None else [estimator]) if _has_tree(member))


def _has_tree(member: Any) -> bool:
    return hasattr(member, "tree_")


def _check_tree(tree: Any, *, num_inputs: int) -> None:
    """Each child comes after its parent, and each split reads an input that there is."""
    if hasattr(tree, "nodes"):
        nodes = tree.nodes
        inner = nodes[nodes["is_leaf"] == 0]
        is_inner = nodes["is_leaf"] == 0
        left, right, columns = (nodes[name][is_inner].astype(np.int64) for name in ("left", "right", "feature_idx"))
        if nodes.ndim != 1 or inner["is_categorical"].any():
            raise ValueError("a split by categories")
    else:
        if tree.n_features != num_inputs:
            raise ValueError(f"a tree takes {tree.n_features} inputs, not {num_inputs}")
        is_inner = tree.children_left != LEAF
        left, right, columns = (
            values[is_inner].astype(np.int64) for values in (tree.children_left, tree.children_right, tree.feature)
        )
    count, own = len(is_inner), np.flatnonzero(is_inner)
    if not count:
        raise ValueError("a tree has no node")
    for children in (left, right):
        if ((children <= own) | (children >= count)).any():
            raise ValueError("a child that is not after its parent")
    if ((columns < 0) | (columns >= num_inputs)).any():
        raise ValueError(f"a split by an input that is not one of {num_inputs}")
