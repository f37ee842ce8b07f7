"""The random generators that a process has: those of torch, NumPy and Python."""

from __future__ import annotations

import random

import numpy as np
import torch

_LARGEST = 2**32  # seeds of NumPy are below it


def seed_generators(seed: int) -> None:
    """Begin all of them anew. Treadle itself draws from torch's alone, a component of one's own perhaps from others."""
    torch.manual_seed(seed)
    np.random.seed(seed % _LARGEST)  # noqa: NPY002 - the one that a library draws from where it is given none
    random.seed(seed)
