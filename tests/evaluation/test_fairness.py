"""Rates by group: those of scikit-learn, with intervals over blocks, and limits that are the user's."""

import json
import re
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import confusion_matrix

from evaluations import make_evaluated
from runs import treadle
from treadle.evaluation.checks.fairness import limit_disparity, require_ratio
from treadle.evaluation.fairness import MEASURES, find_fairness
from treadle.evaluation.resampling import Blocks
from treadle.experiment.spec import Evaluation, Experiment
from treadle.experiment.spec.evaluation import Fairness, Intervals
from treadle.pages.render import render_page
from treadle.tasks import TRAITS

ROWS = 2000


def make_experiment(task, columns=("race",), **derive):
    evaluation = Evaluation.model_construct(
        threshold=0.5,
        calibration_bins=10,
        derive=derive,
        fairness=Fairness(columns=list(columns), min_rows=50),
        intervals=Intervals(blocks="auto", resamples=300, coverage=0.95),
    )
    examples = SimpleNamespace(predict_at=None, known=["race", "age"], asof={}, history={})
    data = SimpleNamespace(task=task, split=SimpleNamespace(by="random"), examples=examples)
    return Experiment.model_construct(data=data, evaluation=evaluation)


def make_groups(task, folder, *, shift=0.3, **settings):
    """A model that sees people of `b` as riskier, by `shift`; people of `c` are few."""
    generator = np.random.default_rng(0)
    race = generator.choice(["a", "b", "c"], p=[0.6, 0.39, 0.01], size=ROWS)
    rows = pl.DataFrame({"race": race, "age": generator.integers(18, 80, size=ROWS)})
    chance = generator.random(ROWS)
    if task == "regression":
        target = generator.normal(size=ROWS)
        prediction = target + shift * (race == "b") + generator.normal(size=ROWS)
    elif task == "binary":
        target = (generator.random(ROWS) < chance).astype(np.float64)
        prediction = (chance + shift * (race == "b")).clip(0, 1).astype(np.float32)
    else:
        target = generator.integers(0, 3, size=ROWS)
        certain = np.where(generator.random(ROWS) < 0.8 - shift * (race == "b"), target, (target + 1) % 3)
        prediction = 0.1 + 0.7 * np.eye(3)[certain]
    evaluated = make_evaluated(make_experiment(task, **settings), folder, rows=rows, target=target, model=prediction)
    answer = find_fairness(evaluated)
    evaluated.answers["fairness"] = answer
    return evaluated, answer, race


def test_rates_are_those_of_the_confusion_matrix_of_each_group(tmp_path):
    evaluated, answer, race = make_groups("binary", tmp_path)

    (found,) = answer.groupings
    for name, group in found.groups.items():
        mask = race == name
        decided = evaluated.predictions["model"].numpy()[mask] >= 0.5
        tn, fp, fn, tp = confusion_matrix(evaluated.target.numpy()[mask], decided).ravel()
        assert group.values == pytest.approx(
            {
                "positive_rate": (tp + fn) / mask.sum(),
                "selection_rate": (tp + fp) / mask.sum(),
                "true_positive_rate": tp / (tp + fn),
                "false_positive_rate": fp / (fp + tn),
                "precision": tp / (tp + fp),
                "accuracy": (tp + tn) / mask.sum(),
                "calibration_gap": (evaluated.predictions["model"].numpy() - evaluated.target.numpy())[mask].mean(),
            }
        )
    assert found.small == {"c": (race == "c").sum()}
    gap = found.gaps["false_positive_rate"]
    assert (gap.highest, gap.lowest) == ("b", "a")
    assert 0 < gap.bounds.low < gap.difference < gap.bounds.high
    assert gap.ratio.value == pytest.approx(
        found.groups["a"].values["false_positive_rate"] / found.groups["b"].values["false_positive_rate"]
    )
    assert found.gaps["calibration_gap"].ratio is None
    assert found.gaps["calibration_gap"].difference == pytest.approx(0.26, abs=0.03)


def test_the_same_model_for_all_is_within_noise(tmp_path):
    _, answer, _ = make_groups("binary", tmp_path, shift=0.0)

    assert not any(gap.bounds.excludes_zero for gap in answer.groupings[0].gaps.values())


@pytest.mark.parametrize(("task", "measure"), [("regression", "mean_error"), ("multiclass", "accuracy")])
def test_other_tasks_have_their_own_measures(task, measure, tmp_path):
    _, answer, _ = make_groups(task, tmp_path)

    (found,) = answer.groupings
    assert set(found.groups["a"].values) == set(MEASURES[TRAITS[task].activation])
    gap = found.gaps[measure]
    assert gap.bounds.excludes_zero
    assert gap.difference == pytest.approx(0.3, abs=0.1)
    assert found.draw() == ""
    assert json.loads(json.dumps(answer.to_plain(), allow_nan=False)) == answer.to_plain()


