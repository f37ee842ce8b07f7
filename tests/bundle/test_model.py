"""The network's output becomes predictions."""

import pytest
import torch
from torch import nn

from treadle.bundle import to_prediction
from treadle.bundle.model import measure_width


def test_members_are_averaged_as_probabilities():
    output = torch.tensor([[[4.0], [-4.0], [0.0]]])

    assert to_prediction(output, task="binary", link="identity").tolist() == pytest.approx([0.5])
    assert to_prediction(output, task="regression", link="identity").tolist() == pytest.approx([0.0])
    assert to_prediction(torch.zeros(2, 3, 4), task="multiclass", link="identity").shape == (2, 4)


def test_the_width_is_that_of_the_widest_module():
    class Widening(nn.Module):
        def __init__(self):
            super().__init__()
            self.net = nn.Sequential(nn.Linear(3, 500), nn.ReLU(), nn.Linear(500, 1))

        def forward(self, numeric, ids):  # noqa: ARG002 - as the bundle calls it
            return self.net(numeric)

    assert measure_width(Widening(), 3, 0, 0) == 500
