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
from treadle.evaluation.value.find import Predicted, read_by_class, read_numbers, read_outcomes
from treadle.evaluation.value.judge import judge_value
from treadle.evaluation.value.outcomes import Outcomes, find_threshold
from treadle.experiment.spec import Evaluation, Experiment
from treadle.experiment.spec.evaluation import Intervals
from treadle.experiment.spec.value import DecisionValue, NumberValue, OutcomeValue
from treadle.pages.render import render_page
from treadle.problems import ConfigError

ROWS = 3000
GAINS = {"true_positive": 20.0, "false_positive": -5.0, "false_negative": 0.0, "true_negative": 0.0}


def make_experiment(value=None, *, task="binary", **gains):
    evaluation = Evaluation.model_construct(
        value=value or OutcomeValue(unit="dollars", top=[0.1], **(GAINS | gains)),
        intervals=Intervals(blocks="auto", resamples=200, coverage=0.95),
    )
    data = SimpleNamespace(task=task, split=SimpleNamespace(by="random"), examples=SimpleNamespace(predict_at=None))
    return Experiment.model_construct(data=data, evaluation=evaluation)


def make_rows(seed, *, skill=True, gain=20.0):
    """Of a model that knows the probability of each row, or nothing; 5 dollars for acting in vain."""
    generator = np.random.default_rng(seed)
    truth = generator.random(ROWS)
    target = (generator.random(ROWS) < truth).astype(np.float64)
    chance = truth if skill else generator.random(ROWS)
    acting = np.where(target > 0, gain, -5.0)
    return Outcomes(acting, np.zeros(ROWS), {"model": chance.astype(np.float32)}, target, Blocks.of_rows(ROWS))


def judge(**settings):
    test = make_rows(1, **settings)
    return test, judge_value(make_rows(0, **settings), test, experiment=make_experiment(), top=[0.1])


def predict(evaluated):
    predictions = {name: values.numpy() for name, values in evaluated.predictions.items()}
    target = evaluated.target.numpy()
    return Predicted("test", predictions, target, Blocks.of_rows(len(target)))


def ask(found):
    return add_value(SimpleNamespace(answers={} if found is None else {"value": found}))


