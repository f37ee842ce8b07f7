"""The rules of retraining: what holds, what is strongest, and what never trains."""

from dataclasses import replace
from datetime import datetime, timedelta

import pydantic
import pytest

from treadle.experiment.spec import AgeRule, AlarmRule, DataRule, PerformanceRule, Retrain
from treadle.replay.policies import Skill
from treadle.retraining.rules import Evidence, choose

NOW = datetime(2020, 6, 1)  # noqa: DTZ001 - UTC
ACT = {
    "age": AgeRule(by="age", after="30d", do="replay"),
    "performance": PerformanceRule(by="performance", drop=0.2, do="retrain"),
    "data": DataRule(by="data", do="suggest"),
    "alarm": AlarmRule(by="alarm", findings="findings.json", do="suggest"),
}
SETTINGS = Retrain(block="28d", valid="14d", window=None, wait="7d", log="log", rollback=True, act=ACT)
CALM = Evidence(NOW - timedelta(days=10), Skill(0.4, 0.4), "a", "a", {}, None)


@pytest.mark.parametrize(
    ("changed", "action", "reason"),
    [
        ({}, "nothing", None),
        ({"learned_until": NOW - timedelta(days=31)}, "replay", "age: 31 days old"),
        ({"skill": Skill(0.4, 0.3)}, "retrain", "performance: lost 25% of its skill, 0.400 to 0.300"),
        ({"skill": Skill(0.4, 0.33)}, "nothing", None),
        ({"skill": None}, "nothing", None),
        ({"data": "b"}, "suggest", "data: the data are another version"),
        ({"data": "b", "trained_data": None}, "nothing", None),
        ({"alarms": {"findings.json": "monitoring alarmed"}}, "suggest", "alarm: monitoring alarmed"),
    ],
    ids=["calm", "old", "worse", "a little worse", "unknown", "new data", "no data known", "drift"],
)
def test_each_rule_holds_on_its_evidence(changed, action, reason):
    choice = choose(SETTINGS, replace(CALM, **changed), now=NOW)

    assert choice.action == action
    assert choice.reasons == (() if reason is None else (reason,))


def test_the_strongest_action_is_taken_with_all_reasons():
    evidence = replace(CALM, skill=Skill(0.4, 0.1), data="b", learned_until=NOW - timedelta(days=99))

    choice = choose(SETTINGS, evidence, now=NOW)

    assert choice.action == "retrain"
    assert len(choice.reasons) == 3


def test_without_a_champion_one_is_trained():
    assert choose(SETTINGS, None, now=NOW).action == "retrain"


def test_trainings_keep_a_distance():
    evidence = replace(CALM, skill=Skill(0.4, 0.1), last_training=NOW - timedelta(days=6))

    assert choose(SETTINGS, evidence, now=NOW).action == "nothing"
    assert choose(SETTINGS, evidence, now=NOW + timedelta(days=1)).action == "retrain"


def test_drift_of_inputs_alone_cannot_be_declared_to_train():
    with pytest.raises(pydantic.ValidationError, match="suggest"):
        AlarmRule(by="alarm", findings="findings.json", do="retrain")


def test_a_rule_of_null_is_left_out():
    settings = SETTINGS.model_copy(update={"act": {**ACT, "age": None}})

    assert choose(settings, replace(CALM, learned_until=NOW - timedelta(days=99)), now=NOW).action == "nothing"
