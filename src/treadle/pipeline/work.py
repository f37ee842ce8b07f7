"""The function of each stage, called with what the run provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime

from treadle.pipeline.record import Run
from treadle.pipeline.tracked import LazyTracking


def _prepare(current: Run, _: LazyTracking) -> None:
    from treadle.data.prepare import prepare  # each stage imports its own libraries

    now = datetime.now(tz=UTC).replace(tzinfo=None)
    prepare(current.experiment.data, root=current.root, folder=current.folder.examples, now=now)


def _featurize(current: Run, _: LazyTracking) -> None:
    from treadle.features.featurize import featurize

    experiment, folder = current.experiment, current.folder
    featurize(
        experiment.features,
        task=experiment.data.task,
        targets=experiment.targets,
        examples=folder.examples,
        folder=folder.features,
    )


def _train(current: Run, tracking: LazyTracking) -> None:
    from treadle.training.train import train

    record = tracking.get()  # before the work: a record that cannot be opened should cost nothing

    def log(row: Mapping[str, float], step: int) -> None:
        record.log(row, step=step)
        if current.watch is not None:
            current.watch(row, step)

    train(current.experiment, folder=current.folder, signature=current.signatures["train"], log=log)


def _baseline(current: Run, _: LazyTracking) -> None:
    from treadle.evaluation.baselines import fit_baselines

    fit_baselines(current.experiment, folder=current.folder)


def _evaluate(current: Run, _: LazyTracking) -> None:
    from treadle.evaluation.evaluate import evaluate

    evaluate(current.experiment, folder=current.folder, run=current.name)


STAGE_FUNCTIONS: dict[str, Callable[[Run, LazyTracking], None]]
STAGE_FUNCTIONS = {
    "prepare": _prepare,
    "featurize": _featurize,
    "train": _train,
    "baseline": _baseline,
    "evaluate": _evaluate,
}
