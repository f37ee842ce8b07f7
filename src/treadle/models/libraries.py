"""The door to `tabm` and `rtdl_num_embeddings`: their import takes a third of the time without scikit-learn.

`rtdl_num_embeddings` does without scikit-learn where it is absent, and needs it only for bins by decision trees, which
no model here has. Whoever calls that function gets it then.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

TREES = "sklearn.tree"


class _Later:
    """A module that is imported when something of it is wanted."""

    def __getattr__(self, name: str) -> Any:
        return getattr(import_module(TREES), name)


@contextmanager
def _without_trees() -> Iterator[None]:
    if TREES in sys.modules:
        yield
        return
    sys.modules[TREES] = None  # type: ignore[assignment]  # Python's mark of what cannot be imported
    try:
        yield
    finally:
        del sys.modules[TREES]


with _without_trees():
    import rtdl_num_embeddings
    import tabm
    from rtdl_num_embeddings import PeriodicEmbeddings, PiecewiseLinearEmbeddings

if rtdl_num_embeddings.sklearn_tree is None:
    rtdl_num_embeddings.sklearn_tree = _Later()

__all__ = ["PeriodicEmbeddings", "PiecewiseLinearEmbeddings", "tabm"]
