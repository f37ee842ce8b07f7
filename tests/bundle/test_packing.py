"""Weights in 8 bits: how far they are from those that they come from, and files that do not fit."""

import pytest
import torch

from treadle.bundle.packing import list_packable, pack, unpack
from treadle.errors import TreadleError

PARAMETERS = {"matrix", "stack", "thin", "vector", "double"}


@pytest.fixture
def tensors():
    generator = torch.Generator().manual_seed(0)
    matrix = torch.randn(20, 16, generator=generator) * torch.logspace(-3, 3, 20)[:, None]
    matrix[3] = 0
    return {
        "matrix": matrix,
        "stack": torch.randn(4, 5, 8, generator=generator),
        "thin": torch.randn(50, 2, generator=generator),
        "vector": torch.randn(64, generator=generator),
        "double": torch.randn(9, 9, dtype=torch.float64, generator=generator),
        "edges": torch.randn(9, 9, generator=generator),  # a buffer
    }


def test_a_weight_is_off_by_half_a_step_of_its_row_and_all_else_stays(tensors, tmp_path):
    packed = pack(tensors, parameters=PARAMETERS)
    found = unpack(packed, file=tmp_path)

    assert list_packable(tensors, parameters=PARAMETERS) == ["matrix", "stack"]
    assert {name for name, tensor in packed.items() if tensor.dtype == torch.int8} == {"matrix", "stack"}
    assert found.keys() == tensors.keys()
    for name in ("matrix", "stack"):
        step = tensors[name].abs().amax(dim=-1, keepdim=True) / 127
        assert found[name].dtype == torch.float32
        assert ((found[name] - tensors[name]).abs() <= step * 0.5001).all()
    assert (found["matrix"][3] == 0).all()
    assert all(torch.equal(found[name], tensors[name]) for name in ("thin", "vector", "double", "edges"))


def test_packing_again_changes_nothing(tensors, tmp_path):
    once = unpack(pack(tensors, parameters=PARAMETERS), file=tmp_path)

    twice = unpack(pack(once, parameters=PARAMETERS), file=tmp_path)

    torch.testing.assert_close(twice["matrix"], once["matrix"], rtol=1e-6, atol=0)


BAD = {
    "no weights": ({"scale:w": torch.ones(3, 1)}, "must be float32, beside 'w' in int8"),
    "weights of another type": ({"w": torch.ones(3, 9), "scale:w": torch.ones(3, 1)}, "beside 'w' in int8"),
    "a scale too few": (
        {"w": torch.ones(3, 9, dtype=torch.int8), "scale:w": torch.ones(2, 1)},
        "a scale for each row of 'w'",
    ),
    "one scale": ({"w": torch.ones(3, 9, dtype=torch.int8), "scale:w": torch.ones(())}, "a scale for each row of 'w'"),
    "no row": ({"w": torch.tensor(3, dtype=torch.int8), "scale:w": torch.ones(1)}, "a scale for each row of 'w'"),
}


@pytest.mark.parametrize(("tensors", "told"), BAD.values(), ids=BAD)
def test_scales_that_do_not_fit_are_refused(tensors, told, tmp_path):
    with pytest.raises(TreadleError, match=told):
        unpack(tensors, file=tmp_path / "network.pt")
