"""What a training leaves, epoch by epoch: a row of metrics, a line, and checkpoints of plain values.

Classes without Lightning's bases: the package `lightning` has its own, which `pytorch_lightning` does not accept.
"""

from __future__ import annotations

import csv
import io
import math
import random
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from treadle.disk import write_text
from treadle.errors import TreadleError
from treadle.hints import nearest
from treadle.training.epochs import write_line
from treadle.training.resumable import WholeCheckpoints

EpochLog = Callable[[Mapping[str, float], int], None]  # (values, step)
_INTEGERS = ("epoch", "step")
# Of a checkpoint: arguments of classes, which may be anything; the experiment has them.
_ARGUMENTS = (
    "hyper_parameters",
    "hparams_name",
    "hparams_type",
    "datamodule_hyper_parameters",
    "datamodule_hparams_name",
)


class EpochRecord:
    """Write each epoch's row, with whatever the learner logged, and print its line.

    The rows and the state of the random generators travel in the checkpoint: a training that is resumed at the end of
    an epoch goes on as if it had not been interrupted.

    Args:
        path: metrics.csv.
        monitor: the metric that judges.
        mode: whether a lower or a higher value is better.
        log: takes each row.
        prints: whether to print a line an epoch.
    """

    def __init__(self, path: Path, *, monitor: str, mode: str, log: EpochLog, prints: bool) -> None:
        self.path = path
        self.monitor = monitor
        self.sign = 1.0 if mode == "min" else -1.0
        self.listen = log
        self.prints = prints
        self.rows: list[dict[str, float]] = []
        self.random: dict[str, Any] | None = None  # of the checkpoint that is resumed

    def on_fit_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's interface
        """Begin the file with the epochs of a checkpoint, and go on with its random numbers."""
        if trainer.is_global_zero:
            self.path.unlink(missing_ok=True)
            if self.rows:
                self._write()
                write_line(f"{'resumed':<10} after epoch {int(self.rows[-1]['epoch'])}")
        if self.random is not None:
            set_random(self.random)

    def on_train_epoch_end(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's interface
        """Add the row of the epoch; checkpoints are written after it."""
        found = {name: float(value) for name, value in trainer.callback_metrics.items()}
        self._require_monitored(found, trainer)
        row = {"epoch": float(trainer.current_epoch + 1), "step": float(trainer.global_step), **found}
        is_best = self._improves(row)
        self.rows.append(row)
        if not trainer.is_global_zero:
            return
        self._write()
        if self.prints:
            score = f"  {self.monitor} {row[self.monitor]:.5f}" if self.monitor in row else ""
            mark = "  best so far" if is_best else ""
            write_line(f"epoch {trainer.current_epoch + 1:3d}  step {trainer.global_step:6d}{score}{mark}")
        self.listen({name: value for name, value in row.items() if name != "step"}, trainer.global_step)

    def _improves(self, row: Mapping[str, float]) -> bool:
        before = [self.sign * r[self.monitor] for r in self.rows if not math.isnan(r.get(self.monitor, math.nan))]
        return self.monitor in row and self.sign * row[self.monitor] < min(before, default=math.inf)

    def _require_monitored(self, found: Mapping[str, float], trainer: Any) -> None:
        every = trainer.check_val_every_n_epoch or 1
        if self.monitor in found or (trainer.current_epoch + 1) % every:
            return
        hint = nearest(self.monitor, found)
        meant = f"did you mean {hint.nearest!r}? " if hint.nearest else ""
        listed = ", ".join(found) or "nothing"
        raise TreadleError(
            f"fit.monitor: the learner logs no {self.monitor!r} in an epoch; it logs {listed}; {meant}"
            f"`self.log({self.monitor!r}, …, on_epoch=True)` in its validation_step logs it"
        )

    def _write(self) -> None:
        names = dict.fromkeys(name for row in self.rows for name in row)
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(names)
        for row in self.rows:
            writer.writerow(int(row[n]) if n in _INTEGERS else repr(row.get(n, math.nan)) for n in names)
        write_text(self.path, text.getvalue())

    def state_dict(self) -> dict[str, Any]:
        """Plain values for the checkpoint."""
        return {"rows": self.rows, "random": get_random()}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Take what a checkpoint holds."""
        self.rows, self.random = list(state_dict["rows"]), state_dict["random"]

    def __getstate__(self) -> dict[str, Any]:
        # A listener (an open W&B run) does not follow into spawned processes; the file does.
        return {**self.__dict__, "listen": _ignore}


class PlainCheckpoints(WholeCheckpoints):
    """Writes checkpoints whole or not at all, without the arguments of classes."""

    def save_checkpoint(self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None) -> None:
        """Write what is plain."""
        plain = {name: value for name, value in checkpoint.items() if name not in _ARGUMENTS}
        super().save_checkpoint(plain, path, storage_options)


def _ignore(values: Mapping[str, float], step: int) -> None:
    pass


def get_random() -> dict[str, Any]:
    """State of every random generator, as plain values."""
    kind, keys, *rest = np.random.get_state()  # noqa: NPY002 - the global one, which transforms of users draw from
    return {
        "python": random.getstate(),
        "numpy": (kind, torch.from_numpy(np.asarray(keys, dtype=np.int64)), *rest),
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def set_random(state: dict[str, Any]) -> None:
    """Go on with the random numbers of a state."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, *rest = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), *rest))  # noqa: NPY002 - see above
    torch.set_rng_state(state["torch"].cpu())
    if len(state["cuda"]) == torch.cuda.device_count():
        torch.cuda.set_rng_state_all([each.cpu() for each in state["cuda"]])
