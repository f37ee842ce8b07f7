"""Rows as libraries of trees take them: one matrix, its labels, and the direction of each of its columns."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from treadle.schema import Batch


def join_inputs(numeric: Tensor, ids: Tensor) -> Tensor:
    """One matrix `[B, N + C]` float32, the ids behind the numbers."""
    return torch.cat([numeric, ids.float()], dim=1)


def read_labels(rows: Batch, *, num_outputs: int) -> np.ndarray:
    """Targets `[B]` as a library takes them; a class that training has not seen counts as the first one."""
    return (rows.target.clamp(min=0) if num_outputs > 1 else rows.target).numpy()


def list_directions(monotone: Mapping[str, int], *, numeric_columns: Sequence[str], num_ids: int) -> list[int]:
    """The direction of each input of `join_inputs`: that of a number's column, 0 where it has none."""
    return [*(monotone.get(column, 0) for column in numeric_columns), *[0] * num_ids]
