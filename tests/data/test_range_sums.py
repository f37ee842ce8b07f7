"""Sums of ranges against sums by hand, whatever stands outside them."""

import math
from fractions import Fraction

import numpy as np
import pytest

from treadle.data.range_sums import count_ranges, cut_out, sum_ranges


def draw(seed, *, num_rows, num_ranges):
    random = np.random.default_rng(seed)
    starts, ends = np.sort(random.integers(0, num_rows + 1, (2, num_ranges)), axis=0)
    short = random.integers(0, 9, num_ranges)
    return random, np.where(random.random(num_ranges) < 0.5, starts, np.maximum(ends - short, 0)), ends


def add_up(values):
    """Exactly, and rounded once."""
    try:
        return float(sum(map(Fraction, values)))
    except OverflowError:
        return math.inf


def sum_one(values, starts, ends):
    return sum_ranges(values, starts[None], ends[None])


SPREADS = {
    "whole": lambda random, size: random.integers(-50, 50, size).astype(float),
    "halves": lambda random, size: random.integers(-50, 50, size) / 2,
    "usual": lambda random, size: random.normal(size=size),
    "wide": lambda random, size: random.normal(size=size) * 10.0 ** random.integers(-30, 30, size),
    "whole range": lambda random, size: np.ldexp(random.normal(size=size), random.integers(-1074, 1020, size)),
    "subnormal": lambda random, size: random.integers(-9, 9, size) * 5e-324,
    "huge": lambda random, size: random.choice([1.7e308, -1.7e308, 1.0], size),
    "ties": lambda random, size: random.choice([2.0**53, -(2.0**53), 1.0, -1.0, 0.5, 2.0**-60], size),
    "zeros": lambda _, size: np.zeros(size),
}


@pytest.mark.parametrize("spread", SPREADS)
@pytest.mark.parametrize("num_rows", [1, 3, 64, 300])
def test_a_sum_is_exact_and_rounded_once(spread, num_rows):
    random, starts, ends = draw(num_rows, num_rows=num_rows, num_ranges=60)
    values = SPREADS[spread](random, num_rows)

    found = sum_one(values, starts, ends)

    expected = [add_up(values[start:end]) for start, end in zip(starts, ends, strict=True)]
    assert np.abs(found).tolist() == np.abs(expected).tolist()
    assert [x for x in found if math.isfinite(x)] == [x for x in expected if math.isfinite(x)]


def test_marks_are_counted():
    random, starts, ends = draw(5, num_rows=100, num_ranges=60)
    marks = random.random(100) < 0.5

    found = count_ranges(marks, starts[None], ends[None])

    assert found.tolist() == [marks[s:e].sum() for s, e in zip(starts, ends, strict=True)]


def test_what_stands_outside_changes_no_digit():
    values = np.random.default_rng(0).normal(size=4096)
    starts = np.arange(3, 4000)
    plain = sum_one(values, starts, starts + 50)
    values[0] = 1e300

    assert sum_one(values, starts, starts + 50).tolist() == plain.tolist()
    assert sum_one(values[3:], starts - 3, starts + 47).tolist() == plain.tolist()


def test_a_range_ends_before_it_begins():
    starts, ends = np.array([[3, 2]]), np.array([[2, 2]])

    assert sum_ranges(np.ones(5), starts, ends).tolist() == [0, 0]
    assert count_ranges(np.ones(5, dtype=bool), starts, ends).tolist() == [0, 0]


def test_rows_are_cut_out_of_the_ranges_that_hold_them():
    starts, ends = np.array([0, 0, 5, 2]), np.array([9, 9, 9, 2])
    places = np.array([[4, 8, 4, 2], [1, 8, -1, 2]])

    total = sum_ranges(np.arange(9.0), *cut_out(starts, ends, places))

    assert total.tolist() == [36 - 4 - 1, 36 - 8, 5 + 6 + 7 + 8, 0]
