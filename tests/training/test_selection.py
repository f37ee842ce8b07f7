"""Greedy selection: the best single member first, then whatever improves the mean most."""

import itertools

import pytest
import torch

from treadle.training.selection import select

TARGET = torch.tensor([0.0, 1.0, 2.0, 3.0, 4.0, 5.0])
MEMBERS = {
    "low": TARGET - 1.0,
    "high": TARGET + 1.5,
    "noise": torch.tensor([9.0, -7.0, 5.0, 0.0, 8.0, -3.0]),
}


def score(prediction):
    return float((prediction - TARGET).square().mean())


def test_errors_that_cancel_are_mixed_and_noise_gets_no_weight():
    found = select(MEMBERS, score=score, rounds=5)

    assert found.picks[0] == "low"  # the best by itself
    assert found.weights == {"low": 0.6, "high": 0.4}  # 3 * -1 + 2 * 1.5 = 0
    assert found.scores[4] == pytest.approx(0.0, abs=1e-12)


def test_the_first_of_the_best_rounds_is_kept():
    found = select({"exact": TARGET, "high": MEMBERS["high"]}, score=score, rounds=10)

    assert (found.best_round, found.weights) == (1, {"exact": 1.0})


def test_of_members_that_are_alike_the_first_is_taken():
    assert select({"b": TARGET, "a": TARGET.clone()}, score=score, rounds=3).picks == ["b", "b", "b"]


def test_a_score_that_is_not_a_number_is_never_the_best():
    broken = {"broken": torch.full_like(TARGET, torch.nan), **MEMBERS}

    assert "broken" not in select(broken, score=score, rounds=5).picks


def test_each_round_is_the_best_that_one_more_member_can_give():
    generator = torch.Generator().manual_seed(0)
    members = {str(i): TARGET + torch.randn(6, generator=generator) for i in range(4)}

    found = select(members, score=score, rounds=6)

    for count in range(6):
        before = found.picks[:count]
        options = [torch.stack([members[n] for n in [*before, name]]).mean(dim=0) for name in members]
        assert found.scores[count] == pytest.approx(min(map(score, options)))


def test_classes_are_mixed_as_probabilities():
    first, second = torch.tensor([[0.9, 0.1], [0.6, 0.4]]), torch.tensor([[0.5, 0.5], [0.2, 0.8]])
    truth = torch.tensor([0, 1])

    def log_loss(shares):
        return float(-shares.gather(1, truth[:, None]).log().mean())

    found = select({"first": first, "second": second}, score=log_loss, rounds=4)

    tried = [log_loss((a * first + (4 - a) * second) / 4) for a, _ in itertools.product(range(5), range(1))]
    assert found.scores[3] == pytest.approx(min(tried), abs=0.02)
    assert sum(found.weights.values()) == pytest.approx(1)
