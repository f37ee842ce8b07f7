"""How training executes on this machine: precision and compilation, decided here where the configuration says `auto`.

It decides by the work ahead, never by a clock, which would give another answer in another run and with it other last
digits: the work of a step is counted, and constants that were measured convert it to seconds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from treadle.experiment.spec import Experiment
from treadle.training.snapshot import Snapshot

# Measured with seven shipped models at batches of 256 and 1024, torch 2.13, one thread of a CPU with AVX-512: what
# compiling saves of a step is 0.9 to 2.2 times what these say, what it costs with an empty cache 0.3 to 1.2 times.
SAVED_PER_OPERATION = 10e-6  # of dispatch [s]
SAVED_PER_ELEMENT = 0.3e-9  # of memory that fused operations do not write and read [s]
COST = 6.0  # of the compiler's start [s]
COST_PER_OPERATION = 0.35  # [s]
FEW_STEPS = 1000  # fewer are not worth counting for
# Numbers that an operation gives on average, from which on bfloat16 repays its casts: steps of 11 networks took 0.75 of
# the speed at 6,000 (2x64, batch 256), 1.1 to 1.5 times at 23,000, 1.6 at 43,000 and 2.2 at 83,000, one core with
# AVX-512 BF16 and no AMX. With attention 0.5: its backward pass on a CPU is ten times slower in bfloat16.
LARGE_OPERATION = 30_000


@dataclass(frozen=True)
class Decision:
    """A value, and why."""

    value: str
    reason: str


@dataclass(frozen=True)
class Work:
    """What one step does, forward and backward."""

    num_operations: int  # that compute something
    num_elements: int  # that they write, matrix products aside
    num_products: int  # elements that matrix products write
    attends: bool  # whether one of them is an attention

    @property
    def saved_s(self) -> float:
        """What compiling saves of a step [s]."""
        return SAVED_PER_OPERATION * self.num_operations + SAVED_PER_ELEMENT * self.num_elements

    @property
    def mean_size(self) -> float:
        """Numbers that an operation gives on average."""
        return (self.num_elements + self.num_products) / max(1, self.num_operations)

    @property
    def cost_s(self) -> float:
        """What compiling costs [s]."""
        return COST + COST_PER_OPERATION * self.num_operations


@dataclass(frozen=True)
class Execution:
    """How training runs on this machine: part of the record, since it changes the last digits or more."""

    precision: Decision
    compile: Decision  # on or off

    def without_graph(self, reason: str) -> Execution:
        """The same, where a graph turns out to be impossible."""
        return replace(self, compile=Decision("off", reason))

    def list_lines(self, experiment: Experiment) -> list[str]:
        """The lines of the log on what the configuration left open, or asked for in vain."""
        lines = []
        if experiment.trainer.precision == "auto":
            lines.append(f"{'precision':<10} {self.precision.value} ({self.precision.reason})")
        if experiment.trainer.compile != "off":
            lines.append(f"{'compile':<10} {self.compile.value} ({self.compile.reason})")
        return lines

    def describe(self) -> dict[str, Any]:
        """Plain values, for the checkpoint and for `model/summary.json`."""
        return {
            "precision": self.precision.value,
            "precision_reason": self.precision.reason,
            "compiled": self.compile.value == "on",
            "compile_reason": self.compile.reason,
        }


EAGER = Execution(Decision("32-true", "not decided"), Decision("off", "not decided"))


def decide_execution(
    experiment: Experiment, *, device: str, num_processes: int, planned_steps: int, count: Callable[[], Work]
) -> Execution:
    """Decide what the configuration leaves to `auto`.

    Args:
        experiment: checked.
        device: kind of it: cpu, cuda.
        num_processes: that train together.
        planned_steps: on full batches in the whole training, wherever it is resumed.
        count: gives the work of a step; is called only where it decides.
    """
    precision = _decide_precision(experiment.trainer.precision, device=device, count=count)
    asked = experiment.trainer.compile
    if asked == "off":
        return Execution(precision, Decision("off", "trainer.compile=off"))
    obstacle = _find_obstacle(precision.value, num_processes=num_processes, planned_steps=planned_steps)
    if obstacle is not None:
        return Execution(precision, Decision("off", obstacle))
    if asked == "on":
        return Execution(precision, Decision("on", "trainer.compile=on"))
    return Execution(precision, _decide_compile(device=device, planned_steps=planned_steps, count=count))


def _find_obstacle(precision: str, *, num_processes: int, planned_steps: int) -> str | None:
    if planned_steps == 0:
        return "no batch is full, and others are not compiled"
    if num_processes > 1:
        return "several processes exchange gradients in the middle of a step"
    if precision == "16-mixed":
        return "16-mixed decides at each step whether it counts"
    return None


def _decide_compile(*, device: str, planned_steps: int, count: Callable[[], Work]) -> Decision:
    if device != "cpu":
        return Decision("off", f"auto: compiling has not been measured on {device}; trainer.compile=on compiles")
    if planned_steps < FEW_STEPS:
        return Decision("off", f"auto: compiling takes longer than it saves in {planned_steps:,} steps")
    work = count()
    saved = planned_steps * work.saved_s
    reason = f"auto: it takes about {work.cost_s:,.0f} s and saves about {saved:,.0f} s in {planned_steps:,} steps"
    return Decision("on" if saved >= work.cost_s else "off", reason)


def _decide_precision(asked: str, *, device: str, count: Callable[[], Work]) -> Decision:
    if asked != "auto":
        return Decision(asked, f"trainer.precision={asked}")
    if not _multiplies_bfloat16(device):
        return Decision("32-true", f"auto: this {device} has no bfloat16 arithmetic")
    work = count()
    if device == "cpu" and work.attends:
        return Decision("32-true", "auto: attention in bfloat16 is slow on a cpu")
    pays = work.mean_size >= LARGE_OPERATION
    size = f"{work.mean_size:,.0f} numbers an operation on average, from {LARGE_OPERATION:,} on it pays"
    reason = f"auto: the layers are {'large enough' if pays else 'too small'} for bfloat16: {size}"
    return Decision("bf16-mixed" if pays else "32-true", reason)


def _multiplies_bfloat16(device: str) -> bool:
    if device == "cuda":
        return torch.cuda.get_device_capability() >= (8, 0)
    found = torch.cpu.get_capabilities()
    return bool(found.get("amx_bf16") or found.get("avx512_bf16"))


def count_work(loss: Callable[[], Tensor], parameters: Sequence[Tensor], *, buffers: Sequence[Tensor]) -> Work:
    """Count what a step computes, in a step that is taken back.

    Args:
        loss: of a batch, as training computes it.
        parameters: by which it is differentiated.
        buffers: what it changes.
    """
    before = Snapshot([*parameters, *buffers])
    counter = _Counter()
    with counter:
        torch.autograd.grad(loss(), [p for p in parameters if p.requires_grad], allow_unused=True)
    before.restore()
    return Work(
        num_operations=counter.num_operations,
        num_elements=counter.num_elements,
        num_products=counter.num_products,
        attends=counter.attends,
    )


class _Counter(TorchDispatchMode):
    """Sees each operation that reaches a kernel."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.num_operations = self.num_elements = self.num_products = 0
        self.attends = False

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = func(*args, **(kwargs or {}))
        name = func.name()
        if not func.is_view and "detach" not in name:
            self.num_operations += 1
            parts = result if isinstance(result, tuple | list) else [result]
            size = sum(part.numel() for part in parts if isinstance(part, Tensor))
            self.attends |= "attention" in name
            if any(word in name for word in ("mm", "linear", "attention", "convolution")):
                self.num_products += size
            else:
                self.num_elements += size
        return result
