import numpy as np
import pytest
from scipy.stats import t

from treadle.profiles.realised import describe_usual, relate_to_prior


def test_a_constant_prediction_has_a_share_of_one_whatever_the_base_rate():
    for rate in (0.1, 0.3, 0.5):
        late = np.arange(1000) < 1000 * rate
        loss = -(rate * np.log(rate) + (1 - rate) * np.log(1 - rate))
        assert relate_to_prior(loss, late, task="binary") == pytest.approx(1)
    classes = np.repeat([0, 1, 2], [50, 30, 20])
    entropy = -sum(share * np.log(share) for share in (0.5, 0.3, 0.2))
    assert relate_to_prior(entropy, classes, task="multiclass") == pytest.approx(1)
    values = np.random.default_rng(0).normal(5, 3, 100)
    assert relate_to_prior(values.std(), values, task="regression") == pytest.approx(1)
    counts = np.array([0, 1, 5])
    deviance = 2 * (5 * np.log(5 / 2) + np.log(1 / 2)) / 3
    assert relate_to_prior(deviance, counts, task="count") == pytest.approx(1)


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression", "count"])
def test_labels_that_are_all_alike_tell_nothing(task):
    assert np.isnan(relate_to_prior(0.1, [1, 1, 1], task=task))
    assert np.isnan(relate_to_prior(0.1, [], task=task))


@pytest.mark.parametrize("count", [5, 9, 30])
@pytest.mark.parametrize("share", [0.01, 0.05, 0.2])
def test_the_limit_is_that_of_a_prediction_interval(count, share):
    usual = describe_usual(np.linspace(0.8, 0.9, count))

    assert usual.find_limit(share) == pytest.approx(t.ppf(1 - share, count - 1) * np.sqrt(1 + 1 / count), rel=0.01)


def test_of_normal_blocks_only_the_wanted_share_exceeds_the_limit():
    generator = np.random.default_rng(0)
    exceeded = []
    for _ in range(4000):
        *past, new = generator.normal(0.85, 0.02, 9)
        usual = describe_usual(past)
        exceeded.append((new - usual.mean) / usual.deviation > usual.find_limit(0.05))

    assert 0.04 < np.mean(exceeded) < 0.06


def test_of_few_blocks_nothing_is_usual():
    assert describe_usual([0.8, 0.9, 0.8, float("nan"), 0.9]) is None
