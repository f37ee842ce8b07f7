"""Group `trainer`: devices, precision and threads of training."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from treadle.experiment.spec.base import Spec
from treadle.experiment.spec.callbacks import is_empty


def _read_switch(value: Any) -> Any:
    return {True: "on", False: "off"}[value] if isinstance(value, bool) else value


Switch = Annotated[Literal["auto", "off", "on"], BeforeValidator(_read_switch)]  # YAML takes a bare `off` for false
Precision = Literal["32-true", "bf16-mixed", "16-mixed", "auto"]


class Trainer(Spec):
    """Where training runs. Any of it can change the result, at least by rounding."""

    accelerator: Literal["cpu", "gpu", "auto"]
    """Kind of device; auto: a GPU where this machine has one."""
    devices: int | Literal["auto"]
    """Devices per node; auto: all GPUs of this machine, or one CPU process."""
    strategy: str
    """Lightning's name of the distributed strategy, such as ddp."""
    num_nodes: int = Field(ge=1)
    """Number of machines."""
    precision: Precision
    """Floating-point precision of training; auto: bf16-mixed where the device and the model's size suit it [bits]."""
    compile: Switch = "off"
    """Whether training steps are compiled by torch.compile; auto: where it saves more time than it takes."""
    threads: int = Field(ge=1, le=4096)
    """CPU threads of torch per process."""
    limit_batches: int | None = Field(ge=1)
    """Maximum number of batches per split and epoch; null: no limit [batches]."""
    overfit_batches: int | None = Field(ge=1)
    """Number of first batches that are both trained and validated on; null: all batches [batches]."""
    extra: dict[str, Any] = Field(default={}, exclude_if=is_empty)
    """Further arguments of Lightning's Trainer, such as `deterministic: true`; values may be a `_target_`."""

    @property
    def num_processes(self) -> int:
        """Number of training processes, which share the rows of each step."""
        assert isinstance(self.devices, int), "check() replaces auto"
        return self.devices * self.num_nodes
