"""Policies are told what is known, and say when to train."""

import pytest

from treadle.experiment.spec import Never, OnAlarm, OnPerformance, OnSchedule
from treadle.replay.policies import Skill, Stay, walk


def nothing_known(origin, block):
    return None


def useless(origin, block):
    return Skill(-0.1, -0.1)


def list_trainings(stays):
    return [stay.block for stay in stays]


def test_never_keeps_the_first_model():
    assert walk(Never(by="never"), num_blocks=4, look=nothing_known, watch=nothing_known) == [Stay(0, 4, "the first")]


@pytest.mark.parametrize(("every", "trained"), [(1, [0, 1, 2, 3, 4]), (2, [0, 2, 4]), (3, [0, 3]), (9, [0])])
def test_a_schedule_counts_blocks(every, trained):
    stays = walk(OnSchedule(by="schedule", every=every), num_blocks=5, look=nothing_known, watch=nothing_known)

    assert list_trainings(stays) == trained
    assert sum(stay.num_blocks for stay in stays) == 5


def test_a_drop_of_skill_trains_and_the_new_model_is_looked_at_anew():
    skills = {(0, 1): Skill(0.4, 0.4), (0, 2): Skill(0.4, 0.3), (2, 3): Skill(0.5, 0.5), (2, 4): Skill(0.5, 0.46)}

    stays = walk(
        OnPerformance(by="performance", drop=0.2), num_blocks=5, look=lambda o, b: skills[o, b], watch=nothing_known
    )

    assert list_trainings(stays) == [0, 2]
    assert stays[1].reason == "lost 25% of its skill, 0.400 to 0.300"


def test_without_labels_nothing_is_concluded():
    assert (
        len(walk(OnPerformance(by="performance", drop=0.1), num_blocks=5, look=nothing_known, watch=nothing_known)) == 1
    )


def test_a_model_without_skill_has_lost_all_of_it():
    stays = walk(OnPerformance(by="performance", drop=0.1), num_blocks=3, look=useless, watch=nothing_known)

    assert list_trainings(stays) == [0, 1, 2]


def test_an_alarm_trains_whatever_the_skill_and_what_cannot_be_judged_does_not():
    alarmed = {(0, 1): 0.25, (0, 2): 0.5, (2, 3): None, (2, 4): 0.0}
    policy = OnAlarm(by="alarm", share=0.5, false_alarms=0.05)

    stays = walk(policy, num_blocks=5, look=nothing_known, watch=lambda o, b: alarmed[o, b])

    assert list_trainings(stays) == [0, 2]
    assert stays[1].reason == "50% of the newest blocks alarm"
