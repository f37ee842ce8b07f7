"""`treadle.load`: the bundle of a run, of a table's model or of a learner of the user's own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import torch

from treadle.bundle import TARGETS, Predictor
from treadle.bundle import load as load_of_table
from treadle.champions.bundles import find_folder
from treadle.errors import TreadleError
from treadle.experiment.spec import OnBreach
from treadle.learners.bundle import LearnerBundle, holds_learner, load_bundle
from treadle.schema import UsableCode


@dataclass(frozen=True)
class LoadedLearner:
    """A learner of the user's own with the weights of its best epoch."""

    bundle: LearnerBundle

    @cached_property
    def module(self) -> Any:
        """The LightningModule, in evaluation mode.

        Raises:
            TreadleError: its class is not the one that Lightning expects, its code fails, or the weights do not fit.
        """
        from treadle.learners.build import open_workshop
        from treadle.learners.records import get_random, set_random

        before = get_random()  # the caller's random numbers go on as they were
        try:
            module = open_workshop(self.bundle.experiment, folder=None).learner
        finally:
            set_random(before)
        checkpoint = torch.load(self.bundle.weights, weights_only=True, map_location="cpu")
        module.on_load_checkpoint(checkpoint)
        try:
            module.load_state_dict(checkpoint["state_dict"])
        except RuntimeError as error:
            raise TreadleError(
                f"{self.bundle.weights} does not fit the learner: {str(error).splitlines()[0]}"
            ) from error
        return module.eval()

    def predict(self, datamodule: Mapping[str, Any] | None = None) -> pl.DataFrame:
        """What its `predict_step` gives for the batches of `predict_dataloader`, as a table.

        Args:
            datamodule: arguments of the datamodule in place of those of the training, such as the folder of new data.

        Raises:
            TreadleError: the datamodule has no such argument, or no table holds what `predict_step` returns.
        """
        from treadle.learners.predict import predict_batches, tabulate

        return tabulate(predict_batches(self.bundle, datamodule=datamodule or {}))


def load(
    path: str | Path,
    *,
    targets: Sequence[str] = TARGETS,
    on_breach: OnBreach | None = None,
    code: UsableCode = "same",
) -> Predictor | LoadedLearner:
    """Load the bundle of a run: `treadle.load("runs/flights-1a2b3c4d").predict(frame)`.

    Args:
        path: the run's folder, or the bundle's own; `champion`, or `flights@champion` where there are several models.
        targets: prefixes of the classes that may be built. Classes of your own need their package here: a bundle
            cannot extend them itself.
        on_breach: of a table, what happens to rows that break the contract: "refuse", "warn" or "allow"; None: the
            experiment's `data.on_breach`.
        code: "same" refuses code of network and features that differs from that of the training, as predictions may
            differ; "any" accepts the installed code.

    Raises:
        TreadleError: there is no bundle, a file is damaged or does not fit the others, a target is not allowed, or the
            code differs.
    """
    folder = find_folder(str(path), root=Path.cwd())
    if not holds_learner(folder):
        return load_of_table(folder, targets=targets, on_breach=on_breach, code=code)
    if on_breach is not None:
        raise TreadleError(f"{folder} holds a learner of your own: its rows have no contract, so leave on_breach out")
    return LoadedLearner(load_bundle(folder, targets=targets, code=code))