def test_a_group_may_be_made_by_sql(tmp_path):
    _, answer, _ = make_groups("binary", tmp_path, columns=("band",), band="CASE WHEN age < 40 THEN 'young' END")

    assert list(answer.groupings[0].groups) == ["missing", "young"]


def test_rows_that_hang_together_widen_the_intervals(tmp_path):
    generator = np.random.default_rng(1)
    days, race = np.repeat(np.arange(40), 50), generator.choice(["a", "b"], size=ROWS)
    shares = np.where(race == "a", *generator.uniform(0.1, 0.9, size=(2, 40))[:, days])
    target = (generator.random(ROWS) < shares).astype(np.float64)
    rows = pl.DataFrame({"race": race, "age": np.full(ROWS, 30)})
    widths = {}
    for name, blocks in {"row": Blocks.of_rows(ROWS), "day": Blocks.of(days, unit="day")}.items():
        experiment, model = make_experiment("binary"), np.full(ROWS, 0.5)
        evaluated = make_evaluated(experiment, tmp_path / name, rows=rows, target=target, model=model)
        vars(evaluated)["blocks"] = blocks  # as the cached property would have found them
        bounds = find_fairness(evaluated).groupings[0].gaps["calibration_gap"].bounds
        widths[name] = bounds.high - bounds.low

    assert widths["day"] > 2 * widths["row"]


def test_limits_are_the_users(tmp_path):
    evaluated, _, _ = make_groups("binary", tmp_path)

    strict = limit_disparity(evaluated, measure="false_positive_rate", ceiling=0.1)
    loose = limit_disparity(evaluated, measure="false_positive_rate", ceiling=0.9)
    other = limit_disparity(evaluated, measure="mae", ceiling=0.1)
    four_fifths = require_ratio(evaluated, measure="selection_rate", floor=0.8)
    signed = require_ratio(evaluated, measure="calibration_gap", floor=0.8)

    assert [one.state for one in (strict, loose, other)] == ["fail", "pass", "not applicable"]
    assert strict.sentence.startswith("False positive rate by race: b 0.")
    assert strict.sentence.endswith("; at most 0.1 is allowed.")
    assert (four_fifths.state, signed.state) == ("fail", "not applicable")
    assert "0.8 is required" in four_fifths.sentence
    evaluated.answers.clear()
    assert limit_disparity(evaluated, measure="accuracy", ceiling=0.1).state == "not applicable"


def test_a_ratio_of_few_blocks_counts_without_an_interval(tmp_path):
    evaluated, _, _ = make_groups("binary", tmp_path)
    vars(evaluated)["blocks"] = Blocks.of(np.arange(ROWS) % 3, unit="day")
    evaluated.answers["fairness"] = find_fairness(evaluated)

    outcome = require_ratio(evaluated, measure="selection_rate", floor=0.8)

    assert outcome.state == "fail"
    assert re.search(r"the ratio is 0\.\d{3}, and 0\.8 is required", outcome.sentence)
    assert json.loads(json.dumps(dict(outcome.evidence), allow_nan=False)) == outcome.evidence
    assert "the ratio" not in render_page("parts/fairness.html.jinja", found=evaluated.answers["fairness"])


def test_the_section_of_the_report_shows_every_group(tmp_path):
    _, answer, _ = make_groups("binary", tmp_path)

    page = render_page("parts/fairness.html.jinja", found=answer)

    assert "<h3>race</h3>" in page
    assert "Too few rows to be compared: c (" in page
    assert page.count("<svg") == 1
    assert set(answer.to_numbers()) == {
        f"race/{name}" for name in ("selection_rate", "true_positive_rate", "false_positive_rate", "calibration_gap")
    }


@pytest.mark.exhaustive
def test_a_model_of_two_numbers_is_as_unequal_as_was_published_of_compas(project):
    assert treadle("run", "experiment=compas", "evaluation.explanation=null", "tracker=disabled") == 0

    (file,) = project.glob("runs/compas-*/evaluation/parts/fairness.json")
    groups = json.loads(file.read_text())["race"]["groups"]
    black, white = (groups[name] for name in ("African-American", "Caucasian"))
    assert black["false_positive_rate"]["low"] > 1.3 * white["false_positive_rate"]["value"]
    assert white["false_positive_rate"]["value"] == pytest.approx(0.15, abs=0.03)
    assert black["false_positive_rate"]["value"] == pytest.approx(0.27, abs=0.05)
    assert black["calibration_gap"]["value"] == pytest.approx(white["calibration_gap"]["value"], abs=0.05)
