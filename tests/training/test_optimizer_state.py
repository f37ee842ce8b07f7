"""The state of an optimizer: what is kept of it, and that a training goes on with it."""

from functools import partial

import pytest
import torch
from torch import nn

from runs import QUICK
from treadle.config.compose import compose
from treadle.errors import TreadleError
from treadle.experiment.spec import Experiment
from treadle.models.mlp import Mlp
from treadle.schema import Batch, IdsBefore
from treadle.training.fit import fit
from treadle.training.optimizer_state import (
    NO_STATE,
    carry_state,
    flatten_state,
    name_optimized,
    restore,
    unflatten_state,
)
from treadle.training.resume import LAST, read_weights
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling
from treadle.training.start import trace_moved

OPTIMIZERS = {
    "adamw": {"_target_": "torch.optim.AdamW", "lr": 0.01, "fused": True},
    "momentum": {"_target_": "torch.optim.SGD", "lr": 0.05, "momentum": 0.9},
    "rmsprop": {"_target_": "torch.optim.RMSprop", "lr": 0.003, "momentum": 0.5, "centered": True},
}


def make_rows(count):
    numeric = torch.randn(count, 5, generator=torch.Generator().manual_seed(0))
    target = numeric[:, 0] * numeric[:, 1] + numeric[:, 2]
    return MemoryRows(Batch.of_numbers(numeric, torch.zeros(count, 0, dtype=torch.int64), target, torch.ones(count)))


def make_network(cardinalities=()):
    torch.manual_seed(0)
    return Mlp(
        num_numeric=5, cardinalities=cardinalities, num_outputs=1, num_layers=2, width=16, dropout=0.0, embedding_dim=3
    )


def train(root, folder, optimizer, *, num_epochs, weights=None, state=NO_STATE):
    """All rows are one batch and the rate is constant, so that epochs differ in nothing; the last one's is returned."""
    quick = [override for override in QUICK if not override.startswith("schedule.")]
    chosen = ["schedule=default", f"schedule.max_epochs={num_epochs}", "schedule.early_stopping=null"]
    values = compose(overrides=[*quick, *chosen], root=root).values
    values["schedule"]["optimizer"] = OPTIMIZERS[optimizer]
    network, rows = make_network(), {"train": make_rows(200), "valid": make_rows(50)}
    network.load_state_dict(weights or network.state_dict())
    experiment = Experiment.model_validate(values)
    fit(network, rows, experiment, scaling=Scaling(), checkpoints=folder, callbacks=[], state=state)
    saved = torch.load(folder / LAST, weights_only=True)
    return read_weights(saved), unflatten_state(flatten_state(saved))


def measure_gap(a, b):
    return max(float((a[name] - b[name]).abs().max()) for name in a if a[name].numel())


@pytest.mark.slow
@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_two_halves_with_the_state_are_one_whole_and_without_it_are_not(root, tmp_path, optimizer):
    whole, _ = train(root, tmp_path / "whole", optimizer, num_epochs=6)
    half, state = train(root, tmp_path / "half", optimizer, num_epochs=3)

    continued, _ = train(root, tmp_path / "rest", optimizer, num_epochs=3, weights=half, state=state)
    anew, _ = train(root, tmp_path / "anew", optimizer, num_epochs=3, weights=half)

    assert measure_gap(continued, whole) < 1e-5, "rows of a sum are in another order"
    assert measure_gap(anew, whole) > 1e-3


def step(learner, optimizer):
    """A step by gradients that differ from weight to weight; and what a checkpoint says of it."""
    for number, weight in enumerate(learner.parameters(), start=1):
        weight.grad = torch.arange(weight.numel(), dtype=torch.float32).view_as(weight) + number
    optimizer.step(lambda: torch.zeros(()))
    kept = {"state_dict": learner.state_dict(), "optimizer_states": [optimizer.state_dict()]}
    return {**kept, "optimized": name_optimized(learner, optimizer)}


def wrap(network):
    return nn.ModuleDict({"network": network, "loss": nn.Linear(1, 1)})


def test_the_moments_of_a_word_move_with_it_and_a_new_one_has_none():
    before, after = make_network([3, 2]), make_network([4, 3])
    learner = wrap(before)
    state = unflatten_state(flatten_state(step(learner, torch.optim.Adam(learner.parameters()))))
    ids = [IdsBefore(torch.tensor([0, 2, 0, 1]), 3), IdsBefore(torch.tensor([0, 0, 1]), 2)]
    moved = trace_moved(after, ids)

    carried = carry_state(state, moved, weights=before.state_dict())

    (name,) = moved
    old, new = (kept[name]["exp_avg"] for kept in (state, carried))
    assert torch.equal(new[[0, 1, 3, 4, 6]], old[[0, 2, 1, 3, 4]])
    assert not new[[2, 5]].any()
    assert old.all()
    assert all(torch.equal(carried[name]["step"], torch.ones(())) for name in state)
    later = wrap(after)
    optimizer = torch.optim.Adam(later.parameters(), lr=0.5)
    restore(carried, later, optimizer, make=torch.optim.Adam)
    held = optimizer.state[after.get_parameter(name)]["exp_avg"]
    assert torch.equal(held, new)
    assert held.data_ptr() == new.data_ptr(), "large moments are in memory once"
    assert optimizer.param_groups[0]["lr"] == 0.5, "the rate is the configuration's"
    assert later["loss"].weight not in optimizer.state


def test_a_state_that_is_shared_by_several_words_cannot_move():
    before = wrap(make_network([3]))
    state = unflatten_state(flatten_state(step(before, torch.optim.Adafactor(before.parameters()))))
    moved = trace_moved(make_network([4]), [IdsBefore(torch.tensor([0, 1, 2, 0]), 3)])

    with pytest.raises(TreadleError, match=r"words have changed, and it keeps (row|col)_var for several of them"):
        carry_state(state, moved, weights=before["network"].state_dict())


def test_settings_that_need_another_state_are_refused():
    learner = wrap(make_network())
    state = unflatten_state(flatten_state(step(learner, torch.optim.Adam(learner.parameters()))))
    make = partial(torch.optim.Adam, amsgrad=True)

    with pytest.raises(TreadleError, match=r"schedule\.optimizer keeps .*max_exp_avg_sq .*give it the same settings"):
        restore(state, learner, make(params=learner.parameters()), make=make)


@pytest.mark.parametrize("kind", [torch.optim.SGD, torch.optim.LBFGS])
def test_an_optimizer_without_a_state_of_single_weights_leaves_none(kind):
    learner = wrap(make_network())

    assert flatten_state(step(learner, kind(learner.parameters()))) == {}
