"""The split of a moment: the newest rows whose labels are known then are the test split."""

from __future__ import annotations

from datetime import datetime, timedelta

from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Experiment, Retrain, TimeSplit
from treadle.problems import ConfigError, Problem
from treadle.replay.matrix import want_time_split


def find_known(now: datetime, gap: timedelta) -> datetime:
    """The end of the newest whole day whose labels are known."""
    return (now - gap).replace(hour=0, minute=0, second=0, microsecond=0)


def move_split(split: TimeSplit, settings: Retrain, *, test: tuple[datetime, datetime]) -> str:
    """The override that moves a split.

    Args:
        split: that is moved; its gap stays.
        settings: how long the validation split is, and which past trains.
        test: from the first moment on, before the second one.
    """
    first, last = test
    valid_from = first - parse_duration(settings.valid)
    moved = {
        "by": "time",
        "valid_from": valid_from.isoformat(),
        "test_from": first.isoformat(),
        "test_to": last.isoformat(),
        "gap": split.gap,
    }
    if settings.window is not None:
        moved["train_from"] = (valid_from - parse_duration(settings.window)).isoformat()
    parts = ",".join(f"{key}:'{value}'" for key, value in moved.items())
    return f"++data.split={{{parts}}}"


def require_fitting(experiment: object) -> tuple[TimeSplit, Retrain]:
    """The split and the rules, if the experiment can be retrained.

    Raises:
        ConfigError: it is of a learner, or is not split by time.
    """
    if not isinstance(experiment, Experiment):
        raise ConfigError(
            [Problem("learner", "the gate cannot judge a learner of your own, so that none is retrained")]
        )
    if experiment.retrain is None:
        raise ConfigError([Problem("retrain", "is not selected", "add `- retrain: default` to conf/config.yaml")])
    if not isinstance(experiment.data.split, TimeSplit):
        raise ConfigError([want_time_split(experiment, what="retraining")])
    return experiment.data.split, experiment.retrain
