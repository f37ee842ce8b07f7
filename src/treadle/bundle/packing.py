"""Weights in 8 bits: a whole number from -127 to 127 for each, and a scale in 32 bits for each row of a matrix.

A file of them is about a quarter as large. They are unpacked when a bundle is loaded, so that it computes in 32 bits as
any other: what was rounded are its weights.

Source: "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-Only Inference",
arXiv 1712.05877, of which this is the symmetric storage by channel, without the integer arithmetic.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from torch import Tensor

from treadle.errors import TreadleError

LEAST_ROW = 8  # numbers that share a scale: with fewer, hardly anything is saved
_SCALE = "scale:"  # before the name of the weights that it belongs to
_LIMIT = 127  # symmetric, so that 0 stays 0


def list_packable(tensors: Mapping[str, Tensor], *, parameters: Collection[str]) -> list[str]:
    """The names of the weights that `pack` packs: matrices in float32. A buffer, such as the edge of a bin, stays."""
    return [
        name
        for name, tensor in tensors.items()
        if name in parameters and tensor.dtype == torch.float32 and tensor.ndim > 1 and tensor.shape[-1] >= LEAST_ROW
    ]


def pack(tensors: Mapping[str, Tensor], *, parameters: Collection[str]) -> dict[str, Tensor]:
    """The tensors with their matrices as int8 of the same shape, each with its scales `[…, 1]` beside it."""
    packed = dict(tensors)
    for name in list_packable(tensors, parameters=parameters):
        weights = tensors[name]
        scale = weights.abs().amax(dim=-1, keepdim=True) / _LIMIT
        steps = weights / torch.where(scale > 0, scale, 1.0)
        packed[name] = steps.round().clamp(-_LIMIT, _LIMIT).to(torch.int8)
        packed[_SCALE + name] = scale
    return packed


def unpack(tensors: Mapping[str, Tensor], *, file: Path) -> dict[str, Tensor]:
    """What `pack` packed, rounded.

    Raises:
        TreadleError: scales do not fit the weights that they are named after.
    """
    found = {name: tensor for name, tensor in tensors.items() if not name.startswith(_SCALE)}
    for key, scale in tensors.items():
        if not key.startswith(_SCALE):
            continue
        name = key.removeprefix(_SCALE)
        steps = found.get(name)
        if steps is None or steps.dtype != torch.int8 or scale.dtype != torch.float32:
            raise TreadleError(f"{file}: {key!r} must be float32, beside {name!r} in int8")
        if not steps.ndim or scale.shape != (*steps.shape[:-1], 1):
            raise TreadleError(f"{file}: {key!r} must have a scale for each row of {name!r}")
        found[name] = steps * scale
    return found
