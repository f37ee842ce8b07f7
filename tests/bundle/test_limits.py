"""A network may be as large as its weights: one that is larger is stopped before the memory is taken."""

import pytest
import torch
from torch import nn

from treadle.bundle.limits import limit_building
from treadle.errors import TreadleError

WEIGHTS = {"weight": torch.zeros(10, 10)}
HUGE = 10**12


def allocate_numbers():
    torch.empty(HUGE)


def allocate_by_steps():
    torch.linspace(0, 1, HUGE)


def allocate_at_random():
    torch.randn(HUGE, generator=torch.Generator())


def make_many_layers():
    nn.Sequential(*(nn.Linear(1, 1) for _ in range(HUGE)))


def make_many_modules():
    nn.Sequential(*(nn.Sequential(nn.ReLU()) for _ in range(HUGE)))


def repeat_without_end():
    numbers = torch.zeros(1)
    while True:
        numbers = numbers + 1


def double_without_end():
    numbers = torch.zeros(2)
    while True:
        numbers = torch.cat([numbers, numbers])


@pytest.mark.parametrize(
    "make",
    [
        allocate_numbers,
        allocate_by_steps,
        allocate_at_random,
        make_many_layers,
        make_many_modules,
        repeat_without_end,
        double_without_end,
    ],
)
def test_what_the_weights_do_not_account_for_is_stopped(make):
    with pytest.raises(TreadleError, match="larger than the weights"), limit_building(WEIGHTS):
        make()


def test_a_network_of_ones_own_may_compute_as_it_likes():
    with limit_building(WEIGHTS):
        layer = nn.Linear(10, 10)
        scale = float(layer.weight.abs().max().item())
        draws = torch.randn(3, generator=torch.Generator().manual_seed(0)).numpy()

    assert 0 < scale < 1
    assert len(draws) == 3
    nn.Linear(1000, 10_000)  # the limit ends with the block
