"""The function of each stage, called with what the run provides."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path

from treadle.experiment.identity import fingerprint_data
from treadle.experiment.kinds import Kind, get_kind
from treadle.experiment.source_bundles import list_source_bundles, take_source
from treadle.experiment.spec import Experiment, LearnerExperiment
from treadle.experiment.stages import Stage, get_stage
from treadle.pipeline.members import train_members
from treadle.pipeline.record import Run
from treadle.pipeline.tracked import LazyTracking
from treadle.pipeline.unsplit import take_unsplit

Function = Callable[[Run, LazyTracking], None]


def _prepare(current: Run, _: LazyTracking) -> None:
    from treadle.data.prepare import prepare, prepare_unsplit  # each stage imports its own libraries

    now = datetime.now(tz=UTC).replace(tzinfo=None)
    data, root, folder = _as_table(current).data, current.root, current.folder
    is_unsplit = take_unsplit(current)
    if current.keeps_unsplit and not is_unsplit:
        prepare_unsplit(data, root=root, folder=folder.unsplit, now=now)
        is_unsplit = True
    prepare(data, root=root, folder=folder.examples, now=now, unsplit=folder.unsplit if is_unsplit else None)


def _featurize(current: Run, _: LazyTracking) -> None:
    from treadle.features.featurize import featurize

    experiment, folder = _as_table(current), current.folder
    featurize(
        experiment.features,
        task=experiment.data.answer,
        targets=experiment.targets,
        examples=folder.examples,
        folder=folder.features,
        before=_take_source(current, "features.start_from"),
    )


def _train(current: Run, tracking: LazyTracking) -> None:
    from treadle.training.train import train

    members = train_members(current)  # whose records come before: W&B holds one open at a time
    experiment, signature = _as_table(current), current.signatures["train"]
    train(
        experiment,
        folder=current.folder,
        signature=signature,
        log=_make_log(current, tracking),
        members=members,
        start=_take_source(current, "schedule.start_from"),
        teacher=_take_source(current, "loss.teacher"),
    )


def _baseline(current: Run, _: LazyTracking) -> None:
    from treadle.evaluation.baselines import fit_baselines

    fit_baselines(_as_table(current), folder=current.folder)


def _evaluate(current: Run, _: LazyTracking) -> None:
    from treadle.evaluation.evaluate import evaluate

    champion = _take_source(current, "evaluation.champion")
    evaluate(_as_table(current), folder=current.folder, run=current.name, champion=champion)


def _take_source(current: Run, key: str) -> Path | None:
    """The bundle that a key names; None: it names none."""
    text = dict(list_source_bundles(current.experiment)).get(key)
    return None if text is None else take_source(text, root=current.root, key=key)


def _idle(name: str) -> Function:
    def write(current: Run, _: LazyTracking) -> None:
        from treadle.learners.idle import write_nothing

        data = fingerprint_data(current.resolved, root=current.root)
        write_nothing(get_stage(name, current.resolved.values), folder=current.folder, data=data)

    return write


def _train_learner(current: Run, tracking: LazyTracking) -> None:
    from treadle.learners.train import train

    signature = current.signatures["train"]
    train(_as_learner(current), folder=current.folder, signature=signature, log=_make_log(current, tracking))


def _evaluate_learner(current: Run, _: LazyTracking) -> None:
    from treadle.learners.evaluate import evaluate

    evaluate(_as_learner(current), folder=current.folder, run=current.name)


def _make_log(current: Run, tracking: LazyTracking) -> Callable[[Mapping[str, float], int], None]:
    """Takes each epoch. The record is opened before the work: one that cannot be opened should cost nothing."""
    record = tracking.get()

    def log(row: Mapping[str, float], step: int) -> None:
        record.log(row, step=step)
        if current.watch is not None:
            current.watch(row, step)

    return log


def _as_table(current: Run) -> Experiment:
    assert isinstance(current.experiment, Experiment)
    return current.experiment


def _as_learner(current: Run) -> LearnerExperiment:
    assert isinstance(current.experiment, LearnerExperiment)
    return current.experiment


STAGE_FUNCTIONS: dict[Kind, dict[str, Function]] = {
    "table": {
        "prepare": _prepare,
        "featurize": _featurize,
        "train": _train,
        "baseline": _baseline,
        "evaluate": _evaluate,
    },
    "learner": {
        "prepare": _idle("prepare"),
        "featurize": _idle("featurize"),
        "train": _train_learner,
        "baseline": _idle("baseline"),
        "evaluate": _evaluate_learner,
    },
}


def find_function(current: Run, stage: Stage) -> Function:
    """What a stage does for the run's kind of experiment."""
    return STAGE_FUNCTIONS[get_kind(current.resolved.values)][stage.name]
