"""Rows whose label is not certain stand once for each class, and the expected loss is the sum of the weighted ones."""

import polars as pl
import pytest
import torch

from treadle.features.label_shares import cut_evenly, spread_labels
from treadle.schema import Batch


def make_rows(count, *, dtype=torch.float64):
    numeric = torch.arange(count, dtype=torch.float32)[:, None]
    ids = torch.zeros(count, 0, dtype=torch.int64)
    return Batch.of_numbers(numeric, ids, torch.zeros(count, dtype=dtype), torch.full((count,), 2.0))


def test_a_row_stands_once_for_each_class_that_it_may_be_of():
    shares = pl.DataFrame({"negative": [0.25, 1.0, 0.0], "positive": [0.75, 0.0, 1.0]}).to_struct()

    rows = spread_labels(make_rows(3), shares, classes=[])

    assert rows.numeric[:, 0].tolist() == [0, 0, 1, 2]
    assert rows.target.tolist() == [0, 1, 0, 1]
    assert rows.target.dtype == torch.float64
    assert rows.weight.tolist() == [0.5, 1.5, 2.0, 2.0]
    assert rows.pixels.shape == (4, 0)


def test_targets_are_the_positions_of_classes_whatever_the_order_of_the_shares():
    shares = pl.DataFrame({"rare": [0.1], "b": [0.7], "^a$": [0.2]}).to_struct()

    rows = spread_labels(make_rows(1, dtype=torch.int64), shares, classes=["^a$", "b"])

    assert rows.target.tolist() == [0, 1]
    assert rows.weight.tolist() == pytest.approx([0.4, 1.4])


@pytest.mark.parametrize("sizes", [[4, 4, 1], [3, 7, 1, 9], [1], [9]])
def test_parts_of_any_length_become_parts_of_one(sizes):
    whole = make_rows(sum(sizes))
    parts = [Batch(*part) for part in zip(*(values.split(sizes) for values in whole), strict=True)]

    found = list(cut_evenly(iter(parts), 4))

    assert all(len(part.target) == 4 for part in found[:-1])
    assert 0 < len(found[-1].target) <= 4
    assert torch.equal(torch.cat([part.numeric for part in found]), whole.numeric)