def test_the_value_is_that_of_the_confusion_matrix_at_the_best_threshold():
    test, found = judge()

    assert found.model.setting == pytest.approx(0.2, abs=0.06)  # 5 / (20 + 5), as the probabilities are true
    _, fp, _, tp = confusion_matrix(test.target, test.predictions["model"] >= found.model.setting).ravel()
    assert found.model.value.value == pytest.approx((20 * tp - 5 * fp) / ROWS)
    assert found.model.value.low < found.model.value.value < found.model.value.high
    assert found.policies["never"].value.value == 0
    share = test.target.mean()
    assert found.constant.name == "always"
    assert found.constant.value.value == pytest.approx(20 * share - 5 * (1 - share))
    assert found.constant.lead.value == pytest.approx(found.model.value.value - found.constant.value.value)
    assert found.cross_fitted == pytest.approx(found.model.value.value, abs=0.5)
    highest = test.target[np.argsort(-test.predictions["model"])[: ROWS // 10]]
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

    assert (found.model.setting, found.model.value.value, found.model.shares["act"]) == (None, 0, 0)


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
        evaluated = make_evaluated(experiment, tmp_path / name, rows=frame, target=target, model=model)
        found = read_outcomes(evaluated, predict(evaluated), experiment.evaluation.value)
        return [found.acting.tolist(), found.leaving.tolist()]

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


# --- one of several decisions ---------------------------------------------------------------------------

CALLS = {"call": {"cat": -4.0, "dog": 10.0, "eel": 10.0}, "wait": {"cat": 1.0, "dog": 0.0, "eel": "-late"}}


def make_classes(seed, *, skill=True, folder=None, calls=None):
    """Rows of three classes, of which a model knows the probabilities, or nothing."""
    generator = np.random.default_rng(seed)
    chances = generator.dirichlet(np.ones(3), size=ROWS)
    codes = (generator.random(ROWS)[:, None] > np.cumsum(chances, axis=1)).sum(axis=1).clip(max=2)
    shown = chances if skill else generator.dirichlet(np.ones(3), size=ROWS)
    frame = pl.DataFrame({"label": np.array(["cat", "dog", "eel"])[codes], "late": generator.integers(0, 3, ROWS)})
    value = DecisionValue(by="decisions", unit="dollars", decisions=calls or CALLS)
    experiment = make_experiment(value, task="multiclass")
    evaluated = make_evaluated(experiment, folder, rows=frame, target=codes, model=shown)
    evaluated.bundle.classes = ["cat", "dog", "eel"]
    return frame, read_by_class(evaluated, predict(evaluated), value), experiment


def test_of_several_decisions_the_one_of_the_highest_expected_gain_is_taken(tmp_path):
    frame, rows, experiment = make_classes(1, folder=tmp_path / "a")

    found = judge_value(rows, rows, experiment=experiment)

    late = frame["late"].to_numpy()
    expected = np.stack([-4 * rows.predictions["model"][:, 0] + 10 * rows.predictions["model"][:, 1:].sum(axis=1),
                         rows.predictions["model"][:, 0] - late * rows.predictions["model"][:, 2]], axis=1)  # fmt: skip
    calls = expected.argmax(axis=1) == 0
    is_cat, is_eel = frame["label"].to_numpy() == "cat", frame["label"].to_numpy() == "eel"
    gained = np.where(calls, np.where(is_cat, -4, 10), np.where(is_cat, 1, np.where(is_eel, -late, 0)))
    assert found.model.value.value == pytest.approx(gained.mean())
    assert found.model.shares == {"call": pytest.approx(calls.mean()), "wait": pytest.approx(1 - calls.mean())}
    assert list(found.policies) == ["model", "always_call", "always_wait"]
    assert found.constant.name == "always_call"
    assert ask(found).sentence.endswith(" more than always to decide 'call'.")
    page = render_page("parts/value.html.jinja", found=found)
    assert '<th scope="col">wait</th>' in page
    assert "<svg" not in page  # nothing is chosen, and so there is no curve
    assert json.loads(json.dumps(found.to_plain(), allow_nan=False)) == found.to_plain()


def test_a_model_that_knows_no_class_adds_no_value(tmp_path):
    able, blind = (
        judge_value(rows, rows, experiment=experiment)
        for _, rows, experiment in (make_classes(2, skill=s, folder=tmp_path / str(s)) for s in (True, False))
    )

    assert (ask(able).state, ask(blind).state) == ("pass", "fail")


def test_a_decision_needs_a_gain_for_every_class(tmp_path):
    calls = {"call": {"cat": 1.0, "dog": 1.0}, "wait": CALLS["wait"]}

    with pytest.raises(TreadleError, match=r"decisions\.call: no gain for the classes eel; it has cat, dog"):
        make_classes(0, folder=tmp_path / "a", calls=calls)


# --- a number -------------------------------------------------------------------------------------------

ORDER = "-1 * GREATEST(prediction - label, 0) - 4 * GREATEST(label - prediction, 0) * urgent"


def make_numbers(seed, folder, *, adjust="shift", skill=True):
    """Demands around a prediction; one too few costs four times as much as one too many."""
    generator = np.random.default_rng(seed)
    mean = generator.uniform(10, 20, ROWS)
    demand = mean + 3 * generator.normal(size=ROWS)
    frame = pl.DataFrame({"label": demand, "urgent": np.ones(ROWS)})
    gain = ORDER if adjust == "shift" else ORDER.removesuffix(" * urgent")
    value = NumberValue(by="number", unit="dollars", gain=gain, adjust=adjust)
    experiment = make_experiment(value, task="regression")
    model = mean if skill else generator.permutation(mean)
    evaluated = make_evaluated(experiment, folder, rows=frame, target=demand, model=model, prior=np.full(ROWS, 15.0))
    return read_numbers(evaluated, predict(evaluated), value), experiment


def judge_numbers(folder, **settings):
    (valid, experiment), (test, _) = (make_numbers(seed, folder / str(seed), **settings) for seed in (0, 1))
    return test, judge_value(valid, test, experiment=experiment)


@pytest.mark.slow
def test_a_number_is_moved_to_the_quantile_that_its_costs_ask_for(tmp_path):
    test, found = judge_numbers(tmp_path)

    assert found.model.setting == pytest.approx(3 * 0.8416, abs=0.4)  # the quantile 4 / (4 + 1) of the errors
    decided = test.predictions["model"] + found.model.setting
    cost = np.maximum(decided - test.target, 0) + 4 * np.maximum(test.target - decided, 0)
    assert found.model.value.value == pytest.approx(-cost.mean())
    assert found.cross_fitted == pytest.approx(found.model.value.value, abs=0.3)
    assert list(found.policies) == ["model", "prior", "one_number"]
    assert found.policies["prior"].value.value == pytest.approx(found.policies["one_number"].value.value, abs=0.1)
    assert ask(found).state == "pass"
    assert ask(found).sentence.endswith(" more than to decide by one number for every row.")
    assert render_page("parts/value.html.jinja", found=found).count("<svg") == 1
    assert found.to_numbers().keys() == {"value", "lead", "shift"}
    assert json.loads(json.dumps(found.to_plain(), allow_nan=False)) == found.to_plain()


@pytest.mark.parametrize("adjust", ["none", "scale"])
def test_a_number_may_be_decided_as_it_is_or_scaled(adjust, tmp_path):
    _, found = judge_numbers(tmp_path, adjust=adjust)

    settings = {"none": None, "scale": pytest.approx(1.16, abs=0.05)}
    assert found.model.setting == settings[adjust]
    assert bool(found.curve) == (adjust == "scale")


def test_predictions_that_no_factor_corrects_stay_as_they_are(tmp_path):
    rows, _ = make_numbers(0, tmp_path / "a", adjust="scale")

    lost = replace(rows, predictions={"model": np.zeros(ROWS)})

    assert (lost.choose("model"), lost.list_settings(1.0)) == (1.0, [1.0])


def test_predictions_of_other_rows_are_worth_less_than_one_number(tmp_path):
    _, found = judge_numbers(tmp_path, skill=False)

    assert ask(found).state == "fail"


NUMBER = "evaluation.value={{by: number, unit: dollars, adjust: none, gain: '{}'{}}}"


@pytest.mark.parametrize(
    ("overrides", "rule"),
    [
        (["experiment=california"], "by: outcomes needs a binary task, and this is regression\n    set by to number"),
        (["experiment=adult", "evaluation.value.false_negative='ages * 2'"], "no column 'ages' here"),
        (["experiment=adult", "evaluation.value.false_negative=race"], "a gain must be a number, found str"),
        (["experiment=diamonds", NUMBER.format("predicted - label", "")], "no column 'predicted' here"),
        (
            ["experiment=california", NUMBER.format("prediction - label", ", top: []")],
            "evaluation.value.top",
        ),
    ],
    ids=["task", "column", "type", "number", "key"],
)
def test_gains_are_checked_before_the_run(project, overrides, rule):
    gains = "{unit: dollars, true_positive: 1, false_positive: 0, false_negative: 0, true_negative: 0, top: []}"
    given = [] if any("by: number" in word for word in overrides) else [f"evaluation.value={gains}"]

    with pytest.raises(ConfigError) as refused:
        resolve(overrides=[overrides[0], *given, *overrides[1:]], root=project)

    assert rule in str(refused.value)
