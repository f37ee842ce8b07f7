"""What every fitted transform is: columns in, columns out, state in buffers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

import polars as pl
import torch
from torch import Tensor, nn


class Transform(nn.Module):
    """A step over numbers: `[B, n] -> [B, m]`, n = number of `columns`, m = number of `outputs`.

    NaN means "missing". What `fit` learns stands in buffers, so that it travels with the weights; until then they
    are empty.
    """

    def __init__(self, *, columns: Sequence[str]) -> None:
        super().__init__()
        self.columns = list(columns)

    @property
    def outputs(self) -> list[str]:
        """Names of the columns that come out."""
        return self.columns

    def fit(self, values: Tensor) -> None:
        """Learn from the training split, `[B, n]`."""

    def learn(self, **state: Tensor) -> None:
        """Keep learned tensors under their names."""
        for name, value in state.items():
            setattr(self, name, value)

    def _load_from_state_dict(self, state_dict: Mapping[str, Any], prefix: str, *args: Any) -> None:
        # The sizes of buffers come from the data, so they are taken from the saved state.
        for name in dict(self.named_buffers(recurse=False)):
            if prefix + name in state_dict:
                setattr(self, name, torch.empty_like(state_dict[prefix + name]))
        super()._load_from_state_dict(state_dict, prefix, *args)


class Chain(nn.ModuleDict):
    """Transforms by name, in order; each takes the outputs of the one before."""

    @property
    def steps(self) -> dict[str, Transform]:
        """The transforms."""
        return cast("dict[str, Transform]", dict(self.items()))

    @property
    def outputs(self) -> list[str]:
        """Names of the columns that the last one gives."""
        return list(self.steps.values())[-1].outputs if len(self) else []

    def forward(self, values: Tensor) -> Tensor:
        """`[B, n] -> [B, m]`."""
        for step in self.steps.values():
            values = step(values)
        return values


class Encoder:
    """A first step over any column: `[B] values -> [B] ids`; 0 is "unknown or missing", `cardinality` ids in all.

    It works on Polars, since texts cannot enter a tensor; its state is plain values in the bundle's JSON.
    """

    def __init__(self, *, columns: Sequence[str]) -> None:
        self.columns = list(columns)

    def fit(self, frame: pl.DataFrame) -> None:
        """Learn from the training split."""

    def cardinality(self, column: str) -> int:
        """Number of different ids, 0 included."""
        raise NotImplementedError

    def encode(self, frame: pl.DataFrame) -> Tensor:
        """Ids of the rows: `[B, n]` int64."""
        raise NotImplementedError

    def get_state(self) -> dict[str, Any]:
        """Plain values that `set_state` takes."""
        return {}

    def set_state(self, state: Mapping[str, Any]) -> None:
        """Take what `get_state` gave."""
