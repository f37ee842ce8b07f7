"""Questions to the data: what is planted into them is found, and what is chance is not."""

import json
import shutil
from datetime import datetime
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from evaluations import make_evaluated
from runs import find_run
from treadle.evaluation.checks.shift import limit_label_noise, limit_shift
from treadle.evaluation.intervals import Resampling
from treadle.evaluation.label_noise import find_label_noise
from treadle.evaluation.questions import DataFindings, Repetition
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.shift import take_blocks, tell_apart
from treadle.experiment.spec import Evaluation, Experiment
from treadle.experiment.spec.evaluation import Intervals

RESAMPLING = Resampling(resamples=300, coverage=0.95, seed=0)
EXAMPLES = SimpleNamespace(predict_at="at", known=[], asof={}, history={})
ROWS = 800  # of each split


def draw_splits(seed=0, *, moved=0.0, days=0):
    """Rows of both splits; `moved`: by how much a number of the test split is larger."""
    generator = np.random.default_rng(seed)
    is_test = np.repeat([0.0, 1.0], ROWS)
    day = generator.integers(days, size=2 * ROWS) + days * is_test if days else np.arange(2 * ROWS)
    weather = generator.normal(size=2 * days)[day.astype(int)] if days else generator.normal(size=2 * ROWS)
    frame = pl.DataFrame(
        {
            "steady": generator.normal(size=2 * ROWS),
            "weather": weather,
            "moved": generator.normal(size=2 * ROWS) + moved * is_test,
            "city": generator.choice(["Rome", "Oslo", None], size=2 * ROWS),
        }
    )
    blocks = Blocks.of(day, unit="day") if days else Blocks.of_rows(2 * ROWS)
    return frame, is_test, blocks


def tell(frame, is_test, blocks):
    return tell_apart(frame, is_test=is_test, blocks=blocks, resampling=RESAMPLING)


def answer(shift=None, noise=None, rows=()):
    findings = DataFindings(shift, Repetition(10, 0, 0), noise, list(rows))
    return SimpleNamespace(answers={"questions": findings})


def test_equal_splits_are_not_told_apart():
    found = tell(*draw_splits())

    assert found.interval.low < 0.5 < found.interval.high
    assert limit_shift(answer(found), max_auc=0.6).state == "pass"


def test_a_column_that_moved_is_named():
    found = tell(*draw_splits(moved=2.0))

    assert found.auc > 0.85
    assert next(iter(found.columns)) == "moved"
    outcome = limit_shift(answer(found), max_auc=0.6)
    assert outcome.state == "fail"
    assert outcome.evidence["low"] > 0.6
    assert "most by moved" in outcome.sentence
    assert json.loads(json.dumps(dict(outcome.evidence), allow_nan=False)) == outcome.evidence


def test_a_day_that_both_splits_have_is_one_block(tmp_path):
    """Apart, the half that learns would have training rows of the days whose test rows it is asked about."""
    evaluation = Evaluation.model_construct(intervals=Intervals(blocks="auto", resamples=100, coverage=0.95))
    data = SimpleNamespace(task="binary", split=SimpleNamespace(by="random"), examples=EXAMPLES, forecast=None)
    experiment = Experiment.model_construct(data=data, evaluation=evaluation)
    train, test = (
        pl.DataFrame({"predict_at": [datetime(2026, 1, day, 9) for day in days]})  # noqa: DTZ001 - UTC
        for days in ([1, 2, 3, 2], [2, 3, 4])
    )
    evaluated = make_evaluated(experiment, tmp_path, rows=test, target=np.zeros(3), model=np.zeros(3))
    train.write_parquet(evaluated.folder.examples / "train.parquet")

    blocks = take_blocks(evaluated, ["train", "test"], [np.array([1, 2, 3]), np.array([0, 2])])

    assert (blocks.unit, blocks.codes.tolist(), blocks.count) == ("day", [0, 1, 0, 0, 2], 3)


def test_days_that_differ_from_each_other_are_no_shift():
    """By rows, the weather of a day would give its split away; halves of whole days know nothing of other days."""
    frame, is_test, blocks = draw_splits(days=40)

    found = tell(frame, is_test, blocks)
    by_row = tell(frame, is_test, Blocks.of_rows(len(frame)))

    assert by_row.auc > 0.9
    assert limit_shift(answer(by_row), max_auc=0.7).state == "fail"
    assert limit_shift(answer(found), max_auc=0.7).state == "pass"


