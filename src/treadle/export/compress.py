"""A bundle whose weights are stored in 8 bits, held against the one that it comes from before it is there."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import polars as pl
from torch import Tensor, nn

from treadle.bundle import BlendBundle, Bundle, Predictor, load, save
from treadle.bundle.packing import list_packable
from treadle.errors import TreadleError
from treadle.evaluation.evaluate import measure, predict_rows
from treadle.evaluation.parity import read_predictions
from treadle.experiment.spec import Experiment
from treadle.export.writing import writing
from treadle.metrics.registry import find_metric
from treadle.schema import UsableCode


@dataclass(frozen=True)
class Compressed:
    """What was written, and what it costs."""

    folder: Path
    num_packed: int  # tensors
    num_tensors: int
    size_before: int  # of all files of the bundle [bytes]
    size: int
    metric: str
    score_before: float
    score: float
    num_rows: int  # of the test split
    largest_difference: float  # of a prediction


def compress(
    bundle: Predictor,
    *,
    folder: Path,
    source: Path,
    test: pl.LazyFrame,
    experiment: Experiment,
    tolerance: float,
    targets: Sequence[str],
    code: UsableCode,
) -> Compressed:
    """Write the bundle with packed weights, and compare both on the test split.

    Args:
        bundle: of a network, or of a blend that has one.
        folder: is made.
        source: folder of the bundle.
        test: the rows of the test split, with their labels.
        experiment: that trained it.
        tolerance: by how much `evaluation.metric` may become worse, as a share of what it was.
        targets: prefixes of the classes that may be built.
        code: whether the installed code must be that of the training.

    Raises:
        TreadleError: nothing can be packed, the folder is not empty, or the metric becomes worse than the tolerance.
    """
    tensors = list(_list_tensors(bundle))
    num_packed = sum(is_packed for _, is_packed in tensors)
    if not num_packed:
        kind = "it holds no network" if not tensors else "its network has no large matrices of weights"
        raise TreadleError(f"{source}: nothing can be compressed: {kind}")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise TreadleError(f"{folder} exists already; name a folder that does not, or an empty one")
    with writing(folder) as part:
        save(_mark(bundle), part)
        packed = load(part, targets=targets, code=code)
        before, target = _predict(bundle, test)
        after, _ = _predict(packed, test)
        score_before, score = (_score(predictions, target, experiment, bundle) for predictions in (before, after))
        _require_score(score_before, score, experiment=experiment, tolerance=tolerance)
        size_before, size = _measure_size(source), _measure_size(part)
    return Compressed(
        folder=folder,
        num_packed=num_packed,
        num_tensors=len(tensors),
        size_before=size_before,
        size=size,
        metric=experiment.evaluation.metric,
        score_before=score_before,
        score=score,
        num_rows=len(target),
        largest_difference=float((after.double() - before.double()).abs().max()),
    )


def _list_tensors(bundle: Predictor) -> Iterator[tuple[str, bool]]:
    """The tensors of all networks, and whether each is packed."""
    if isinstance(bundle, BlendBundle):
        for member in bundle.members.values():
            yield from _list_tensors(member)
    elif isinstance(bundle, Bundle) and isinstance(bundle.model, nn.Module):
        state, parameters = bundle.model.state_dict(), {name for name, _ in bundle.model.named_parameters()}
        packable = set(list_packable(state, parameters=parameters))
        yield from ((name, name in packable) for name in state)


def _mark(bundle: Predictor) -> Predictor:
    """The bundle, or the members that are networks, as one that is stored in 8 bits."""
    if isinstance(bundle, BlendBundle):
        marked = {
            name: member if not any(_list_tensors(member)) else _store(member)
            for name, member in bundle.members.items()
        }
        return replace(bundle, members=marked)
    assert isinstance(bundle, Bundle), "it is no blend"
    return _store(bundle)


def _store(bundle: Bundle) -> Bundle:
    return replace(bundle, card=bundle.card.model_copy(update={"storage": "int8", "optimizer": None}))


def _predict(bundle: Predictor, rows: pl.LazyFrame) -> tuple[Tensor, Tensor]:
    predicted, target = predict_rows(bundle, rows)
    return read_predictions(predicted, bundle), target


def _score(predictions: Tensor, target: Tensor, experiment: Experiment, bundle: Predictor) -> float:
    return measure(experiment, predictions, target, bundle.card.thresholds)[experiment.evaluation.metric]


def _require_score(before: float, after: float, *, experiment: Experiment, tolerance: float) -> None:
    metric = find_metric(experiment, experiment.evaluation.metric)
    assert metric is not None, "the check has verified it"
    loss = before - after if metric.higher_is_better else after - before
    if not loss <= tolerance * abs(before):  # nor is a number that is none
        raise TreadleError(
            f"evaluation.metric: {metric.name} of the test split goes from {before:.6g} to {after:.6g}, which is worse "
            f"by more than {tolerance:g} of it; allow more with --tolerance, or leave the weights as they are"
        )


def _measure_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
