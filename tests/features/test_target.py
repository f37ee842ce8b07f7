import pytest
import torch

from treadle.features.target import measure_target, scale_target


@pytest.mark.parametrize("offset", [0.0, 1.7e9, -1.7e9, 1e12])
def test_a_target_keeps_what_distinguishes_its_rows_however_large_it_is(offset):
    small = torch.randn(1000, generator=torch.Generator().manual_seed(0), dtype=torch.float64).mul(64).round()

    mean, scale = measure_target(lambda: (small + offset).split(300))
    scaled = scale_target(small + offset, mean=mean, scale=scale)

    assert scaled.dtype == torch.float32
    assert torch.allclose(scaled.double(), (small - small.mean()) / small.std(correction=0), atol=1e-5)


@pytest.mark.parametrize("value", [0.0, 0.1, 1.7e9, -1e-20])
def test_a_constant_target_is_not_scaled(value):
    _, scale = measure_target(lambda: [torch.full((999,), value, dtype=torch.float64)])

    assert scale == 1.0


def test_a_target_of_tiny_numbers_is_scaled():
    _, scale = measure_target(lambda: [torch.tensor([1e-20, 3e-20], dtype=torch.float64)])

    assert scale == pytest.approx(1e-20)


def test_positions_of_classes_stay():
    assert scale_target(torch.tensor([2, -1]), mean=0.0, scale=1.0).tolist() == [2, -1]
