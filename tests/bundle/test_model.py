"""The network's output becomes predictions."""

import pytest
import torch

from treadle.bundle import to_prediction


def test_members_are_averaged_as_probabilities():
    output = torch.tensor([[[4.0], [-4.0], [0.0]]])

    assert to_prediction(output, task="binary", link="identity").tolist() == pytest.approx([0.5])
    assert to_prediction(output, task="regression", link="identity").tolist() == pytest.approx([0.0])
    assert to_prediction(torch.zeros(2, 3, 4), task="multiclass", link="identity").shape == (2, 4)
