"""The state of an optimizer, such as Adam's moments: kept beside the bundle, for a training that goes on with it.

It holds what the optimizer has learned of each weight. What the configuration says (rate, decay, betas) is no part of
it, nor is the place in the learning-rate schedule: both are the new training's own.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from treadle.errors import TreadleError
from treadle.experiment.source_bundles import find_optimizer
from treadle.tensor_files import read_tensors

State = Mapping[str, Mapping[str, Tensor]]  # by weight of the network, what the optimizer keeps for it, by its names
NO_STATE: State = {}

_NETWORK = "network."  # begins the learner's names of the network's weights; a loss of the user's may have others


def name_optimized(learner: nn.Module, optimizer: Optimizer) -> list[str]:
    """The learner's names of the weights, in the order in which the optimizer counts them; empty for a shard."""
    names = {parameter: name for name, parameter in learner.named_parameters()}
    return [names.get(parameter, "") for group in optimizer.param_groups for parameter in group["params"]]


def flatten_state(checkpoint: Mapping[str, Any]) -> dict[str, Tensor]:
    """What a checkpoint of Lightning's holds of it, each tensor as `<weight>/<name>`.

    Empty where the optimizer keeps nothing, or something else than tensors of single weights, as LBFGS does, and where
    its weights are shards.
    """
    names, kept = checkpoint["optimized"], checkpoint["optimizer_states"][0]["state"]
    found: dict[str, Tensor] = {}
    for place, values in kept.items():
        name, present = names[place], {key: value for key, value in values.items() if value is not None}
        if name not in checkpoint["state_dict"] or not all(isinstance(value, Tensor) for value in present.values()):
            return {}
        if name.startswith(_NETWORK):
            weight = name.removeprefix(_NETWORK)
            found |= {f"{weight}/{key}": value.cpu() for key, value in present.items()}
    return found


def read_state(bundle: Path) -> State:
    """The state that the training of a bundle has left beside it.

    Raises:
        TreadleError: it is there no more.
    """
    file = find_optimizer(bundle)
    if file is None:
        raise TreadleError(f"schedule.start_optimizer: the state of the optimizer is not beside {bundle} any more")
    return unflatten_state(read_tensors(file))


def unflatten_state(tensors: Mapping[str, Tensor]) -> State:
    """The state of what `flatten_state` gave."""
    state: dict[str, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        weight, _, name = key.rpartition("/")
        state.setdefault(weight, {})[name] = value
    return state


def carry_state(
    state: State, moved: Mapping[str, tuple[int, Tensor]], *, weights: Mapping[str, Tensor]
) -> dict[str, dict[str, Tensor]]:
    """The state, with that of each id at its place in the network.

    That of a new word is zero: what an optimizer knows of a word that it has never seen.

    Args:
        state: of the network before.
        moved: by weight, its dimension of the ids, and for each place there the place before.
        weights: before.

    Raises:
        TreadleError: it is not one number for each weight, as Adafactor's is not.
    """
    carried = {weight: dict(values) for weight, values in state.items()}
    for weight in moved.keys() & state.keys():
        for name, value in state[weight].items():
            if value.ndim and value.shape != weights[weight].shape:
                raise TreadleError(f"optimizer: words have changed, and it keeps {name} for several of them together")
            if value.ndim:
                carried[weight][name] = _move(value, *moved[weight])
    return carried


def _move(value: Tensor, dim: int, places: Tensor) -> Tensor:
    return value.index_select(dim, places).index_fill(dim, find_new(places), 0.0)


def find_new(places: Tensor) -> Tensor:
    """The places of new words: each was unknown before, as what is still unknown, whose place comes first.

    Args:
        places: `[P]` of each place the one before.
    """
    order = torch.arange(len(places))
    first = torch.zeros(int(places.max()) + 1, dtype=torch.int64)
    first = first.scatter_reduce(0, places, order, "amin", include_self=False)
    return order[first[places] != order]


def restore(state: State, learner: nn.Module, optimizer: Optimizer, *, make: Callable[..., Optimizer]) -> None:
    """Give the optimizer the state, in place.

    Args:
        state: of the network's weights; those of others begin anew. Its tensors become the optimizer's own, which
            changes them: there may be as many of them as there is memory for.
        learner: of which the network is a part.
        optimizer: of its weights, before its first step.
        make: another one of its kind, of `params`.

    Raises:
        TreadleError: the optimizer keeps something else.
    """
    usual = _try_out(learner, make)
    for weight, values in state.items():
        found, wanted = _describe(values), usual[f"{_NETWORK}{weight}"]
        if found != wanted:
            raise TreadleError(
                f"schedule.start_optimizer: the optimizer of the bundle kept {found} for {weight}, schedule.optimizer "
                f"keeps {wanted or 'nothing'}; give it the same settings, or add schedule.start_optimizer=anew"
            )
    given = {f"{_NETWORK}{weight}": values for weight, values in state.items()}
    names = name_optimized(learner, optimizer)
    by_place = {place: dict(given[name]) for place, name in enumerate(names) if name in given}
    optimizer.load_state_dict({**optimizer.state_dict(), "state": by_place})


def _try_out(learner: nn.Module, make: Callable[..., Optimizer]) -> dict[str, str]:
    """What an optimizer of this kind keeps for each weight: after a step of copies, by gradients of zero."""
    copies = {name: nn.Parameter(torch.zeros_like(weight)) for name, weight in learner.named_parameters()}
    for copy in copies.values():
        copy.grad = torch.zeros_like(copy)
    optimizer = make(params=list(copies.values()))
    optimizer.step()
    return {name: _describe(optimizer.state.get(copy, {})) for name, copy in copies.items()}


def _describe(values: Mapping[str, Any]) -> str:
    shapes = {name: list(value.shape) for name, value in values.items() if isinstance(value, Tensor)}
    return ", ".join(f"{name} {shape or 'number'}" for name, shape in sorted(shapes.items()))
