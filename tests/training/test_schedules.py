import pickle

import pytest

from runs import treadle
from treadle.training.schedules import constant, cosine, one_cycle

SCHEDULES = {
    "constant": lambda n: constant(num_steps=n, warmup=0.1),
    "cosine": lambda n: cosine(num_steps=n, warmup=0.1, final_factor=0.01),
    "one_cycle": lambda n: one_cycle(num_steps=n, peak=0.3, initial_factor=0.1, final_factor=0.0),
}


@pytest.mark.parametrize("make", SCHEDULES.values(), ids=SCHEDULES)
@pytest.mark.parametrize("num_steps", [1, 2, 7, 1000])
def test_factors_stay_within_0_and_1_and_hold_after_the_end(make, num_steps):
    factor = make(num_steps)
    values = [factor(step) for step in range(num_steps)]

    assert all(0 <= value <= 1 for value in values)
    assert factor(num_steps) == factor(10 * num_steps)
    assert pickle.loads(pickle.dumps(factor))(0) == values[0]  # noqa: S301 - our own


def test_constant_rises_then_stays():
    factor = constant(num_steps=100, warmup=0.1)

    assert [factor(step) for step in (0, 9, 10, 99)] == [1 / 11, 10 / 11, 1.0, 1.0]


def test_cosine_passes_the_middle_and_ends_low():
    factor = cosine(num_steps=100, warmup=0.0, final_factor=0.1)

    assert [round(factor(step), 6) for step in (0, 50, 100)] == [1.0, 0.55, 0.1]


def test_one_cycle_peaks_where_it_should():
    factor = one_cycle(num_steps=100, peak=0.3, initial_factor=0.1, final_factor=0.0)
    values = [factor(step) for step in range(100)]

    assert values.index(max(values)) == 30
    assert values[0] < 0.15
    assert values[-1] < 0.01


@pytest.mark.parametrize(("value", "rule"), [(-0.1, "at least 0"), (1.0, "below 1")])
def test_a_share_out_of_range_is_refused(project, capsys, value, rule):
    assert treadle("check", "schedule=default", f"schedule.lr_schedule.warmup={value}") == 2

    assert f"constant: warmup must be {rule}, found {value}" in capsys.readouterr().err


@pytest.mark.parametrize("num_steps", [1, 2, 5])
def test_a_rise_over_nearly_all_steps_still_ends_at_the_final_factor(num_steps):
    for factor in (
        cosine(num_steps=num_steps, warmup=0.9, final_factor=0.1),
        one_cycle(num_steps=num_steps, peak=0.9, initial_factor=0.2, final_factor=0.1),
    ):
        assert factor(num_steps) == factor(num_steps + 7) == pytest.approx(0.1)
