"""Blends: folds that there are, and that nothing else joins."""

from __future__ import annotations

from collections.abc import Iterator

from treadle.experiment.spec import Blend, Experiment, RandomFolds
from treadle.problems import Problem


def check_levels(experiment: Experiment) -> Iterator[Problem]:
    """Members that predict what the blend does: of several quantiles the same ones."""
    if not isinstance(experiment.model, Blend):
        return
    levels = experiment.loss.function.get("levels")
    for name, member in experiment.model.members.items():
        own = levels if member.loss is None else member.loss.function.get("levels")
        if own != levels:
            rule = f"a blend is a mean of the same quantiles, here {levels or 'none'}; found {own or 'none'}"
            yield Problem(f"model.members.{name}.loss.function", rule, "give all the same levels")


def check_folds(experiment: Experiment) -> Iterator[Problem]:
    """Members that are trained on all folds: of a split that is drawn in folds, and once each."""
    if not isinstance(experiment.model, Blend) or experiment.model.folds == "one":
        return
    if not isinstance(experiment.data.split, RandomFolds):
        by = experiment.data.split.by
        rule = f"'all' trains on each of several folds that are drawn at random; data.split.by is {by!r}"
        yield Problem("model.folds", rule, "set it to one, or data.split.by to kfold, stratified_kfold or group_kfold")
    schedules = (member.schedule or experiment.schedule for member in experiment.model.members.values())
    if any(schedule.refit != "none" for schedule in schedules):
        rule = "'all' trains on every row outside of the test set by its folds, and schedule.refit would do so again"
        yield Problem("model.folds", rule, "set it to one, or schedule.refit to none")
