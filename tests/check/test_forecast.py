"""Mistakes of a forecast are told before anything runs: with key, rule and fix."""

import pytest

from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.problems import ConfigError

RANDOM = "{by: random, valid: 0.2, test: 0.2, seed: 0}"


def find_problems(root, *overrides):
    with pytest.raises(ConfigError) as caught:
        check(compose(overrides=["experiment=parking", *overrides], root=root))
    return {problem.key: str(problem) for problem in caught.value.problems}


@pytest.mark.parametrize(
    "mistakes",
    [
        pytest.param(
            {
                "data.forecast.horizon=0": ("data.forecast.horizon", "greater than or equal to 1"),
                "data.forecast.frequency=often": ("data.forecast.frequency", "a duration is a whole number"),
            },
            id="values",
        ),
        pytest.param(
            {
                "data.forecast.every=10m": ("data.forecast.every", "at least 30m apart; found '10m'"),
                "data.forecast.time=half_hour": ("data.forecast.time", "no column 'half_hour' in the file"),
                "data.forecast.series=[park]": ("data.forecast.series.0", "no column 'park'"),
                "evaluation.naive.by=[]": ("evaluation.naive.by", "['park']; found []"),
                "evaluation.naive.season=40m": ("evaluation.naive.season", "a multiple of data.forecast.frequency"),
                "data.split.gap=1h": ("data.split.gap", "away from their last label; found '1h'"),
                "+data.examples.predict_at=slot": ("data.examples.predict_at", "a forecast is made at its origin"),
                "+data.tables.readings.derive.step=capacity": ("data.tables.readings", "'step' is the column"),
                "data.examples.known=[taken]": ("data.examples.known.0", "what the label is computed from"),
            },
            id="references",
        ),
        pytest.param(
            {
                "data.forecast.frequency=0h": ("data.forecast.frequency", "longer than nothing"),
                "data.forecast.time=car_park": ("data.forecast.time", "must be a date or datetime"),
                "+data.tables.readings.columns.car_park.nullable=true": ("data.forecast.series.0", "may be missing"),
            },
            id="types",
        ),
        pytest.param({"data.task=regression": ("data.forecast", "data.task is 'regression'")}, id="another task"),
        pytest.param({"~data.forecast": ("data.forecast", "a forecast declares time, series")}, id="no section"),
        pytest.param(
            {
                "~data.split": ("data.split.by", "judged on later origins"),
                f"+data.split={RANDOM}": ("data.split.by", ""),
            },
            id="split",
        ),
    ],
)
def test_each_mistake_is_told(root, mistakes):
    found = find_problems(root, *mistakes)

    for key, words in mistakes.values():
        assert words in found[key], key
