"""What stands for operators that ONNX lacks gives their numbers."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from treadle.export.decompositions import find_places, invert_erf, stack_columns

SPECIAL = [float("nan"), float("inf"), float("-inf")]


@given(
    edges=st.lists(st.integers(-5, 5), min_size=1, max_size=17).map(sorted),
    values=st.lists(st.floats(-7, 7) | st.integers(-6, 6).map(float), min_size=1, max_size=8),
    right=st.booleans(),
)
def test_bisection_finds_the_places_of_searchsorted(edges, values, right):
    one = torch.tensor(edges, dtype=torch.float64)
    several = torch.stack([one, one.roll(1).sort().values + 0.5])
    asked = torch.tensor([values + SPECIAL] * 2, dtype=torch.float64)

    assert torch.equal(find_places(one, asked[0], right=right), torch.searchsorted(one, asked[0], right=right))
    assert torch.equal(find_places(several, asked, right=right), torch.searchsorted(several, asked, right=right))


def test_edges_may_be_padded_with_infinity():
    edges = torch.tensor([[0.0, 1.0, torch.inf, torch.inf]])
    asked = torch.tensor([[-1.0, 0.0, 0.5, 7.0, torch.inf, torch.nan]])

    for side in ("left", "right"):
        assert torch.equal(find_places(edges, asked, side=side), torch.searchsorted(edges, asked, side=side))
    assert find_places(edges, asked, out_int32=True).dtype == torch.int32


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_the_rational_approximation_is_erfinv(dtype):
    middle = torch.linspace(-1, 1, 20_001, dtype=dtype)[1:-1]
    tails = 1 - torch.logspace(-15, -3, 500, dtype=torch.float64)
    asked = torch.cat([middle, tails.to(dtype).clamp(max=1 - torch.finfo(dtype).eps)])

    found, wanted = invert_erf(asked), torch.erfinv(asked)

    assert found.dtype == dtype
    assert torch.allclose(found, wanted, rtol=4 * torch.finfo(dtype).eps, atol=torch.finfo(dtype).tiny)
    outside = torch.tensor([1.0, -1.0, 1.5, torch.nan], dtype=dtype)
    assert torch.equal(invert_erf(outside).nan_to_num(nan=9.0), torch.erfinv(outside).nan_to_num(nan=9.0))


def test_columns_are_stacked_as_by_torch():
    one, several = torch.arange(3.0), torch.ones(3, 2)

    assert torch.equal(stack_columns([one, several]), torch.column_stack([one, several]))
