"""Piecewise-linear embeddings: where bins lie, and what a number becomes."""

import io

import pytest
import torch

from treadle.bundle import build_model
from treadle.models.piecewise import Bins, PiecewiseEmbeddings


def make_bins(columns, *, num_bins, **limits):
    bins = Bins(torch.linspace(-1, 1, num_bins + 1).repeat(len(columns), 1))
    bins.fit(torch.tensor(columns).T, **limits)
    return bins


def test_a_number_fills_the_bins_below_it_and_a_share_of_its_own():
    bins = make_bins([[0.0, 1.0, 2.0, 3.0, 4.0]], num_bins=4)

    filled = bins(torch.tensor([[0.0], [2.25], [9.0], [-9.0]]))[:, 0]

    assert filled.tolist() == [[0, 0, 0, 0], [1, 1, 0.25, 0], [1, 1, 1, 1], [0, 0, 0, 0]]


def test_bins_lie_between_quantiles_of_each_column():
    bins = make_bins([[0.0, 1.0, 2.0, 3.0, 100.0], [0.0, 10.0, 20.0, 30.0, 40.0]], num_bins=2)

    filled = bins(torch.tensor([[1.0, 30.0]]))[0]

    assert filled.tolist() == [[0.5, 0], [1, 0.5]]


def test_quantiles_of_one_value_share_their_bin_and_the_bins_left_over_stay_empty():
    bins = make_bins([[0.0, 0.0, 0.0, 0.0, 8.0], [1.0, 1.0, 1.0, 1.0, 1.0]], num_bins=4)

    filled = bins(torch.tensor([[4.0, 1.0], [0.0, 2.0]]))

    assert filled.tolist() == [[[0.5, 0, 0, 0], [0, 0, 0, 0]], [[0, 0, 0, 0], [0, 0, 0, 0]]]


def test_more_rows_than_quantiles_need_are_passed_over_evenly():
    few = make_bins([list(map(float, range(9)))], num_bins=4, max_rows=5)

    assert few(torch.tensor([[3.0]]))[0, 0].tolist() == [1, 0.5, 0, 0]


def test_an_embedding_is_a_line_at_first():
    embeddings = PiecewiseEmbeddings(num_numeric=1, num_bins=8, embedding_dim=3)

    low, middle, high = embeddings(torch.tensor([[-1.0], [0.0], [1.0]]))

    assert torch.allclose(low + high, 2 * middle, atol=1e-6)


NODE = {
    "_target_": "treadle.models.tabm.TabM",
    "k": 2,
    "num_blocks": 1,
    "width": 16,
    "dropout": 0.0,
    "arch_type": "tabm-mini",
    "numeric_embedding": "piecewise",
    "num_frequencies": None,
    "frequency_scale": None,
    "num_bins": 8,
    "numeric_embedding_dim": 4,
}


def build(num_numeric=2):
    torch.manual_seed(0)
    return build_model(NODE, targets=["treadle.models."], num_numeric=num_numeric, cardinalities=[3], num_classes=0)


def test_bins_travel_with_the_weights():
    numeric, ids = torch.randn(64, 2) * 7 + 5, torch.zeros(64, 1, dtype=torch.int64)
    model, other = build(), build()
    model.fit_inputs(numeric)
    torch.nn.init.normal_(model.net.num_module.linear.weight)
    file = io.BytesIO()
    torch.save(model.state_dict(), file)
    file.seek(0)

    other.load_state_dict(torch.load(file, weights_only=True))

    assert torch.equal(model.eval()(numeric, ids), other.eval()(numeric, ids))


def test_a_table_without_numbers_has_nothing_to_fit():
    model = build(num_numeric=0)

    model.fit_inputs(torch.empty(5, 0))

    assert model(torch.empty(5, 0), torch.zeros(5, 1, dtype=torch.int64)).shape == (5, 2, 1)


@pytest.mark.parametrize("num_rows", [0, 1])
def test_hardly_any_rows_are_enough(num_rows):
    model = build()

    if num_rows:
        model.fit_inputs(torch.zeros(num_rows, 2))

    assert model(torch.zeros(3, 2), torch.zeros(3, 1, dtype=torch.int64)).isfinite().all()
