"""Limits while a bundle's network is built: its weights, which lie in a file, say how large it may be."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.nn.modules.module import register_module_module_registration_hook
from torch.utils._python_dispatch import TorchDispatchMode

from treadle.schema import TreadleError

# A network makes more than it keeps: first values that are drawn elsewhere, tensors that the state leaves out.
SLACK = 8  # times what the weights hold
SPARE_NUMBERS = 1 << 20
SPARE_PARTS = 2_000  # modules and operations
NUMBERS_A_PART = 16  # of large weights, which may be drawn in small pieces


@contextmanager
def limit_building(weights: Mapping[str, Tensor]) -> Iterator[None]:
    """Refuse what makes more numbers, modules or operations than these weights account for, before it is allocated.

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


class _Allowance(TorchDispatchMode):
    """Counts what operations make; those that allocate by argument are asked for their size first."""

    def __init__(self, *, numbers: int, parts: int) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.numbers = numbers
        self.parts = parts

    def take(self, *, numbers: int = 0, parts: int = 0) -> None:
        self.numbers -= numbers
        self.parts -= parts
        if self.numbers < 0 or self.parts < 0:
            raise TreadleError("model: the network is larger than the weights of the bundle")

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if _is_factory(func):
            without_memory = {"device": torch.device("meta"), **dict.fromkeys(kwargs.keys() & {"generator"})}
            self.take(numbers=func(*args, **{**kwargs, **without_memory}).numel(), parts=1)
            return func(*args, **kwargs)
        made = func(*args, **kwargs)
        fresh = isinstance(made, Tensor) and not func.is_view and not any(made is value for value in args)
        self.take(numbers=made.numel() if fresh else 0, parts=1)
        return made


def _is_factory(func: Any) -> bool:
    """Whether it makes a tensor out of numbers alone."""
    kinds = {argument.name: str(argument.type) for argument in func._schema.arguments}  # noqa: SLF001 - said nowhere else
    return "device" in kinds and not any("Tensor" in kind for kind in kinds.values())
