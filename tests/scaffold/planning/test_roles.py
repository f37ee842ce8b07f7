"""What each column is good for."""

import numpy as np
import polars as pl
import pytest

from plans import plan, roles
from treadle.errors import TreadleError
from treadle.experiment.spec import Column
from treadle.scaffold.planning.roles import choose_roles
from treadle.scaffold.planning.target import Target
from treadle.scaffold.reading.profile import Profile
from treadle.sql.expressions import run

GENERATOR = np.random.default_rng(0)


def make(num_rows, **columns):
    """A table with a number, a target that follows from nothing, and the given columns."""
    x, y = GENERATOR.normal(size=num_rows).round(2), GENERATOR.choice(["a", "b"], num_rows)
    return {**columns, "x": x, "y": y}


@pytest.mark.fast_cases(3)
@pytest.mark.parametrize(
    ("name", "values", "role"),
    [
        ("id", range(80), "out"),
        ("row", range(1, 81), "out"),
        ("index", [f"{index}.0" for index in range(80)], "out"),
        ("name", [f"Name {index}" for index in range(80)], "out"),
        ("code", [f"A{index % 76}" for index in range(80)], "out"),
        ("member_id", GENERATOR.permutation(80) + 5_000, "out"),
        ("year", range(1945, 2025), "number"),
        ("rank", GENERATOR.permutation(80) + 1, "number"),
        ("phone", GENERATOR.permutation(80) + 5_550_000, "out"),
        ("customer_number", GENERATOR.permutation(80) * 7, "out"),
        ("city", [f"city {index % 30}" for index in range(80)], "category"),
        ("price", range(100, 900, 10), "number"),
    ],
)
def test_identifiers_of_a_small_table(tmp_path, name, values, role):
    assert roles(plan(tmp_path, make(80, **{name: list(values)})))[name.replace("row", "row_")] == role


def test_a_strong_column_is_taken_where_it_is_the_only_one(tmp_path):
    rooms = GENERATOR.integers(1, 9, 120)
    price = rooms * 100_000 + GENERATOR.normal(0, 20_000, 120).round()

    alone = plan(tmp_path, {"rooms": rooms, "y": price})
    beside = plan(tmp_path, {"rooms": rooms, "x": GENERATOR.normal(size=120).round(2), "y": price})

    assert roles(alone) == {"rooms": "number"}
    assert alone.choices[0].reason.startswith("look: it alone predicts the target: R² 0.9")
    assert roles(beside) == {"rooms": "out", "x": "number"}


def test_a_copy_of_the_target_is_never_taken_unasked(tmp_path):
    rooms = GENERATOR.integers(1, 90, 120)

    with pytest.raises(TreadleError, match=r"no column is left to predict 'y' from \(rooms: it alone predicts the"):
        plan(tmp_path, {"rooms": rooms, "y": rooms * 100_000})


@pytest.mark.parametrize("share", [0.9, 1.0])
def test_a_number_of_rows_is_one_though_its_values_are_estimated(share):
    """Above a million rows different values are not counted."""
    num_rows = 1_200_000
    column = Profile("number", Column(dtype="int"), num_rows, 0, round(share * num_rows), low=7, high=1_500_000)
    target = Target("y", "regression", '"y"', "", "", ())
    sample = pl.DataFrame({"number": range(7, 20_007), "y": GENERATOR.normal(size=20_000)})

    chosen = choose_roles({"number": column}, sample, target, keep=(), aside={})

    assert chosen["number"].reason.startswith("identifier: about ")


def test_a_moment_after_the_prediction_is_worth_a_look(tmp_path):
    opened = pl.datetime_range(pl.datetime(2024, 1, 1), pl.datetime(2024, 4, 29), "1d", eager=True)
    before, after = opened.dt.offset_by("-2d").dt.date(), opened.dt.offset_by("3h")

    made = plan(tmp_path, make(120, opened=opened, bought=before, closed=after), time="opened")

    reasons = {choice.profile.name: choice.reason for choice in made.choices}
    assert reasons["closed"].startswith("look: it is later than 'opened' in 100% of the rows; unless it was planned")
    assert not reasons["bought"]
    assert not reasons["opened"]


def test_days_between_two_moments_are_not_rounded(tmp_path):
    """Quantiles that rounding drives apart are bins as wide as that: a row alone would fill them or not, by chance."""
    hours = pl.datetime_range(pl.datetime(2014, 10, 1), pl.datetime(2015, 1, 1), "1h", eager=True)  # 2**14 days

    made = plan(tmp_path, make(len(hours), ts=hours, date=hours.dt.date()), time="ts")

    (days,) = (derived.sql for derived in made.derived if derived.name == "date_days")
    found = run(days, pl.DataFrame({"ts": hours, "date": hours.dt.date()}))
    assert found.n_unique() == 24
