"""Dropout: which units, how many, and what stays."""

import pytest
import torch

from treadle.models.dropout import Dropout


def test_outside_of_training_nothing_changes():
    x = torch.randn(3, 5)

    assert Dropout(0.5).eval()(x) is x


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_the_share_is_dropped_and_the_mean_stays(share, dtype):
    torch.manual_seed(0)

    y = Dropout(share)(torch.ones(400, 501, dtype=dtype))  # 200,400 units are not whole words

    assert y.dtype == dtype
    assert float((y == 0).float().mean()) == pytest.approx(share, abs=0.005)
    assert float(y.float().mean()) == pytest.approx(1.0, abs=0.02)
    assert len(y.unique()) == 2


def test_units_are_drawn_one_by_one():
    torch.manual_seed(0)

    dropped = Dropout(0.5)(torch.ones(1000, 16)) == 0

    assert torch.corrcoef(dropped.T.float()).fill_diagonal_(0).abs().max() < 0.15


def test_gradients_go_through_what_is_kept():
    torch.manual_seed(0)
    x = torch.randn(20, 30, requires_grad=True)

    y = Dropout(0.25)(x)
    y.sum().backward()

    assert torch.equal(x.grad == 0, y == 0)
    assert torch.allclose(x.grad[y != 0], torch.tensor(256 / 192))


def test_the_same_seed_drops_the_same_units():
    drop, x = Dropout(0.5), torch.ones(7, 9)

    torch.manual_seed(3)
    first = drop(x)
    torch.manual_seed(3)

    assert torch.equal(drop(x), first)
    assert not torch.equal(drop(x), first)


@pytest.mark.parametrize("share", [0.0001, 0.9999])
def test_extreme_shares_leave_some_and_drop_some(share):
    torch.manual_seed(0)

    y = Dropout(share)(torch.ones(100_000))

    assert 0 < int((y == 0).sum()) < 100_000
