"""A champion, of now or of before, that predicts rows whose labels are known."""

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
from treadle.evaluation.parity import read_predictions
from treadle.evaluation.scores import compute_losses
from treadle.experiment.durations import parse_moment
from treadle.experiment.resolved import read
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment, TimeSplit
from treadle.features.featurize import read_target
from treadle.profiles.realised import find_prior_loss
from treadle.schema import LABEL

Array = NDArray[Any]


@dataclass(frozen=True)
class Judged:
    """A bundle of the ledger, which predicts rows."""

    folder: RunFolder
    bundle: Predictor
    promoted: datetime

    @classmethod
    def find(cls, history: History, wanted: str, *, targets: Sequence[str], root: Path) -> Judged:
        """By its digest; `targets`: prefixes of components that it may hold."""
        path = find_by_digest(wanted, history, root=root)
        bundle = load(path, targets=[*TARGETS, *targets], on_breach="allow", code="any")
        times = [decision.time for decision in history.decisions if decision.bundle == wanted]
        return cls(RunFolder(path), bundle, parse_moment(times[-1]))

    def predict(self, rows: pl.DataFrame) -> Array:
        """As the gate reads it."""
        return self.read(self.bundle.predict(rows, on_breach="allow"))

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
        return self.promoted
