"""Sums of ranges against sums by hand, whatever stands outside them."""

import math

import numpy as np
import pytest

from treadle.data.range_sums import Ranges, cut_out


def draw(seed, *, num_rows, num_ranges):
    random = np.random.default_rng(seed)
    starts, ends = np.sort(random.integers(0, num_rows + 1, (2, num_ranges)), axis=0)
    short = random.integers(0, 9, num_ranges)
    return random, np.where(random.random(num_ranges) < 0.5, starts, np.maximum(ends - short, 0)), ends


@pytest.mark.parametrize("num_rows", [0, 1, 2, 3, 37, 64, 1000])
def test_a_sum_is_that_of_its_own_rows(num_rows):
    random, starts, ends = draw(num_rows, num_rows=num_rows, num_ranges=300)
    values = random.normal(size=num_rows) * 10.0 ** random.integers(-9, 9, num_rows)
    values[random.random(num_rows) < 0.05] = 1e300
    values[random.random(num_rows) < 0.05] = 1e308
    ranges = Ranges.sort(starts, ends)

    found = ranges.sum(values)

    for start, end, total in zip(starts, ends, found, strict=True):
        rows = values[start:end].tolist()
        size = sum(map(abs, rows))  # Python's own sums overflow without a warning
        if math.isfinite(size):
            assert total == pytest.approx(math.fsum(rows), rel=1e-12, abs=1e-14 * size)
        else:
            assert not math.isfinite(total)
    assert ranges.count(values > 0).tolist() == [(values[s:e] > 0).sum() for s, e in zip(starts, ends, strict=True)]


def test_what_comes_before_does_not_change_a_digit_that_counts():
    values = np.full(4096, 0.1)
    starts = np.arange(1, 4000)
    plain = Ranges.sort(starts, starts + 50).sum(values)
    values[0] = 1e300

    assert Ranges.sort(starts, starts + 50).sum(values).tolist() == plain.tolist()
    assert plain == pytest.approx(5.0, rel=1e-14)


def test_a_range_ends_before_it_begins():
    ranges = Ranges.sort(np.array([3, 2]), np.array([2, 2]))

    assert ranges.sum(np.ones(5)).tolist() == [0, 0]
    assert ranges.count(np.ones(5, dtype=bool)).tolist() == [0, 0]


def test_rows_are_cut_out_of_the_ranges_that_hold_them():
    starts, ends = np.array([0, 0, 5, 2]), np.array([9, 9, 9, 2])
    places = np.array([[4, 8, 4, 2], [1, 8, -1, 2]])

    pieces = zip(*cut_out(starts, ends, places), strict=True)

    total = sum(Ranges.sort(*piece).sum(np.arange(9.0)) for piece in pieces)
    assert total.tolist() == [36 - 4 - 1, 36 - 8, 5 + 6 + 7 + 8, 0]
