import pytest
import torch

from treadle.models.dcn_v2 import CrossLayer, DcnV2


def build(*, structure="stacked", rank=None, num_cross_layers=2):
    torch.manual_seed(0)
    return DcnV2(
        num_numeric=3, cardinalities=[4], num_outputs=1, structure=structure, num_cross_layers=num_cross_layers,
        rank=rank, num_layers=1, width=8, dropout=0.0, embedding_dim=2,
    )  # fmt: skip


def draw():
    generator = torch.Generator().manual_seed(1)
    return torch.randn(9, 3, generator=generator), torch.randint(4, (9, 1), generator=generator)


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


def test_a_cross_layer_is_its_formula():
    """x0 = (1, 2), x = (3, 5), W = ((1, 0), (2, -1)), b = (1, 0): W x + b = (4, 1); x0 times it, plus x: (7, 7)."""
    layer = CrossLayer(2, rank=None)
    with torch.no_grad():
        layer.linear.weight.copy_(torch.tensor([[1.0, 0.0], [2.0, -1.0]]))
        layer.linear.bias.copy_(torch.tensor([1.0, 0.0]))

    assert layer(torch.tensor([[1.0, 2.0]]), torch.tensor([[3.0, 5.0]])).tolist() == [[7.0, 7.0]]


def test_a_rank_makes_the_matrix_a_product_of_two():
    full, low = CrossLayer(5, rank=None), CrossLayer(5, rank=2)
    down, up = low.linear
    with torch.no_grad():
        full.linear.weight.copy_(up.weight @ down.weight)
        full.linear.bias.copy_(up.bias)
    first, x = torch.randn(6, 5), torch.randn(6, 5)

    assert torch.allclose(low(first, x), full(first, x), atol=1e-6)
    assert (count(full), count(low)) == (5 * 5 + 5, 2 * 5 * 2 + 5)


@pytest.mark.parametrize("num_layers", [1, 2, 3])
def test_n_layers_multiply_n_plus_1_features(num_layers):
    """Along one direction of the features the output is a polynomial of degree n + 1: its next difference is 0."""
    torch.manual_seed(0)
    crosses = [CrossLayer(4, rank=None).double() for _ in range(num_layers)]
    first = torch.linspace(-1, 1, num_layers + 3, dtype=torch.float64)[:, None] * torch.randn(4, dtype=torch.float64)
    x = first
    for cross in crosses:
        x = cross(first, x)

    assert x.diff(n=num_layers + 2, dim=0).abs().max() < 1e-12
    assert x.diff(n=num_layers + 1, dim=0).abs().max() > 1e-3


def test_stacked_layers_read_the_crosses_and_parallel_layers_the_features():
    rows = draw()

    for structure, same in (("stacked", False), ("parallel", True)):
        seen = []
        model = build(structure=structure)
        model.layers.register_forward_pre_hook(lambda _, inputs, seen=seen: seen.append(inputs[0]))
        model(*rows)
        features = torch.cat([rows[0], model.categories(rows[1])], dim=1)
        assert torch.equal(seen[0], features) == same


@pytest.mark.parametrize(("structure", "head"), [("stacked", 8 + 1), ("parallel", 8 + 5 + 1)])
@pytest.mark.parametrize(("rank", "cross"), [(None, 5 * 5 + 5), (2, 5 * 2 * 2 + 5)])
def test_sizes_are_those_worked_out_by_hand(structure, head, rank, cross):
    """Features: 3 numbers and 2 of a category; a table of 4 ids; one deep layer of 8."""
    assert count(build(structure=structure, rank=rank)) == 4 * 2 + 2 * cross + (5 * 8 + 8) + head
