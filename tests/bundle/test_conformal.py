"""Intervals and sets in a bundle: written beside predictions, kept with it, and measured on the test split."""

import json
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest
import torch

from bundle_mutants import edit
from treadle.bundle import compute_raw, load, save
from treadle.bundle.batch import predict_file
from treadle.bundle.conformal import Sets, Span, Spread, name_ends
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.evaluation.checks.coverage import hold_coverage
from treadle.evaluation.conformal import find_coverage
from treadle.evaluation.resampling import Blocks
from treadle.experiment.run_folder import RunFolder
from treadle.pages.render import render_page
from treadle.training.calibrate import learn_from_valid


@pytest.fixture(scope="module")
def experiment(root):
    overrides = ["experiment=adult", "evaluation.conformal={coverage: 0.9, by_class: true}"]
    return resolve(overrides=overrides, root=root).experiment


@pytest.fixture
def conformed(bundle, trained, experiment):
    valid = pl.scan_parquet(trained / "examples" / "valid.parquet")
    card = learn_from_valid(bundle.card, compute_raw(bundle, valid), valid, experiment)
    fields = {name: getattr(bundle, name) for name in bundle.__dataclass_fields__}
    return type(bundle)(**{**fields, "card": card})


@pytest.mark.slow
def test_sets_stand_beside_the_predictions_of_the_bundle_and_of_the_file(conformed, rows, tmp_path):
    save(conformed, tmp_path / "bundle")
    loaded = load(tmp_path / "bundle")
    predicted = loaded.predict(rows, on_breach="allow")
    rows.head(50).write_parquet(tmp_path / "rows.parquet")

    predict_file(loaded, tmp_path / "rows.parquet", output=tmp_path / "out.csv")

    assert predicted.columns == ["row", "probability", "set_negative", "set_positive"]
    written = pl.read_csv(tmp_path / "out.csv")
    assert written["set_positive"].to_list() == predicted["set_positive"].head(50).to_list()
    low, high = conformed.card.conformal.thresholds
    chance = predicted["probability"].cast(pl.Float64)
    assert (predicted["set_positive"] == ((chance >= high) | (chance > 0.5))).all()
    assert (predicted["set_negative"] == ((1 - chance >= low) | (chance <= 0.5))).all()


def judge(bundle, predicted, target, experiment, folder):
    run = RunFolder(folder)
    run.evaluation.mkdir(parents=True)
    predicted.write_parquet(run.evaluation / "predictions.parquet")
    name = "probability" if bundle.task == "binary" else "prediction"
    evaluated = SimpleNamespace(
        bundle=bundle,
        folder=run,
        task=bundle.task,
        target=torch.from_numpy(target),
        predictions={"model": torch.from_numpy(predicted[name].to_numpy(writable=True))},
        blocks=Blocks.of_rows(len(target)),
        experiment=experiment,
    )
    found = find_coverage(evaluated)
    evaluated.answers = {"conformal": found} if found else {}
    return found, hold_coverage(evaluated)


@pytest.mark.slow
def test_sets_cover_each_class_of_rows_that_they_have_not_seen(conformed, rows, experiment, tmp_path):
    predicted = conformed.predict(rows, on_breach="allow")
    target = rows["label"].to_numpy().astype(np.float64)

    found, outcome = judge(conformed, predicted, target, experiment, tmp_path)

    assert min(part.value for part in found.parts.values()) > 0.88
    assert outcome.state == "pass"
    assert 1 < found.size.value < 1.7
    numbers = found.to_numbers()
    assert (list(numbers), json.loads(json.dumps(found.to_plain()))["declared"]) == (
        ["coverage", "classes", "worst_coverage"],
        0.9,
    )
    assert "coverage of positive" in render_page("parts/conformal.html.jinja", found=found)


@pytest.mark.parametrize(("width", "state"), [(1.7, "pass"), (1.0, "fail")])
def test_intervals_that_are_too_narrow_fail(width, state, experiment, tmp_path):
    generator = np.random.default_rng(0)
    prediction = generator.normal(size=2000)
    target = prediction + generator.normal(size=2000)
    span = Span(coverage=0.9, below=-width, above=width, spread=Spread(x=[0.0], y=[1.0]))
    bundle = SimpleNamespace(task="regression", classes=[], card=SimpleNamespace(conformal=span))
    ends = name_ends(torch.from_numpy(prediction), span, classes=[])
    predicted = pl.DataFrame([pl.Series("prediction", prediction), *ends])

    found, outcome = judge(bundle, predicted, target, experiment, tmp_path)

    assert outcome.state == state, outcome.sentence
    assert found.size.value == pytest.approx(2 * width)
    shares = sum(found.others[name].value for name in ("below", "above")) + found.coverage.value
    assert (shares, len(found.parts)) == (pytest.approx(1), 5)
    assert "mean width" in render_page("parts/conformal.html.jinja", found=found)


def test_a_bundle_without_one_has_no_such_columns_and_no_answer(bundle, rows, experiment, tmp_path):
    predicted = bundle.predict(rows, on_breach="allow")

    found, outcome = judge(bundle, predicted, rows["label"].to_numpy().astype(np.float64), experiment, tmp_path)

    assert predicted.columns == ["row", "probability"]
    assert (found, outcome.state) == (None, "not applicable")


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"kind": "set", "coverage": 0.9, "thresholds": [0.5]}, "thresholds"),
        ({"kind": "set", "coverage": 0.9, "thresholds": [0.5] * 3}, "threshold for each class"),
        ({"kind": "set", "coverage": 1.0, "thresholds": [0.5] * 2}, "coverage"),
        (
            {"kind": "interval", "coverage": 0.9, "below": -1.0, "above": 1.0, "spread": {"x": [0.0], "y": [1.0]}},
            "sets",
        ),
        (
            {
                "kind": "interval",
                "coverage": 0.9,
                "below": -1.0,
                "above": 1.0,
                "spread": {"x": [0.0, 0.0], "y": [1.0] * 2},
            },
            "rise",
        ),
    ],
)
def test_a_forged_one_is_refused(value, told, copy):
    edit(copy, "bundle.json", lambda card: card.update(conformal=value))

    with pytest.raises(TreadleError, match=told):
        load(copy)


def test_of_several_classes_each_has_a_column():
    sets = Sets(coverage=0.9, thresholds=[0.3, 0.2, 0.6])

    found = name_ends(torch.tensor([[0.35, 0.25, 0.4], [0.1, 0.1, 0.8]]), sets, classes=["a", "b", "c"])

    assert [(column.name, column.to_list()) for column in found] == [
        ("set_a", [True, False]),
        ("set_b", [True, False]),
        ("set_c", [True, True]),
    ]
