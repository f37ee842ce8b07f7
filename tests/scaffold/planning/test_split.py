"""A split by time, of rows that do not all have a moment."""

import numpy as np
import pytest

from plans import plan
from treadle.errors import TreadleError

GENERATOR = np.random.default_rng(0)
NUM_ROWS = 120


def make(num_missing):
    days = [f"{2019 + index % 5}-0{1 + index % 9}-11" for index in range(NUM_ROWS)]
    days[:num_missing] = [None] * num_missing
    return {"when": days, "x": GENERATOR.normal(size=NUM_ROWS).round(2), "y": GENERATOR.choice(["a", "b"], NUM_ROWS)}


@pytest.mark.parametrize("asked", [{}, {"group": "x"}])
def test_rows_without_a_moment_are_left_out_and_counted(tmp_path, asked):
    made = plan(tmp_path, make(6), time="when", **asked)

    assert made.target.exclude == (("undated", '"when" IS NULL', "6 rows have no time"),)
    assert made.split["by"] == ("group" if asked else "time")


def test_a_moment_that_many_rows_lack_is_refused(tmp_path):
    told = r"--time: 'when' is missing in 7 of 120 rows, more than the 5% that may be left out"

    with pytest.raises(TreadleError, match=told):
        plan(tmp_path, make(7), time="when")
