"""Knowledge distillation: what a teacher, the bundle of another run, predicts for the rows of a training.

It is asked once, before the first step. Its probabilities are those before calibration: the student has a calibration
of its own, and an isotonic one would leave few distinct values to learn from.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import polars as pl

from treadle.bundle import Predictor, compute_raw, load
from treadle.errors import TreadleError
from treadle.experiment.source_bundles import require_source, split_source
from treadle.experiment.spec import Experiment
from treadle.features.target import scale_target
from treadle.tasks import TRAITS
from treadle.training.epochs import write_line
from treadle.training.rows import MemoryRows, Rows, is_refitted
from treadle.training.scaling import Scaling

_KEY = "loss.teacher"


def teach(
    rows: Mapping[str, Rows],
    bundle: Path,
    *,
    examples: Path,
    experiment: Experiment,
    classes: Sequence[str],
    scaling: Scaling,
) -> dict[str, Rows]:
    """The rows of both splits with the teacher's predictions beside those that a step will see.

    Args:
        rows: of the splits `train` and `valid`, in memory.
        bundle: folder of the teacher's.
        examples: folder of the rows as `prepare` wrote them, in the same order.
        experiment: checked.
        classes: of the training examples.
        scaling: of the rows.

    Raises:
        TreadleError: it is another bundle than the one that the experiment was composed with, its code is another one
            now, its classes are others, or a row breaks its contract.
    """
    text = experiment.loss.teacher
    assert text is not None, "the caller asks for it"
    require_source(text, bundle, key=_KEY)
    place, _ = split_source(text)
    try:
        teacher = load(bundle, targets=experiment.targets)
    except TreadleError as error:
        raise TreadleError(f"{_KEY}: {place} cannot be loaded: {error}") from error
    require_classes(teacher, classes, place=place)
    splits = ("train", "valid") if is_refitted(experiment) else ("train",)
    write_line(f"{'teacher':<10} {place} predicts {sum(rows[split].num_rows for split in splits):,} rows")
    return {**rows, **{split: _teach(rows[split], teacher, examples / f"{split}.parquet", scaling) for split in splits}}


def require_classes(teacher: Predictor, classes: Sequence[str], *, place: str) -> None:
    """Refuse a teacher whose outputs stand for other classes.

    Raises:
        TreadleError: they differ, or their order does.
    """
    if list(teacher.classes) != list(classes):
        found, wanted = (", ".join(names) for names in (teacher.classes, classes))
        raise TreadleError(f"{_KEY}: the classes of {place} are {found}; those of the training rows are {wanted}")


def _teach(rows: Rows, teacher: Predictor, file: Path, scaling: Scaling) -> MemoryRows:
    assert isinstance(rows, MemoryRows), "the check refuses streamed rows"
    raw = teacher.take_point(compute_raw(teacher, pl.scan_parquet(file).head(rows.num_rows)))
    if TRAITS[teacher.task].is_value:
        raw = scale_target(raw, mean=scaling.mean, scale=scaling.scale)
    return rows.teach(raw.float())
