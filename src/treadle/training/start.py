"""Begin training with the weights of a bundle."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from treadle.bundle import Bundle, load
from treadle.errors import TreadleError
from treadle.experiment.source_bundles import require_source, split_source
from treadle.experiment.spec import Experiment
from treadle.features.featurizer import STATE_FILE, Featurizer
from treadle.json_files import read_json
from treadle.training.epochs import write_line

_MOST = 3  # names in a message


def start_from(
    bundle: Path,
    network: nn.Module,
    *,
    experiment: Experiment,
    classes: Sequence[str],
    featurizer: Featurizer,
    features: Path,
) -> None:
    """Give the network the bundle's weights. What differs in the fitted numbers of the features is reported.

    Args:
        bundle: its folder.
        network: built for the experiment.
        experiment: checked.
        classes: of the training examples.
        featurizer: of the experiment.
        features: the folder of its features.

    Raises:
        TreadleError: inputs, classes or weights of the bundle are others.
    """
    text = experiment.schedule.start_from
    assert text is not None, "the caller asks for it"
    place, _ = split_source(text)
    require_source(text, bundle, key="schedule.start_from")
    before = load(bundle, targets=experiment.targets, code="any")
    if not isinstance(before, Bundle) or not isinstance(before.model, nn.Module):
        raise TreadleError(f"schedule.start_from: {place} is no network, and has no weights to start from")
    states = [read_json(folder / STATE_FILE) for folder in (bundle, features)]
    found = [
        *_compare("task", [before.task], [experiment.data.answer]),
        *_compare("classes", before.classes, classes),
        *_compare("numeric inputs", before.featurizer.numeric_names, featurizer.numeric_names),
        *_compare("categorical inputs", before.featurizer.id_names, featurizer.id_names),
        *_compare_vocabularies(*states),
        *_compare_weights(before.model.state_dict(), network.state_dict()),
    ]
    if found:
        listed = "".join(f"\n  {line}" for line in found)
        raise TreadleError(f"schedule.start_from: the bundle of {place} does not fit this experiment:{listed}")
    network.load_state_dict(before.model.state_dict())
    if changed := _list_fitted(before.featurizer, featurizer):
        write_line(f"start      from {place}; fitted anew on these rows: {', '.join(changed)}")


def _compare(what: str, before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    if list(before) == list(now):
        return
    only = {"the bundle": [n for n in before if n not in now], "this run": [n for n in now if n not in before]}
    parts = [f"{_shorten(names)} only in {where}" for where, names in only.items() if names]
    yield f"{what}: {'; '.join(parts) or 'in another order'}"


def _compare_vocabularies(before: Mapping[str, Any], now: Mapping[str, Any]) -> Iterator[str]:
    old, new = before["encoders"], now["encoders"]
    differing = [name for name in old.keys() & new.keys() if old[name] != new[name]]
    if differing:
        yield f"vocabulary of the blocks: {_shorten(sorted(differing))}"


def _compare_weights(before: Mapping[str, torch.Tensor], now: Mapping[str, torch.Tensor]) -> Iterator[str]:
    yield from _compare("weights", list(before), list(now))
    shapes = [
        f"{name} {tuple(before[name].shape)} -> {tuple(now[name].shape)}"
        for name in before.keys() & now.keys()
        if before[name].shape != now[name].shape
    ]
    if shapes:
        yield f"shapes: {_shorten(sorted(shapes))}"


def _list_fitted(before: Featurizer, now: Featurizer) -> list[str]:
    """The fitted parts of the features whose numbers differ."""
    ours = now.state_dict()
    return sorted(name for name, value in before.state_dict().items() if not torch.equal(value, ours[name]))


def _shorten(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST} more" if len(names) > _MOST else ""
    return f"{', '.join(names[:_MOST])}{more}"
