"""Limits while a bundle's network is built: the file of its weights determines how large it may be."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_module_registration_hook
from torch.overrides import TorchFunctionMode

from treadle.errors import TreadleError

# A network makes more than it keeps: first values that are drawn elsewhere, tensors that the state leaves out.
SLACK = 4  # times what the weights hold
SPARE_NUMBERS = 1 << 20
SPARE_PARTS = 2_000  # modules, and tensors that are made
NUMBERS_A_PART = 16  # of large weights, which may be drawn in small pieces


@contextmanager
def limit_building(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse more parameters, modules or operations than these weights need, before they are allocated.

    Raises:
        TreadleError: the network is larger than its weights.
    """
    numbers = sum(tensor.numel() for tensor in weights.values())
    allowance = _Allowance(
        numbers=SLACK * numbers + SPARE_NUMBERS,
        parts=20 * len(weights) + numbers // NUMBERS_A_PART + SPARE_PARTS,
    )

    def count_module(*_: Any) -> None:
        allowance.take(parts=1)

    hook = register_module_module_registration_hook(count_module)
    try:
        with allowance:
            yield
    finally:
        hook.remove()


class _Allowance(TorchFunctionMode):
    """Counts what calls allocate; for those that allocate by argument, the size is computed first."""

    def __init__(self, *, numbers: int, parts: int) -> None:
        super().__init__()
        self.numbers = numbers
        self.parts = parts

    def take(self, *, numbers: int = 0, parts: int = 0) -> None:
        self.numbers -= numbers
        self.parts -= parts
        if self.numbers < 0 or self.parts < 0:
            raise TreadleError("model: the network is larger than the weights of the bundle")

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in _FACTORIES:
            self.take(numbers=_FACTORIES[func](*args, **kwargs), parts=1)
            return func(*args, **kwargs)
        made = func(*args, **kwargs)
        if isinstance(made, Tensor):
            self.take(numbers=made.numel() if _is_fresh(made, [*args, *kwargs.values()]) else 0, parts=1)
        return made


def _is_fresh(made: Tensor, given: list[Any]) -> bool:
    """Whether it has memory of its own: neither one of the arguments nor a view of one."""
    places = [value.untyped_storage().data_ptr() for value in given if isinstance(value, Tensor)]
    return made.untyped_storage().data_ptr() not in places


def _of_shape(*size: Any, **named: Any) -> int:
    """`empty(2, 3)`, `empty((2, 3))`, `full((2, 3), 0.0)`, `randint(0, 9, (2, 3))`, `tensor.new_zeros(2, 3)`."""
    whole = named.get("size", next((part for part in size if isinstance(part, Sequence)), size))
    return math.prod(int(part) for part in whole if not isinstance(part, Tensor))


def _of_steps(start: Any, end: Any, steps: int, **_: Any) -> int:  # noqa: ARG001 - as torch calls it
    return int(steps)


def _of_range(start: float, end: float | None = None, step: float = 1, **_: Any) -> int:
    low, high = (0, start) if end is None else (start, end)
    return int((high - low) / step) + 1


def _of_square(n: int, m: int | None = None, **_: Any) -> int:
    return int(n) * int(n if m is None else m)


def _of_count(n: int, **_: Any) -> int:
    return int(n)


# What allocates by argument, and how much; all else makes as much as it is given, or a small multiple.
_FACTORIES: dict[Any, Callable[..., int]] = {
    **dict.fromkeys((torch.empty, torch.empty_strided, torch.zeros, torch.ones, torch.full), _of_shape),
    **dict.fromkeys((torch.rand, torch.randn, torch.randint), _of_shape),
    **dict.fromkeys((Tensor.new_empty, Tensor.new_zeros, Tensor.new_ones, Tensor.new_full), _of_shape),
    **dict.fromkeys((torch.linspace, torch.logspace), _of_steps),
    **dict.fromkeys((torch.arange, torch.range), _of_range),
    torch.eye: _of_square,
    torch.randperm: _of_count,
}
