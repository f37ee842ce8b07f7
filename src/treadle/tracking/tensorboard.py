"""The record as an event file: the only door to TensorBoard."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from treadle.experiment.kinds import get_kind
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import TensorBoardTracker
from treadle.keys import get, list_leaves
from treadle.tracking.record import Place, Record, Recorded, State, SteppedRecord, has_record

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

_EVENTS = "events.out.tfevents.*"


@contextmanager
def open_record(run: Recorded, *, settings: TensorBoardTracker) -> Iterator[Record]:  # noqa: ARG001 - it has none
    """Open an event file of a run: beside those of the same training, in place of those of another one.

    TensorBoard shows the configuration under HParams, beside the monitored and the primary metric, and as a text.
    """
    from torch.utils.tensorboard import SummaryWriter

    folder = run.folder.tensorboard
    state = State(folder, signature=run.signature)
    if not state.resumed:
        for left in folder.glob(_EVENTS):
            left.unlink()
    state.keep()
    # What a killed process wrote after the last step that the state knows is logged again.
    writer = SummaryWriter(str(folder), purge_step=state.last_step + 1 if state.resumed else None)
    try:
        if not state.resumed:
            _write_config(writer, run.config)
        yield _Events(writer, state)
    finally:
        writer.close()


def is_asked_for_another(folder: RunFolder, *, settings: TensorBoardTracker) -> bool:  # noqa: ARG001 - it has none
    """Whether there are no events yet."""
    return not has_record(folder.tensorboard)


def locate_record(folder: RunFolder, *, settings: TensorBoardTracker) -> Place:  # noqa: ARG001 - it has none
    """The folder of the event files."""
    return Place("events", str(folder.tensorboard))


def _write_config(writer: SummaryWriter, config: dict[str, Any]) -> None:
    from torch.utils.tensorboard.summary import hparams

    plain = (bool, int, float, str)
    params = {key: v if isinstance(v, plain) else json.dumps(v) for key, v in list_leaves(config) if v is not None}
    for summary in hparams(
        params, dict.fromkeys(_list_shown(config), 0.0)
    ):  # the names of the metrics; they have no value yet
        cast("Any", writer.file_writer).add_summary(summary)  # annotated as None
    rows = "\n".join(f"    {key}: {json.dumps(value)}" for key, value in list_leaves(config))
    writer.add_text("config", rows, global_step=0)
    writer.flush()


def _list_shown(config: dict[str, Any]) -> tuple[str, ...]:
    """The metrics beside the configuration; a learner's own names say the split."""
    if get_kind(config) == "learner":
        return (str(get(config, "fit.monitor")),)
    return (f"valid/{get(config, 'schedule.monitor')}", f"model/{get(config, 'evaluation.metric')}")


class _Events(SteppedRecord):
    """The open event file."""

    def __init__(self, writer: SummaryWriter, state: State) -> None:
        super().__init__(state)
        self._writer = writer

    def summarize(self, values: Mapping[str, float]) -> None:
        """As scalars of the last step; those that the record already holds are not written again."""
        held = self._state.values.get("summary", {})
        self._write({k: v for k, v in values.items() if held.get(k) != v}, step=max(self.last_step, 0))
        self._state.keep(summary={**held, **values})

    def _write(self, values: Mapping[str, float], *, step: int) -> None:
        for name, value in values.items():
            self._writer.add_scalar(name, value, global_step=step)
        self._writer.flush()

    def log_curve(self, *, name: str, x: str, y: str, rows: Sequence[Mapping[str, float]]) -> None:
        """It has no chart of y over a real x; the report has."""

    def log_page(self, html: str, *, name: str) -> None:
        """It shows no pages; the run's folder holds them."""

    def log_bundle(self, folder: Path, *, name: str) -> None:
        """It keeps no files; the run's folder holds the bundle."""
