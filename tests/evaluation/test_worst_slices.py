"""The search for the worst slices: what is planted is found, what is chance is not confirmed."""

from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from treadle.evaluation.checks.slices import limit_excess
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.scores import compute_losses
from treadle.evaluation.slices import SliceFindings
from treadle.evaluation.worst_slices import compute_excess, confirm, cut_columns, find_worst_slices

ROWS, DAYS = 8000, 40
SEARCH = {"min_rows": 50, "candidates": 10, "coverage": 0.95}


def simulate(seed, *, planted=None, day_effect=0.5):
    """A calibrated model, but for the planted rows, where it says the contrary; and for what days do."""
    generator = np.random.default_rng(seed)
    frame = pl.DataFrame(
        {
            "origin": generator.choice(["EWR", "JFK", "LGA"], size=ROWS),
            "carrier": generator.choice(["AA", "B6", "UA", "WN"], size=ROWS),
            "distance": generator.normal(size=ROWS),
            "seats": generator.integers(1, 400, size=ROWS),
            "noise": generator.choice(list("abcdefgh"), size=ROWS),
        }
    )
    day = generator.integers(DAYS, size=ROWS)
    odds = generator.normal(size=ROWS) + frame["distance"].to_numpy() - 1
    effect = generator.normal(scale=day_effect, size=DAYS)[day]
    target = (generator.random(ROWS) < 1 / (1 + np.exp(-odds - effect))).astype(np.float32)
    if planted is not None:
        odds = np.where(frame.select(planted).to_series().to_numpy(), -odds, odds)
    return frame, 1 / (1 + np.exp(-odds)), target, day


def search(frame, losses, excess, blocks, seed=0):
    return find_worst_slices(cut_columns(frame), losses=losses, excess=excess, blocks=blocks, seed=seed, **SEARCH)


@pytest.mark.parametrize(
    ("planted", "names"),
    [
        (pl.col("carrier") == "WN", {"carrier = WN"}),
        ((pl.col("carrier") == "WN") & (pl.col("origin") == "LGA"), {"carrier = WN", "origin = LGA"}),
    ],
    ids=["one condition", "two conditions"],
)
def test_a_planted_slice_is_found_first_and_confirmed(planted, names):
    first = 0
    for seed in range(6):
        frame, chances, target, day = simulate(seed, planted=planted)

        best, *_ = search(
            frame,
            compute_losses(chances, target=target, task="binary"),
            compute_excess(chances, target=target, task="binary"),
            Blocks.of(day, unit="day"),
        )

        assert best.confirmed
        assert best.low > 0
        first += names <= {str(condition) for condition in best.conditions}
    assert first >= 5


def test_shuffled_losses_confirm_none():
    confirmed = 0
    for seed in range(8):
        frame, chances, target, day = simulate(seed, planted=pl.col("carrier") == "WN")
        order = np.random.default_rng(seed).permutation(ROWS)
        losses = compute_losses(chances, target=target, task="binary")[order]
        excess = compute_excess(chances, target=target, task="binary")[order]

        found = search(frame, losses, excess, Blocks.of(day, unit="day"), seed=seed)

        confirmed += sum(one.confirmed for one in found)
    assert confirmed == 0


def test_days_that_differ_are_no_slices_by_days_and_are_by_rows():
    """A column that tells of the day, such as the weather: single rows would confirm what a few days did."""
    confirmed = {"day": 0, "row": 0}
    for seed in range(6):
        frame, chances, target, day = simulate(seed, day_effect=1.5)
        weather = np.random.default_rng(seed).integers(6, size=DAYS)[day]
        frame = frame.with_columns(pl.Series("weather", [f"w{code}" for code in weather]))
        losses = compute_losses(chances, target=target, task="binary")
        excess = compute_excess(chances, target=target, task="binary")
        for unit, blocks in (("day", Blocks.of(day, unit="day")), ("row", Blocks.of_rows(ROWS))):
            confirmed[unit] += sum(one.confirmed for one in search(frame, losses, excess, blocks))

    assert confirmed["day"] <= 1
    assert confirmed["row"] >= 6


def test_a_rate_near_one_half_is_no_excess():
    generator = np.random.default_rng(0)
    chances = np.where(generator.random(20_000) < 0.5, 0.5, 0.05)
    target = generator.random(20_000) < chances

    excess = compute_excess(chances, target=target, task="binary")

    assert compute_losses(chances, target=target, task="binary")[chances == 0.5].mean() > 0.6
    assert excess[chances == 0.5].mean() == pytest.approx(0, abs=0.01)
    assert excess[chances == 0.05].mean() == pytest.approx(0, abs=0.01)


def test_columns_are_cut_into_parts_with_missing_values_of_their_own():
    frame = pl.DataFrame(
        {"number": [*range(10), None], "few": [1, 1, 2, 2, 1, 1, 2, 2, 1, 1, None], "same": [7.5] * 11}
    )

    number, few, same = cut_columns(frame)

    assert number.texts == ["0 to 1.8", "1.8 to 3.6", "3.6 to 5.4", "5.4 to 7.2", "7.2 to 9", "missing"]
    assert np.bincount(number.codes).tolist() == [2, 2, 2, 2, 2, 1]
    assert few.texts == ["1", "2", "missing"]
    assert same.texts == ["7.5"]


def test_parts_of_numbers_that_are_near_one_another_have_names_of_their_own():
    (parts,) = cut_columns(pl.DataFrame({"at": [1.7e9 + place for place in range(10)]}))

    assert len(set(parts.texts)) == 6
    assert parts.texts[0] == "1700000000 to 1700000002"


def test_a_column_may_have_any_name_and_of_values_that_are_equally_frequent_the_first_are_parts():
    texts = [f"{number:03}" for number in range(200)]

    (parts,) = cut_columns(pl.DataFrame({"count": texts[::-1]}))

    assert parts.texts == texts[: len(parts.texts)]
    assert len(parts.texts) < len(texts)


def test_holm_stops_at_the_first_that_may_be_chance():
    chances = {((column, 0),): chance for column, chance in enumerate((0.04, 0.001, 0.02))}

    assert confirm(chances) == {((1, 0),), ((2, 0),), ((0, 0),)}
    assert confirm({**chances, ((3, 0),): 0.5}) == {((1, 0),)}
    assert confirm({}) == set()


def test_a_slice_made_wrong_on_purpose_fails_the_check():
    outcomes = []
    for planted in (pl.col("carrier") == "WN", None):
        frame, chances, target, day = simulate(0, planted=planted)
        losses = compute_losses(chances, target=target, task="binary")
        excess = compute_excess(chances, target=target, task="binary")
        found = SliceFindings([], search(frame, losses, excess, Blocks.of(day, unit="day")))
        outcomes.append(limit_excess(SimpleNamespace(answers={"slices": found}), max_excess=0.1))

    wrong, sound = outcomes
    assert (wrong.state, sound.state) == ("fail", "pass")
    assert "carrier = WN" in wrong.evidence["slice"]
    assert limit_excess(SimpleNamespace(answers={}), max_excess=0.1).state == "not applicable"
