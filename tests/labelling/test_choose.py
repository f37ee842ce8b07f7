"""Rows of which the model is unsure come first, and those that differ before those that are alike."""

import pytest
import torch

from treadle.errors import TreadleError
from treadle.labelling.choose import choose_rows, score_rows

NO_IDS = torch.zeros(6, 0, dtype=torch.int64)


@pytest.mark.parametrize("by", ["margin", "entropy"])
@pytest.mark.parametrize(
    ("task", "shares"),
    [
        ("binary", [[0.5, 0.1, 0.7, 1.0]]),
        ("multiclass", [[[0.4, 0.4, 0.2], [0.9, 0.05, 0.05], [0.6, 0.3, 0.1], [1.0, 0.0, 0.0]]]),
    ],
)
def test_the_less_sure_a_prediction_the_higher_its_score(by, task, shares):
    scores = score_rows(torch.tensor(shares), task=task, by=by)

    assert scores.argsort(descending=True).tolist() == [0, 2, 1, 3]
    assert float(scores[3]) == pytest.approx(0)


def test_members_that_agree_do_not_disagree_however_unsure_they_are():
    members = torch.tensor([[0.5, 0.1, 0.9], [0.5, 0.9, 0.8]])

    scores = score_rows(members, task="binary", by="disagreement")

    assert float(scores[0]) == pytest.approx(0)
    assert scores[1] > scores[2] > 0


def test_of_a_regression_the_members_variance_counts():
    scores = score_rows(torch.tensor([[1.0, 5.0], [3.0, 5.0]]), task="regression", by="disagreement")

    assert scores.tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("task", "by", "members", "said"),
    [
        ("regression", "margin", torch.zeros(2, 3), "a regression has no classes; take --by disagreement"),
        ("binary", "disagreement", torch.zeros(1, 3), "the model has one member"),
    ],
)
def test_a_criterion_that_does_not_fit_is_refused_with_one_that_does(task, by, members, said):
    with pytest.raises(TreadleError, match=said):
        score_rows(members, task=task, by=by)


def test_of_rows_that_are_alike_one_is_enough():
    """Three equal rows of which the model is least sure, and two others far apart."""
    numeric = torch.tensor([[0.0], [0.0], [0.0], [9.0], [-9.0], [0.1]])
    scores = torch.tensor([1.0, 0.99, 0.98, 0.7, 0.6, 0.5])

    assert choose_rows(scores, numeric=numeric, ids=NO_IDS, budget=3) == [0, 3, 4]
    assert sorted(choose_rows(scores, numeric=numeric, ids=NO_IDS, budget=20)) == [*range(6)]


def test_ids_that_differ_and_missing_numbers_count():
    numeric = torch.full((6, 1), torch.nan)
    ids = torch.tensor([[1], [1], [1], [1], [2], [1]])

    assert choose_rows(torch.ones(6), numeric=numeric, ids=ids, budget=2) == [0, 4]


def test_no_row_is_no_choice():
    empty = torch.zeros(0, 2)
    assert choose_rows(torch.zeros(0), numeric=empty, ids=torch.zeros(0, 0, dtype=torch.int64), budget=3) == []
