"""Rules with planted accuracies: the label model finds them without a label, and beats the majority of the votes."""

import numpy as np
import polars as pl
import pytest

from treadle.data.label_model import ABSTAIN, Votes, count_majority, estimate

ACCURACIES, COVERAGES = (0.9, 0.8, 0.75, 0.7, 0.6, 0.85), (0.5, 0.9, 0.6, 1.0, 0.8, 0.2)


@pytest.fixture(scope="module")
def truth(root):
    people = pl.read_parquet(root / "data/adult/adult.parquet", columns=["income"])
    return (people["income"] == ">50K").to_numpy().astype(np.int64)


def plant(truth, *, num_classes=2, accuracies=ACCURACIES, coverages=COVERAGES, seed=0):
    """Votes `[N, J]` of rules that are right, and vote, so often, whatever the row."""
    generator = np.random.default_rng(seed)
    columns = []
    for accuracy, coverage in zip(accuracies, coverages, strict=True):
        wrong = (truth + generator.integers(1, num_classes, len(truth))) % num_classes
        votes = np.where(generator.random(len(truth)) < accuracy, truth, wrong)
        columns.append(np.where(generator.random(len(truth)) < coverage, votes, ABSTAIN))
    return np.stack(columns, axis=1)


def count(codes, num_classes=2):
    """The votes, and for each row the place of its pattern."""
    patterns, places, counts = np.unique(codes, axis=0, return_inverse=True, return_counts=True)
    return Votes(patterns, counts.astype(np.float64), num_classes), places.ravel()


def measure(codes, truth):
    """How often each rule is right where it votes."""
    return [float((votes == truth)[votes != ABSTAIN].mean()) for votes in codes.T]


def share_right(chances, places, truth):
    return float((chances.argmax(axis=1)[places] == truth).mean())


@pytest.mark.parametrize("told", [True, False], ids=["balance given", "balance estimated"])
def test_accuracies_are_found_without_a_label_and_beat_the_majority(truth, told):
    codes = plant(truth)
    votes, places = count(codes)
    balance = np.bincount(truth) / len(truth)

    model = estimate(votes, balance=balance if told else None)

    assert model.list_accuracies() == pytest.approx(measure(codes, truth), abs=0.02)
    assert model.balance == pytest.approx(balance, abs=0.02)
    by_model, by_majority = (
        share_right(chances, places, truth) for chances in (model.predict(votes), count_majority(votes))
    )
    assert by_model > by_majority + 0.02


def test_of_several_classes_too(root):
    cut = pl.read_parquet(root / "data/diamonds/diamonds.parquet", columns=["cut"])["cut"]
    truth = (cut.rank("dense") - 1).to_numpy().astype(np.int64)
    codes = plant(truth, num_classes=5)
    votes, places = count(codes, num_classes=5)

    model = estimate(votes, balance=None)

    assert model.list_accuracies() == pytest.approx(measure(codes, truth), abs=0.03)
    assert share_right(model.predict(votes), places, truth) > share_right(count_majority(votes), places, truth) + 0.02


def test_rules_may_vote_for_one_class_only(truth):
    codes = plant(truth)
    for rule, only in enumerate([1, 0, 1, 0, 1, 0]):
        codes[:, rule] = np.where(codes[:, rule] == only, only, ABSTAIN)
    votes, places = count(codes)

    model = estimate(votes, balance=np.bincount(truth) / len(truth))

    assert model.list_accuracies() == pytest.approx(measure(codes, truth), abs=0.03)
    assert share_right(model.predict(votes), places, truth) > share_right(count_majority(votes), places, truth)


def test_probabilities_come_true_as_often_as_they_say(truth):
    votes, places = count(plant(truth))
    chances = estimate(votes, balance=None).predict(votes)[places, 1]

    for low in (0.0, 0.2, 0.4, 0.6, 0.8):
        inside = (chances >= low) & (chances < low + 0.2)
        assert truth[inside].mean() == pytest.approx(chances[inside].mean(), abs=0.04)


def test_a_rule_that_repeats_another_counts_once(truth):
    codes = plant(truth)
    alone, again = count(codes)[0], count(np.column_stack([codes, codes[:, 3]]))[0]

    model = estimate(again, balance=None)

    assert model.first.tolist() == [0, 1, 2, 3, 4, 5, 3]
    assert model.predict(again) == pytest.approx(estimate(alone, balance=None).predict(alone))
    assert model.list_accuracies()[6] == model.list_accuracies()[3]


def test_rules_that_hang_together_are_found_and_do_not_vouch_for_each_other(truth):
    codes = plant(truth)
    noise = np.random.default_rng(1).random(len(truth)) < 0.3
    codes[:, 4] = np.where(noise, codes[:, 4], codes[:, 3])  # mostly a copy

    model = estimate(count(codes)[0], balance=np.bincount(truth) / len(truth))

    assert [(pair.first, pair.second) for pair in model.pairs] == [(3, 4)]
    assert model.list_accuracies() == pytest.approx(measure(codes, truth), abs=0.03)


def test_two_rules_are_too_few():
    votes, _ = count(np.array([[0, 1], [1, 1], [0, 0]]))

    assert estimate(votes, balance=None) is None
    assert count_majority(votes).tolist() == [[1, 0], [0.5, 0.5], [0, 1]]
