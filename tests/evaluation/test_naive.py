"""Baselines that remember: on series whose last and seasonal labels are known."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import polars as pl
import pytest

from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.evaluation.naive import predict_naive
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec.evaluation import Naive
from treadle.problems import ConfigError

START = datetime(2026, 1, 5)  # noqa: DTZ001 - tables are in UTC without a zone


def make_run(path, rows, first_of_test):
    """Rows of (hour, city, label): what is before an hour is the training split."""
    folder = RunFolder(path)
    folder.examples.mkdir(parents=True)
    frame = pl.DataFrame(
        {
            "predict_at": [START + timedelta(hours=hour) for hour, _, _ in rows],
            "city": [city for _, city, _ in rows],
            "label": [label for _, _, label in rows],
            "hour": [hour for hour, _, _ in rows],
        }
    )
    is_test = pl.col("hour") >= first_of_test
    for split, kept in (("train", ~is_test), ("valid", pl.lit(value=False)), ("test", is_test)):
        frame.filter(kept).drop("hour").write_parquet(folder.examples / f"{split}.parquet")
    return folder


def predict(folder, task="regression", *, by=(), delay="1h", season=None, classes=()):
    settings = Naive(by=list(by), delay=delay, season=season)
    experiment = SimpleNamespace(
        evaluation=SimpleNamespace(naive=settings), data=SimpleNamespace(answer=task, forecast=None)
    )
    return {name: v.tolist() for name, v in predict_naive(experiment, folder=folder, classes=list(classes)).items()}


def test_the_last_label_that_was_known_is_said(tmp_path):
    folder = make_run(tmp_path, [(hour, "Rome", float(hour)) for hour in range(10)], first_of_test=6)

    assert predict(folder, delay="1h") == {"last_value": [5, 6, 7, 8]}
    assert predict(folder, delay="3h") == {"last_value": [3, 4, 5, 6]}


def test_each_series_has_its_own_past(tmp_path):
    rows = [(0, "Rome", 1.0), (0, "Oslo", 7.0), (1, "Rome", 2.0), (3, "Oslo", 0.0), (3, "Rome", 0.0), (3, "Bern", 0.0)]
    folder = make_run(tmp_path, rows, first_of_test=3)

    found = predict(folder, by=["city"])

    assert found["last_value"] == pytest.approx([7, 2, 10 / 3])  # Bern has none: the mean of the training split


def test_the_season_before_is_said_and_else_the_last_value(tmp_path):
    rows = [(hour, "Rome", float(hour % 24)) for hour in range(48) if hour != 20]
    folder = make_run(tmp_path, rows, first_of_test=40)

    found = predict(folder, season="1d")["seasonal"]

    assert found == [16, 17, 18, 19, 19, 21, 22, 23]
    assert found[4] == 43 % 24, "hour 20 of the day before is missing"


def test_a_season_shorter_than_the_delay_is_taken_several_times(tmp_path):
    folder = make_run(tmp_path, [(hour, "Rome", float(hour)) for hour in range(60)], first_of_test=58)

    assert predict(folder, delay="30h", season="1d")["seasonal"] == [10, 11]


def test_shares_are_never_sure(tmp_path):
    rows = [(0, "Rome", 0.0), (1, "Rome", 1.0), (1, "Oslo", 1.0), (2, "Rome", 0.0)]
    folder = make_run(tmp_path, rows, first_of_test=2)

    assert predict(folder, "binary")["last_value"] == pytest.approx([(2 + 2 / 3) / 3])


def test_classes_have_shares_that_add_up(tmp_path):
    rows = [(0, "Rome", "a"), (1, "Rome", "b"), (2, "Rome", "a"), (3, "Rome", "unseen")]
    folder = make_run(tmp_path, rows, first_of_test=2)

    first, second = predict(folder, "multiclass", classes=["a", "b"])["last_value"]

    assert first == pytest.approx([0.25, 0.75])
    assert second == pytest.approx([0.75, 0.25])


def test_none_is_asked_without_the_setting(tmp_path):
    experiment = SimpleNamespace(evaluation=SimpleNamespace(naive=None))

    assert predict_naive(experiment, folder=RunFolder(tmp_path), classes=[]) == {}


def test_a_series_needs_a_time_and_columns_that_exist(root):
    asked = "evaluation.naive={by: [HouseAges], delay: 1h, season: 0d}"

    with pytest.raises(ConfigError) as caught:
        check(compose(overrides=["experiment=california", asked], root=root))

    text = str(caught.value)
    assert "needs the time of the examples" in text
    assert "no column 'HouseAges'" in text
    assert "must be longer than nothing; found '0d'" in text
