"""Begin training with the weights of a bundle, and where it is asked for with the state of its optimizer."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from treadle.bundle import Bundle, load
from treadle.errors import TreadleError
from treadle.experiment.source_bundles import require_source, split_source
from treadle.experiment.spec import Experiment
from treadle.features.featurizer import Featurizer
from treadle.json_files import read_json
from treadle.schema import HoldsIds, IdsBefore, SelectsIds
from treadle.training.epochs import write_line
from treadle.training.optimizer_state import NO_STATE, State, carry_state, read_state

_MOST = 3  # names in a message


def start_from(
    bundle: Path,
    network: nn.Module,
    *,
    experiment: Experiment,
    classes: Sequence[str],
    featurizer: Featurizer,
) -> State:
    """Give the network the bundle's weights, and report what else differs.

    A word that is new begins as what it was to the bundle, unknown: by the same fitted numbers the network predicts
    what the bundle does.

    Args:
        bundle: its folder.
        network: built for the experiment.
        experiment: checked.
        classes: of the training examples.
        featurizer: of the experiment, fitted.

    Returns:
        The state with which the optimizer continues; empty: it begins anew.

    Raises:
        TreadleError: inputs, classes, weights or the optimizer of the bundle are others.
    """
    text = experiment.schedule.start_from
    assert text is not None, "the caller asks for it"
    place, _ = split_source(text)
    require_source(text, bundle, key="schedule.start_from")
    before = load(bundle, targets=experiment.targets, code="any")
    if not isinstance(before, Bundle) or not isinstance(before.model, nn.Module):
        raise TreadleError(f"schedule.start_from: {place} is no network, and has no weights to start from")
    continues = experiment.schedule.start_optimizer == "continue"
    found = [
        *_compare("task", [before.task], [experiment.data.answer]),
        *_compare("classes", before.classes, classes),
        *_compare("numeric inputs", before.featurizer.numeric_names, featurizer.numeric_names),
        *_compare("categorical inputs", before.featurizer.id_names, featurizer.id_names),
    ]
    ids: list[IdsBefore] = []
    weights, state = before.model.state_dict(), read_state(bundle) if continues else NO_STATE
    if not found:
        try:
            ids = featurizer.trace_ids(before.featurizer)
            moved = trace_moved(network, ids)
            state = carry_state(state, moved, weights=weights)
            weights = carry_weights(weights, moved)
        except TreadleError as error:
            found.append(str(error))
        found += _compare_weights(weights, network.state_dict())
    if found:
        found += (other := _compare_arguments(bundle, experiment.network))
        if experiment.features.start_from is None and not other:
            found.append(f"features.start_from={place} keeps its transforms and vocabularies")
        listed = "".join(f"\n  {line}" for line in found)
        raise TreadleError(f"schedule.start_from: the bundle of {place} does not fit this experiment:{listed}")
    network.load_state_dict(weights)
    changed = _list_fitted(before.featurizer, featurizer)
    write_line(_describe(place, ids, changed=changed, continues=continues))
    return state


def _describe(place: str, ids: Sequence[IdsBefore], *, changed: Sequence[str], continues: bool) -> str:
    """What is as it was in the bundle, and what begins anew."""
    num_new = sum(int((each.places[1:] == 0).sum()) for each in ids)
    parts = [
        f"start      from the weights of {place}",
        "the optimizer goes on from its state" if continues else "the optimizer begins anew",
        *([f"{num_new:,} new words begin as unknown"] if num_new else []),
        f"fitted anew on these rows: {', '.join(changed)}" if changed else "transforms are as they were",
    ]
    return "; ".join(parts)


def trace_moved(network: nn.Module, ids: Sequence[IdsBefore]) -> dict[str, tuple[int, Tensor]]:
    """By name of a weight whose ids have moved: its dimension of the ids, and for each place there the place before.

    Raises:
        TreadleError: ids have moved, and the network does not say which weights are theirs.
    """
    if all(each.places.tolist() == list(range(each.cardinality)) for each in ids):
        return {}
    traced = _trace(network, ids, prefix="")
    if not traced:
        raise TreadleError(
            f"vocabulary: words have changed, and {type(network).__name__} does not say which of its weights belong to "
            "which (`trace_ids`); features.start_from keeps them"
        )
    return traced


def carry_weights(weights: Mapping[str, Tensor], moved: Mapping[str, tuple[int, Tensor]]) -> dict[str, Tensor]:
    """Weights of before, with those of each id at its place in the network."""
    return {name: value.index_select(*moved[name]) if name in moved else value for name, value in weights.items()}


def _trace(module: nn.Module, ids: Sequence[IdsBefore], *, prefix: str) -> dict[str, tuple[int, Tensor]]:
    """By name of a parameter: its dimension of the ids, and the places before."""
    found = {prefix + name: of for name, of in (module.trace_ids(ids) if isinstance(module, HoldsIds) else {}).items()}
    inner = module.select_ids(ids) if isinstance(module, SelectsIds) else ids
    for name, child in module.named_children():
        found |= _trace(child, inner, prefix=f"{prefix}{name}.")
    return found


def _compare(what: str, before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    if list(before) == list(now):
        return
    only = {"the bundle": [n for n in before if n not in now], "this run": [n for n in now if n not in before]}
    parts = [f"{_shorten(names)} only in {where}" for where, names in only.items() if names]
    yield f"{what}: {'; '.join(parts) or 'in another order'}"


def _compare_arguments(bundle: Path, network: Mapping[str, Any]) -> list[str]:
    """The arguments of the network that are others than the bundle's, where both are of one class."""
    before = read_json(bundle / "experiment.json")["model"]
    if before["_target_"] != network["_target_"]:
        return [f"model._target_: {before['_target_']} -> {network['_target_']}"]
    names = sorted(before.keys() | network.keys())
    return [f"model.{n}: {before.get(n)} -> {network.get(n)}" for n in names if before.get(n) != network.get(n)]


def _compare_weights(before: Mapping[str, Tensor], now: Mapping[str, Tensor]) -> Iterator[str]:
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
