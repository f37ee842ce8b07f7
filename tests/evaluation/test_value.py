"""What decisions are worth: the threshold of the validation split, on rows that it was not chosen on."""

import json
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import confusion_matrix

from evaluations import make_evaluated
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.evaluation.checks.value import add_value
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.value import Rows, find_threshold, judge_value, read_gains
from treadle.experiment.spec import Evaluation, Experiment
from treadle.experiment.spec.evaluation import Intervals, Value
from treadle.pages.render import render_page
from treadle.problems import ConfigError

ROWS = 3000
GAINS = {"true_positive": 20.0, "false_positive": -5.0, "false_negative": 0.0, "true_negative": 0.0}


def make_experiment(**gains):
    evaluation = Evaluation.model_construct(
        value=Value(unit="dollars", top=[0.1], **(GAINS | gains)),
        intervals=Intervals(blocks="auto", resamples=200, coverage=0.95),
    )
    data = SimpleNamespace(task="binary", split=SimpleNamespace(by="random"), examples=SimpleNamespace(predict_at=None))
    return Experiment.model_construct(data=data, evaluation=evaluation)


def make_rows(seed, *, skill=True, gain=20.0):
    """Of a model that knows the probability of each row, or nothing; 5 dollars for acting in vain."""
    generator = np.random.default_rng(seed)
    truth = generator.random(ROWS)
    target = (generator.random(ROWS) < truth).astype(np.float64)
    chance = truth if skill else generator.random(ROWS)
    acting = np.where(target > 0, gain, -5.0)
    return Rows(acting, np.zeros(ROWS), {"model": chance.astype(np.float32)}, target, Blocks.of_rows(ROWS))


def judge(**settings):
    test = make_rows(1, **settings)
    return test, judge_value(make_rows(0, **settings), test, experiment=make_experiment())


def ask(found):
    return add_value(SimpleNamespace(answers={} if found is None else {"value": found}))


def test_the_value_is_that_of_the_confusion_matrix_at_the_best_threshold():
    test, found = judge()

    assert found.model.threshold == pytest.approx(0.2, abs=0.06)  # 5 / (20 + 5), as the probabilities are true
    _, fp, _, tp = confusion_matrix(test.target, test.chances["model"] >= found.model.threshold).ravel()
    assert found.model.value.value == pytest.approx((20 * tp - 5 * fp) / ROWS)
    assert found.model.value.low < found.model.value.value < found.model.value.high
    assert found.policies["never"].value.value == 0
    share = test.target.mean()
    assert found.constant.name == "always"
    assert found.constant.value.value == pytest.approx(20 * share - 5 * (1 - share))
    assert found.constant.lead.value == pytest.approx(found.model.value.value - found.constant.value.value)
    assert found.cross_fitted == pytest.approx(found.model.value.value, abs=0.5)
    highest = test.target[np.argsort(-test.chances["model"])[: ROWS // 10]]
    assert found.precision["0.1"].value == pytest.approx(highest.mean())
    assert max(point.value for _, point in found.curve) == pytest.approx(found.model.value.value, abs=0.1)
    assert json.loads(json.dumps(found.to_plain(), allow_nan=False)) == found.to_plain()


def test_a_model_that_knows_nothing_adds_no_value():
    able, blind = (ask(judge(skill=skill)[1]) for skill in (True, False))

    assert (able.state, blind.state) == ("pass", "fail")
    assert able.sentence.startswith("A decision by the model is worth ")
    assert able.sentence.endswith(" more than to act always.")
    assert ask(None).state == "not applicable"


def test_where_no_decision_pays_it_is_best_never_to_act():
    _, found = judge(gain=-1.0)

    assert (found.model.threshold, found.model.value.value, found.model.acted) == (None, 0, 0)


def test_a_validation_split_of_one_block_has_no_cross_fitted_value():
    valid = replace(make_rows(0), blocks=Blocks.of(np.zeros(ROWS), unit="day"))

    found = judge_value(valid, make_rows(1), experiment=make_experiment())

    assert found.to_plain()["cross_fitted"] is None
    assert "of each fold" not in render_page("parts/value.html.jinja", found=found)


def test_a_gain_may_be_an_expression_over_columns(tmp_path):
    frame = pl.DataFrame({"row": [0, 1, 2], "label": [1.0, 0.0, 1.0], "spent": [4.0, 5.0, 6.0]})
    target, model = frame["label"].to_numpy(writable=True), np.full(3, 0.5)

    def read(name, **gains):
        experiment = make_experiment(**gains)
        rows = make_evaluated(experiment, tmp_path / name, rows=frame, target=target, model=model)
        return [part.tolist() for part in read_gains(rows, "test")]

    assert read("sql", true_positive="5 * spent", false_negative="-spent") == [[20, -5, 30], [-4, 0, -6]]
    with pytest.raises(TreadleError, match=r"evaluation.value.false_positive: .* has no finite value for some test"):
        read("null", false_positive="NULLIF(spent, 4)")


def test_rows_of_equal_probability_are_decided_alike():
    chances = np.array([0.5, 0.5, 0.5, 0.1])

    assert find_threshold(chances, np.array([9.0, -5.0, -5.0, 3.0])) == pytest.approx(0.1)
    assert find_threshold(chances, np.array([9.0, -5.0, -5.0, 0.5])) is None


def test_the_section_of_the_report_shows_every_policy():
    _, found = judge()

    page = render_page("parts/value.html.jinja", found=found)

    assert all(f'<th scope="row">{name}</th>' in page for name in ("model", "never", "always"))
    assert page.count("<svg") == 1


@pytest.mark.parametrize(
    ("overrides", "rule"),
    [
        (["experiment=california"], "needs a binary task, and this is regression"),
        (["experiment=adult", "evaluation.value.false_negative='ages * 2'"], "no column 'ages' here"),
        (["experiment=adult", "evaluation.value.false_negative=race"], "a gain must be a number, found str"),
    ],
    ids=["task", "column", "type"],
)
def test_gains_are_checked_before_the_run(project, overrides, rule):
    gains = "{unit: dollars, true_positive: 1, false_positive: 0, false_negative: 0, true_negative: 0, top: []}"

    with pytest.raises(ConfigError) as refused:
        resolve(overrides=[overrides[0], f"evaluation.value={gains}", *overrides[1:]], root=project)

    assert rule in str(refused.value)
