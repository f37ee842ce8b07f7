"""What the matrix says, held against what was planted in it."""

import dataclasses
from datetime import datetime

import numpy as np
import pytest

from treadle.evaluation.resampling import Blocks
from treadle.evaluation.scores import compute_losses
from treadle.experiment.calendar import parse_step
from treadle.experiment.spec import Never, OnPerformance, OnSchedule, ReplayCost
from treadle.replay.answer import Outcome, Review, recommend
from treadle.replay.matrix import Origin, Plan
from treadle.replay.policies import Skill
from treadle.replay.predictions import Predictions

PER_BLOCK = 600
STARTS = tuple(datetime(2020, month, 1) for month in (1, 2, 3, 4))  # noqa: DTZ001 - UTC
FREE = ReplayCost(training_hour=0.0, label=0.0, missed=None, false_alarm=None)


@dataclasses.dataclass
class Settings:
    """The parts of a section `replay` that an answer reads."""

    policies: dict
    cost: ReplayCost = FREE


@pytest.fixture(scope="module")
def experiment(root):
    from treadle.check.checks import check
    from treadle.config.compose import compose

    return check(compose(overrides=["experiment=flights", "evaluation.metric=log_loss"], root=root))


@pytest.fixture
def review(experiment):
    """Three blocks; a model is sharp in its first one, and knows nothing from its third on."""
    generator = np.random.default_rng(0)
    num = 3 * PER_BLOCK
    chances = generator.uniform(0.05, 0.95, num)
    target = (generator.random(num) < chances).astype(float)
    block = np.repeat(np.arange(3), PER_BLOCK)
    day = np.concatenate([start_day + np.arange(PER_BLOCK) // 30 for start_day in (0, 31, 60)])
    moments = np.datetime64("2020-01-01") + day.astype("timedelta64[D]")
    models = {}
    for origin in range(3):
        age = block - origin
        shares = np.select([age == 0, age == 1], [1.0, 0.5], 0.0)
        models[Origin(origin, None)] = np.where(age < 0, np.nan, shares * chances + (1 - shares) * 0.5)
    predictions = Predictions(
        moments.astype("datetime64[us]"), target, models, {o: 100 + o.block for o in models}, Blocks.of(day, unit="day")
    )
    plan = Plan(STARTS, tuple(models), parse_step("1mo"), "1d", None)
    policies = {
        "never": Never(by="never"),
        "every_1": OnSchedule(by="schedule", every=1),
        "drop": OnPerformance(by="performance", drop=0.3),
    }
    return Review(plan, predictions, experiment, Settings(policies), dict.fromkeys(models, 0.5), {})


def test_older_models_are_worse_by_as_much_as_was_planted(review):
    new, old, oldest = review.measure_ageing()

    assert new.loss is None
    assert 0 < old.loss.low < old.loss.value < oldest.loss.value
    assert [each.num_blocks for each in (new, old, oldest)] == [3, 2, 1]


def test_the_value_of_a_policy_is_that_of_the_predictions_that_it_would_have_made(review):
    answer = review.answer()

    losses = [
        compute_losses(review.predictions.models[Origin(b, None)], target=review.predictions.target, task="binary")
        for b in range(3)
    ]
    used = np.concatenate([losses[b][b * PER_BLOCK : (b + 1) * PER_BLOCK] for b in range(3)])
    assert answer.find("every_1").value == pytest.approx(used.mean())
    assert answer.find("never").value == pytest.approx(losses[0].mean())
    assert answer.find("never").gain.value == 0
    assert answer.find("every_1").num_rows == 100 + 101 + 102
    assert answer.best == answer.recommended == "every_1"


def test_a_drop_is_seen_once_its_labels_are_there(review):
    (first, second) = review.walk(OnPerformance(by="performance", drop=0.1))

    assert (first.num_blocks, second.block) == (2, 2)  # the second block's labels are known in the third
    assert review.look(Origin(0, None), 1).drop == 0


def test_labels_that_come_late_leave_a_model_unjudged(review):
    late = dataclasses.replace(review, plan=dataclasses.replace(review.plan, label_delay="20d"))

    assert late.look(Origin(0, None), 1) is None


def test_labels_that_come_a_block_late_delay_a_drop_and_do_not_hide_it(review):
    late = dataclasses.replace(review, plan=dataclasses.replace(review.plan, label_delay="31d"))

    assert late.look(Origin(0, None), 1) is None
    assert late.look(Origin(0, None), 2).drop == pytest.approx(0, abs=0.1)  # its first block alone is known


def test_the_prior_of_a_forecast_is_that_of_a_number(review):
    data = review.experiment.data.model_copy(update={"task": "forecast"})
    values = dataclasses.replace(review.predictions, models={Origin(0, None): review.predictions.target})
    forecast = dataclasses.replace(
        review, predictions=values, experiment=review.experiment.model_copy(update={"data": data})
    )

    assert forecast.look(Origin(0, None), 2) == Skill(1.0, 1.0)
    wrong = dataclasses.replace(values, models={Origin(0, None): np.full(len(values.target), values.target.mean())})
    assert dataclasses.replace(forecast, predictions=wrong).look(Origin(0, None), 2).first == pytest.approx(0, abs=0.01)


def test_money_decides_where_decisions_are_weighed(review):
    cost = ReplayCost(training_hour=1e6, label=0.0, missed=4.0, false_alarm=1.0)
    dear = dataclasses.replace(review, settings=Settings(review.settings.policies, cost)).answer()

    assert dear.is_by_money
    assert dear.best == dear.recommended == "never"
    never = dear.find("never")
    values, target = review.predictions.models[Origin(0, None)], review.predictions.target
    acted = values >= 0.2
    wrong = 4.0 * ((target == 1) & ~acted).sum() + ((target == 0) & acted).sum()
    assert never.money.decisions == pytest.approx(wrong)
    assert never.money.training == 0.5e6


def test_fewer_trainings_are_recommended_where_the_difference_is_noise():
    from treadle.evaluation.intervals import Estimate

    def make(name, trainings, behind):
        stays = [None] * trainings
        return Outcome(name, None, stays, 10 * trainings, 0.0, 0.0, None, behind, None)

    outcomes = [
        make("best", 9, None),
        make("fewer", 3, Estimate(0.01, -0.01, 0.03)),
        make("never", 1, Estimate(0.1, 0.05, 0.2)),
    ]
    assert recommend(outcomes, best="best") == "fewer"
