"""What the stages log to the run's record in W&B."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property

from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.pipeline.provenance import write_provenance
from treadle.pipeline.record import Run
from treadle.tracking import Tracking, is_asked_for_another, track


class LazyTracking:
    """The run's record in W&B, opened when the first stage logs to it."""

    def __init__(self, stack: ExitStack, current: Run) -> None:
        self.stack = stack
        self.current = current
        self.opened: Tracking | None = None

    def get(self) -> Tracking:
        """The open record."""
        if self.opened is None:
            current = self.current
            about = write_provenance(current.folder, root=current.root, now=datetime.now(tz=UTC))
            context = track(
                settings=current.experiment.tracker,
                folder=current.record_folder,
                name=current.folder.path.name if current.folder.path.parent.name == RUNS else current.experiment.name,
                signature=current.signatures["train"],
                config=current.resolved.values,
                about={**about, "changes": current.folder.changes.read_text(encoding="utf-8")},
                membership=current.membership,
            )
            self.opened = self.stack.enter_context(context)
        return self.opened

    @cached_property
    def is_another(self) -> bool:
        """Whether an agent of W&B asks for a record of its own, be the stages done or not."""
        current = self.current
        return current.experiment.tracker.mode != "disabled" and is_asked_for_another(current.record_folder)


@contextmanager
def open_tracking(current: Run) -> Iterator[LazyTracking]:
    """The run's record, which is finished on exit if it was opened."""
    with ExitStack() as stack:
        yield LazyTracking(stack, current)


def _track_training(folder: RunFolder, tracking: Tracking) -> None:
    """Log the epochs that the record lacks: those of a shared stage, or of spawned processes."""
    from treadle.metrics.log import read_metrics_log

    for row in read_metrics_log(folder.metrics_log):
        step = int(row.pop("step"))
        if step > tracking.last_step:
            tracking.log(row, step=step)


def _track_evaluation(folder: RunFolder, tracking: Tracking) -> None:
    """Log the evaluation: metrics, curves, bundle."""
    from treadle.evaluation.curves import read_curves

    metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
    values = {f"{who}/{name}": value for who, results in metrics.items() for name, value in results.items()}
    tracking.summarize({name: value for name, value in values.items() if value is not None})
    for curve in read_curves(folder.plots):
        tracking.log_curve(name=curve.name, x=curve.kind.x, y=curve.kind.y, rows=curve.rows)
    tracking.log_bundle(folder.bundle, name=folder.path.name)


TRACKED: dict[str, Callable[[RunFolder, Tracking], None]] = {"train": _track_training, "evaluate": _track_evaluation}
