"""Looking every day promotes falsely in at most alpha of all rollouts, and a better challenger is found in time."""

import math

import numpy as np
import pytest

from treadle.rollout.sequence import EFFECT, bound_mean

DAYS, ROLLOUTS, ALPHA = 90, 1_500, 0.05


def draw_days(generator, *, gain, rows=400, day=0.02, noise=0.15):
    """Paired differences of the loss, by day: rows of a day share its effect, and are skewed as losses are."""
    effects = generator.normal(0, day, DAYS)
    means = generator.gamma(0.5, 1, (DAYS, rows)).mean(1) - 0.5
    return gain + effects + noise * means


def draw_heavy(generator, *, gain):
    """Days of which some are extreme."""
    return gain + 0.02 * generator.standard_t(4, DAYS)


def promote(days, *, least=2):
    """The day on which the first look promotes; None: none does."""
    for count in range(least, DAYS + 1):
        if bound_mean(days[:count], alpha=ALPHA).is_above:
            return count
    return None


@pytest.mark.slow
@pytest.mark.parametrize("draw", [draw_days, draw_heavy])
def test_a_challenger_that_is_no_better_is_promoted_in_at_most_alpha(draw):
    generator = np.random.default_rng(0)

    promoted = [promote(draw(generator, gain=0.0).tolist()) is not None for _ in range(200)]

    assert np.mean(promoted) <= ALPHA


@pytest.mark.exhaustive
@pytest.mark.parametrize("draw", [draw_days, draw_heavy])
def test_the_truth_is_left_out_in_at_most_alpha_of_many_rollouts(draw):
    generator = np.random.default_rng(1)

    def leaves_out(days):
        found = (bound_mean(days[:count], alpha=ALPHA) for count in range(2, DAYS + 1))
        return any(interval.is_above or interval.is_below for interval in found)

    assert np.mean([leaves_out(draw(generator, gain=0.0).tolist()) for _ in range(ROLLOUTS)]) <= ALPHA


def test_a_better_challenger_is_found_and_a_worse_one_never():
    """A gain of one standard deviation of the days takes some two weeks; of a third of it, some months or longer."""
    generator = np.random.default_rng(2)

    def find(gain):
        return [promote(draw_days(generator, gain=gain).tolist()) for _ in range(40)]

    large, small, worse = find(0.02), find(0.007), find(-0.007)
    assert None not in large
    assert 6 <= np.median(large) <= 25
    assert 0.1 < np.mean([day is not None for day in small]) < 0.9
    assert worse.count(None) == 40


def test_looking_daily_with_a_test_for_one_look_would_promote_falsely_often():
    """What the sequence is for: the same rollouts, by a t-test of level alpha."""
    from scipy.stats import t

    generator = np.random.default_rng(0)
    limits = {count: t.ppf(1 - ALPHA / 2, count - 1) for count in range(2, DAYS + 1)}

    def promote_by_test(days):
        counts = range(2, DAYS + 1)
        return any(days[:n].mean() > limits[n] * days[:n].std(ddof=1) / math.sqrt(n) for n in counts)

    assert np.mean([promote_by_test(draw_days(generator, gain=0.0)) for _ in range(80)]) > 3 * ALPHA / 2


def test_the_limit_of_the_interval_is_where_the_bayes_factor_is_one_over_alpha():
    """By the integral over the prior, in a second way."""
    values = [0.3, -0.1, 0.5, 0.2, 0.4, 0.1, 0.25, 0.35]
    interval = bound_mean(values, alpha=ALPHA)
    count, spread = len(values), np.std(values, ddof=1)
    t = (interval.mean - interval.low) / (spread / math.sqrt(count))

    from scipy.integrate import quad
    from scipy.stats import nct, norm
    from scipy.stats import t as central

    def weigh(effect):
        return nct.pdf(t, count - 1, effect * math.sqrt(count)) * norm.pdf(effect, 0, EFFECT)

    factor = quad(weigh, -4, 4, limit=200)[0] / central.pdf(t, count - 1)
    assert factor == pytest.approx(1 / ALPHA, rel=1e-6)


def test_too_few_blocks_say_nothing():
    for values in ([], [1.0], [1.0, 1.1]):
        interval = bound_mean(values, alpha=ALPHA)
        assert (interval.low, interval.high) == (-math.inf, math.inf)
    assert bound_mean([1.0] * 3, alpha=ALPHA).count == 3


def test_blocks_without_any_spread_say_all_once_they_are_enough():
    assert bound_mean([0.0] * 30, alpha=ALPHA).low == 0.0
    assert bound_mean([1.0] * 30, alpha=ALPHA).is_above
