"""What the stages log to the run's record with its tracker."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cached_property
from html import escape

from treadle.experiment.run_folder import RUNS
from treadle.metrics.judge import list_judges, name_column
from treadle.pipeline.dvc_workspace import find_origin
from treadle.pipeline.provenance import write_provenance
from treadle.pipeline.record import Run
from treadle.runs.read import find_best_epoch
from treadle.tracking import Record, Recorded, is_asked_for_another, open_record


class LazyTracking:
    """The run's record with its tracker, opened when the first stage logs to it."""

    def __init__(self, stack: ExitStack, current: Run) -> None:
        self.stack = stack
        self.current = current
        self.opened: Record | None = None

    def get(self) -> Record:
        """The open record."""
        if self.opened is None:
            current = self.current
            about = write_provenance(current.folder, root=current.root, now=datetime.now(tz=UTC))
            recorded = Recorded(
                folder=current.record_folder,
                root=find_origin(current.root) or current.root,
                name=current.folder.path.name if current.folder.path.parent.name == RUNS else current.experiment.name,
                signature=current.signatures["train"],
                config=current.resolved.values,
                about={**about, "changes": current.folder.changes.read_text(encoding="utf-8")},
                membership=current.membership,
            )
            context = open_record(recorded, settings=current.experiment.tracker)
            self.opened = self.stack.enter_context(context)
        return self.opened

    @cached_property
    def is_another(self) -> bool:
        """Whether the record lacks the stages that are done: it is new, or an agent of W&B asks for one of its own."""
        return is_asked_for_another(self.current.record_folder, settings=self.current.experiment.tracker)


@contextmanager
def open_tracking(current: Run) -> Iterator[LazyTracking]:
    """The run's record, which is finished on exit if it was opened."""
    with ExitStack() as stack:
        yield LazyTracking(stack, current)


def _track_training(current: Run, tracking: Record) -> None:
    """Log the epochs that the record lacks, those of a shared stage or of spawned processes, and the one that is kept.

    (A summary holds the last epoch's values, and a run is judged by those of its best.)
    """
    from treadle.metrics.log import read_metrics_log
    from treadle.training.epochs import select_values

    epochs = read_metrics_log(current.folder.metrics_log)
    for row in epochs:
        tracking.log(select_values(row), step=int(row["step"]))
    best = find_best_epoch(epochs, current.experiment)
    columns = {name: name_column(current.experiment, name) for name in list_judges(current.experiment)}
    tracking.summarize({f"best/{name}": best[column] for name, column in columns.items() if column in best})


def _track_evaluation(current: Run, tracking: Record) -> None:
    """Log the evaluation: metrics, curves, the report and the model card as pages, the bundle."""
    from treadle.evaluation.curves import read_curves

    folder = current.folder
    metrics = json.loads(folder.metrics.read_text(encoding="utf-8"))
    values = {f"{who}/{name}": value for who, results in metrics.items() for name, value in results.items()}
    tracking.summarize({name: value for name, value in values.items() if value is not None})
    for curve in read_curves(folder.plots):
        tracking.log_curve(name=curve.name, x=curve.kind.x, y=curve.kind.y, rows=curve.rows)
    for name, file in (("report", folder.report), ("card", folder.card)):
        if file.is_file():
            text = file.read_text(encoding="utf-8")
            tracking.log_page(text if file.suffix == ".html" else f"<pre>{escape(text)}</pre>", name=name)
    tracking.log_bundle(folder.bundle, name=folder.path.name)


TRACKED: dict[str, Callable[[Run, Record], None]] = {"train": _track_training, "evaluate": _track_evaluation}