def test_a_text_that_only_one_split_has_is_found():
    frame, is_test, blocks = draw_splits()
    frame = frame.with_columns(city=pl.when(pl.Series(is_test) > 0).then(pl.lit("Bern")).otherwise("city"))

    found = tell(frame, is_test, blocks)

    assert found.auc > 0.99
    assert next(iter(found.columns)) == "city"


def test_a_split_in_one_block_is_not_judged():
    frame, is_test, _ = draw_splits()

    assert tell(frame, is_test, Blocks.of(is_test, unit="day")) is None


def test_what_was_not_asked_is_not_applicable():
    for check in (lambda given: limit_shift(given, max_auc=0.6), lambda given: limit_label_noise(given, max_share=0.1)):
        assert check(SimpleNamespace(answers={})).state == "not applicable"
        assert check(answer()).state == "not applicable"


@pytest.mark.parametrize("task", ["binary", "multiclass"])
def test_labels_that_were_swapped_are_suspects(task):
    """A model that is sure and right: of 40 swapped labels nearly all are found, and nearly nothing else."""
    generator = np.random.default_rng(0)
    num = 2 if task == "binary" else 3
    truth = generator.integers(num, size=1000)
    chances = np.full((1000, num), 0.1 / (num - 1))
    chances[np.arange(1000), truth] = 0.9
    chances = np.clip(chances + generator.normal(scale=0.03, size=chances.shape), 0.01, 0.99)
    swapped = generator.choice(1000, size=40, replace=False)
    label = truth.copy()
    label[swapped] = (truth[swapped] + 1) % num
    prediction = chances[:, 1] if task == "binary" else chances / chances.sum(axis=1, keepdims=True)
    names = [] if task == "binary" else ["a", "b", "c"]

    found = find_label_noise(prediction, target=label, task=task, classes=names, count=40)

    assert {one.position for one in found.suspects} <= set(swapped.tolist())
    assert found.count >= 15  # half of the rows are below their class' mean probability, and belong to none
    assert found.share == pytest.approx(0.04, abs=0.02)
    outcome = limit_label_noise(answer(noise=found, rows=[7]), max_share=0.01)
    assert (outcome.state, "such as row 7" in outcome.sentence) == ("fail", True)


def test_right_labels_are_not_suspects():
    generator = np.random.default_rng(0)
    label = generator.integers(2, size=500)
    prediction = np.where(label == 1, 0.9, 0.1) + generator.normal(scale=0.02, size=500)

    found = find_label_noise(prediction, target=label, task="binary", classes=[], count=10)

    assert (found.count, found.share, found.suspects) == (0, 0, [])


def test_a_number_far_from_its_prediction_is_a_suspect():
    generator = np.random.default_rng(0)
    prediction = generator.normal(size=500)
    target = prediction + 0.1 * generator.normal(size=500)
    target[123] *= 1000

    found = find_label_noise(prediction, target=target, task="regression", classes=[], count=5)

    assert [one.position for one in found.suspects] == [123]
    assert found.share == 1 / 500


def test_one_class_or_an_exact_model_has_no_suspects():
    ones = np.ones(50)

    assert find_label_noise(ones, target=ones, task="binary", classes=[], count=5) is None
    assert find_label_noise(ones, target=ones, task="regression", classes=[], count=5) is None


@pytest.mark.slow
def test_the_report_asks_the_data(project, run_once):
    settings = "evaluation.questions={rows: 500, ignore: [Population], suspects: 3}"
    shutil.copytree(run_once("tracker=disabled", settings), project / "runs")
    run = find_run(project)

    found = json.loads((run / "evaluation/parts/questions.json").read_text())

    assert found["repetition"] == {"rows": 13210, "repeated": 0, "contradictory": 0}
    assert "Population" not in found["shift"]["columns"]
    assert len(found["shift"]["columns"]) == 7
    assert found["shift"]["interval"]["low"] < 0.55
    rows = pl.read_parquet(run / "examples/test.parquet", columns=["row"])["row"]
    assert set(found["label_noise"]["keys"]) <= set(rows)
    checks = json.loads((run / "evaluation/checks.json").read_text())
    assert checks["shift"]["outcome"] == "pass"
    assert "Questions to the data" in (run / "evaluation" / "report.html").read_text()
