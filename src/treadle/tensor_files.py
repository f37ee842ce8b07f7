"""Tensors by name in a file of torch, which may be untrusted: no code runs, and nothing is decompressed."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from treadle.disk import replacing
from treadle.errors import TreadleError


def write_tensors(tensors: Mapping[str, Tensor], file: Path) -> None:
    """Write the tensors, each contiguous."""
    save_whole({name: tensor.contiguous() for name, tensor in tensors.items()}, file)


def save_whole(values: Any, file: Path) -> None:
    """`torch.save`, whole or not at all.

    Raises:
        OSError: it cannot be written, for instance since the disk is full.
    """
    with replacing(file) as partial, partial.open("wb") as stream:
        try:
            torch.save(values, stream)
        except RuntimeError as error:
            if isinstance(error.__context__, OSError):  # which torch reports as an error of its own
                raise error.__context__ from None
            raise


def read_tensors(file: Path) -> dict[str, Tensor]:
    """What `write_tensors` wrote: dense tensors in main memory, together no larger than the file.

    Raises:
        TreadleError: the file holds something else.
    """
    _require_plain_archive(file)
    try:
        found = torch.load(file, map_location="cpu", weights_only=True)
    except Exception as error:  # the reader of a hostile file may fail in any way
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise TreadleError(f"{file} holds no tensors that can be read: {reason[0]}") from error
    if not isinstance(found, dict):
        raise TreadleError(f"{file} must hold tensors by name, found {type(found).__name__}")
    for name, tensor in found.items():
        if not isinstance(name, str) or not isinstance(tensor, Tensor):
            raise TreadleError(f"{file} must hold tensors by name, found {name!r}: {type(tensor).__name__}")
        if not _is_plain(tensor):
            raise TreadleError(f"{file}: {name!r} must be a dense, contiguous tensor")
    return found


def _require_plain_archive(file: Path) -> None:
    """Refuse compressed records: one may become a thousand times as large."""
    try:
        with zipfile.ZipFile(file) as archive:
            records = archive.infolist()
    except Exception as error:  # the reader of a hostile file may fail in any way
        raise TreadleError(f"{file} is no archive of tensors: {error}") from error
    packed = any(record.compress_type != zipfile.ZIP_STORED for record in records)
    if packed or sum(record.file_size for record in records) > file.stat().st_size:
        raise TreadleError(f"{file} must hold its records without compression")


def _is_plain(tensor: Tensor) -> bool:
    dense = tensor.layout == torch.strided and tensor.device.type == "cpu" and not tensor.is_quantized
    return dense and not tensor.is_complex() and tensor.is_contiguous()


def require_same(tensors: Mapping[str, Tensor], wanted: Mapping[str, Tensor], *, file: Path) -> None:
    """The same names, each with the same shape and type.

    Raises:
        TreadleError: with the first that differs.
    """
    for name in [*(name for name in wanted if name not in tensors), *(name for name in tensors if name not in wanted)]:
        verb = "lacks" if name in wanted else "must not hold"
        raise TreadleError(f"{file} {verb} {name!r}: its weights are those of another network")
    for name, tensor in tensors.items():
        if (tensor.shape, tensor.dtype) != (wanted[name].shape, wanted[name].dtype):
            raise TreadleError(f"{file}: {name!r} must be {_describe(wanted[name])}, found {_describe(tensor)}")


def _describe(tensor: Tensor) -> str:
    return f"{list(tensor.shape)} of {str(tensor.dtype).removeprefix('torch.')}"
