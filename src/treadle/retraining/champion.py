"""A champion, of now or of before, or a challenger, that predicts rows whose labels are known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl
from numpy.typing import NDArray

from treadle.bundle import TARGETS, Predictor, load
from treadle.champions.bundles import find_by_digest
from treadle.champions.ledger import History
from treadle.errors import TreadleError
from treadle.evaluation.parity import read_predictions
from treadle.evaluation.scores import compute_losses
from treadle.experiment.durations import parse_moment
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment, TimeSplit
from treadle.features.featurize import read_target
from treadle.profiles.realised import find_prior_loss
from treadle.schema import LABEL, Task

Array = NDArray[Any]


class UnpredictableError(TreadleError):
    """A bundle cannot predict these rows."""


@dataclass(frozen=True)
class Judged:
    """A bundle of the ledger, which predicts rows."""

    folder: RunFolder
    bundle: Predictor
    promoted: datetime | None  # for the first time; None: it is on trial

    @classmethod
    def find(cls, history: History, wanted: str, *, targets: Sequence[str], root: Path) -> Judged:
        """By its digest; `targets`: prefixes of components that it may hold."""
        path = find_by_digest(wanted, history, root=root)
        bundle = load(path, targets=[*TARGETS, *targets], on_breach="allow", code="any")
        promoted = (d.time for d in history.decisions if d.bundle == wanted and d.action == "promote")
        return cls(RunFolder(path), bundle, next(map(parse_moment, promoted), None))

    def require_task(self, task: Task) -> None:
        """Require that it answers the experiment's question.

        Raises:
            UnpredictableError: it is of another task.
        """
        if self.bundle.task != task:
            raise UnpredictableError(f"it predicts {self.bundle.task}, and the experiment is {task}")

    def predict(self, rows: pl.DataFrame) -> Array:
        """As the gate reads it.

        Raises:
            UnpredictableError: as `predict_columns`.
        """
        return self.read(self.predict_columns(rows))

    def predict_columns(self, rows: pl.DataFrame) -> pl.DataFrame:
        """As `treadle predict` writes it.

        Raises:
            UnpredictableError: a column is missing, or cannot be read as its type.
        """
        try:
            return self.bundle.predict(rows, on_breach="allow")
        except TreadleError as error:
            raise UnpredictableError(str(error)) from error

    def read(self, predicted: pl.DataFrame) -> Array:
        """`[B]`, or `[B, K]`, of the frame that `Predictor.predict` gives."""
        return read_predictions(predicted, self.bundle).numpy()

    def read_target(self, rows: pl.DataFrame) -> Array:
        """The labels of these rows."""
        return read_target(rows.select(LABEL), classes=self.bundle.classes).numpy()

    def measure_skill(self, rows: pl.DataFrame, *, predicted: pl.DataFrame | None = None) -> float | None:
        """1 - its loss / the prior's; None where every row has the same label, or there is none.

        Args:
            rows: with their labels.
            predicted: what it predicts of them, where that is known.

        Raises:
            UnpredictableError: as `predict_columns`.
        """
        target = self.read_target(rows)
        prior = find_prior_loss(target, task=self.bundle.task) if len(target) else 0.0
        if prior <= 0:
            return None
        values = self.predict(rows) if predicted is None else self.read(predicted)
        losses = compute_losses(values, target=target, task=self.bundle.task)
        return 1 - float(losses.mean()) / prior

    @property
    def learned_until(self) -> datetime:
        """Before its own test rows; where these are not known, before it was promoted."""
        if self.folder.resolved.is_file():
            experiment = read(self.folder.resolved).experiment
            if isinstance(experiment, Experiment) and isinstance(experiment.data.split, TimeSplit):
                return parse_moment(experiment.data.split.test_from)
        assert self.promoted is not None, "only a champion ages"
        return self.promoted
