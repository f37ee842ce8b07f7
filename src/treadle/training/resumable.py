"""Parts of a training that can be interrupted, for either Lightning.

Classes without Lightning's bases: the package `lightning` has its own, which `pytorch_lightning` does not accept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from treadle.tensor_files import save_whole


class WholeCheckpoints:
    """Writes checkpoints atomically: a full disk, or a kill, leaves the one before."""

    def save_checkpoint(
        self,
        checkpoint: dict[str, Any],
        path: str | Path,
        storage_options: Any = None,  # noqa: ARG002 - Lightning's interface
    ) -> None:
        """Write beside, then replace."""
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_whole(checkpoint, Path(path))


class StopAgain:
    """Early stopping that, resumed after it has stopped a training, stops it again at once."""

    wait_count: int
    patience: int

    def on_train_start(self, trainer: Any, pl_module: Any) -> None:  # noqa: ARG002 - Lightning's interface
        """Stop where the patience of the checkpoint is used up."""
        trainer.should_stop = trainer.should_stop or self.wait_count >= max(1, self.patience)


class EndListener:
    """A callback that is told once when a training ends, whether it is done or fails."""

    def end(self) -> None:
        """It ends."""
        raise NotImplementedError

    def on_train_end(self, trainer: Any, pl_module: Any) -> None:
        """It is done."""
        self.end()
        super().on_train_end(trainer, pl_module)  # type: ignore[misc]  # of the callback beside it

    def on_exception(self, trainer: Any, pl_module: Any, exception: BaseException) -> None:  # noqa: ARG002 - Lightning's interface
        """It fails."""
        self.end()
