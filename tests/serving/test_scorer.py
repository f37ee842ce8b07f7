"""Whatever a row holds, a server gives the answer, or the error, that `predict` gives."""

from dataclasses import replace

import polars as pl
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from served import make_bundle, read_known
from treadle.bundle import TARGETS, BlendBundle, BreachError, build_model
from treadle.bundle.calibration import Isotonic
from treadle.bundle.conformal import Sets
from treadle.errors import TreadleError
from treadle.models.estimator import Objective, Training
from treadle.schema import Batch
from treadle.serving.scorer import Scorer

ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-5, 200),
    st.floats(allow_nan=False, allow_infinity=False),
    st.sampled_from(
        ["?", "", " ", "Private", " Private", "private", "12", "1.5", "1e3", "true", "Ä\u00a0", "\x1c?", "-0"]
    ),
    st.text(max_size=5),
)


@pytest.fixture(scope="module")
def bundle():
    return make_bundle("adult", num_rows=500)


@pytest.fixture(scope="module")
def scorer(bundle):
    return Scorer(bundle)


@settings(max_examples=40)
@given(data=st.data())
@pytest.mark.slow
def test_an_odd_row_gets_the_answer_or_the_error_of_a_batch(scorer, bundle, rows, data):
    row = dict(data.draw(st.sampled_from(rows)))
    for column in data.draw(st.lists(st.sampled_from(list(row)), min_size=1, max_size=3, unique=True)):
        row[column] = data.draw(ODD)

    (answer,) = scorer.ask([row])

    try:
        wanted = bundle.predict(row)["probability"].item()
    except TreadleError as error:
        wanted = error

    if isinstance(wanted, BreachError):
        assert [tuple(problem) for problem in answer.problems] == list(
            wanted.breaches.select("column", "value", "rule").iter_rows()
        )
    elif isinstance(wanted, TreadleError):
        assert any(problem.column in str(wanted) for problem in answer.problems)
    assert answer.prediction == (None if isinstance(wanted, TreadleError) else {"probability": wanted})


def test_plain_rows_do_not_need_polars(scorer, rows):
    before = scorer.num_by_polars

    scorer.ask(rows)

    assert scorer.num_by_polars == before
    assert scorer.reason == ""


@pytest.mark.parametrize("on_breach", ["warn", "allow"])
def test_rows_that_break_the_contract_are_predicted_where_they_may_be(bundle, rows, on_breach):
    row = {**rows[0], "age": 300}

    (answer,) = Scorer(replace(bundle, override=on_breach)).ask([row])

    assert answer.prediction is not None
    assert [problem.rule for problem in answer.problems] == (["must be at most 120"] if on_breach == "warn" else [])


def test_a_bundle_without_a_program_answers_by_polars(rows):
    bundle = make_bundle("adult", num_rows=500, derive={"start": "SUBSTR(workclass, 1, 3)"})
    scorer = Scorer(bundle)

    answers = scorer.ask([rows[0], {"age": 1}, rows[1]])

    assert "SUBSTR" in scorer.reason
    wanted = bundle.predict(rows[:2])["probability"].to_list()
    assert [answer.prediction and answer.prediction["probability"] for answer in answers] == [
        wanted[0],
        None,
        wanted[1],
    ]


def test_a_blend_answers_by_polars(bundle, rows):
    other = make_bundle("adult", num_rows=300)
    card = bundle.card.model_copy(update={"members": {"one": 0.25, "two": 0.75}})
    blend = BlendBundle(card, bundle.recipe, {"one": bundle, "two": other})

    answers = Scorer(blend).ask(rows)

    assert [answer.prediction["probability"] for answer in answers] == blend.predict(rows)["probability"].to_list()


def test_a_row_that_only_fails_in_the_features_keeps_no_other_from_its_answer(rows):
    bundle = make_bundle("adult", num_rows=500, derive={"whole": "CAST(fnlwgt / age AS BIGINT)"})
    scorer = Scorer(bundle)
    bad = {**rows[3], "age": 0}

    answers = scorer.ask([*rows[:3], bad, *rows[4:6]])

    assert [answer.prediction is not None for answer in answers] == [True, True, True, False, True, True]
    assert answers[3].problems[0].column is None


def test_several_classes_are_named(bundle, rows):
    card = bundle.card.model_copy(update={"task": "multiclass", "classes": ["a", "b"]})

    class Twice(torch.nn.Module):
        def forward(self, numeric, ids):  # noqa: ARG002 - as the bundle calls it
            return torch.stack([numeric[:, 0], -numeric[:, 0]], dim=1)

    several = replace(bundle, card=card, model=Twice())

    answers = Scorer(several).ask(rows[:5])

    assert [dict(answer.prediction) for answer in answers] == several.predict(rows[:5]).to_dicts()


def test_calibrated_probabilities_and_sets_are_those_of_a_batch(bundle, rows):
    taught = {
        "conformal": Sets(coverage=0.9, thresholds=[0.3, 0.4]),
        "calibration": Isotonic.model_validate({"curves": [{"x": [0.1, 0.9], "y": [0.3, 0.4]}]}),
    }
    calibrated = replace(bundle, card=bundle.card.model_copy(update=taught))

    answers = Scorer(calibrated).ask(rows)

    wanted = calibrated.predict(rows)
    assert wanted.columns == ["probability", "set_negative", "set_positive"]
    assert [answer.prediction for answer in answers] == wanted.to_dicts()
    assert wanted["probability"].to_list() != bundle.predict(rows)["probability"].to_list()


@pytest.mark.slow
def test_trees_are_asked_with_the_same_inputs(rows, root):
    pytest.importorskip("lightgbm")
    bundle = make_bundle("adult", num_rows=500)
    known = read_known("adult").head(500)
    target = (known["age"] > 40).cast(pl.Float32).to_torch()
    batch = Batch.of_numbers(*bundle.featurizer(known)[:2], target, torch.ones(500))
    model = build_model(
        {**yaml.safe_load((root / "conf" / "model" / "lightgbm.yaml").read_text()), "max_rounds": 20},
        targets=TARGETS,
        num_numeric=batch.numeric.shape[1],
        cardinalities=bundle.featurizer.cardinalities,
        num_classes=0,
    )
    training = Training(
        Objective("binary", "default"),
        bundle.featurizer.numeric_columns,
        seed=0,
        threads=1,
        watch=lambda *, rounds, train, valid: rounds,  # noqa: ARG005 - as training calls it
    )
    model.fit(batch, batch, training=training)
    trees = replace(bundle, model=model)
    scorer = Scorer(trees)

    answers = scorer.ask(rows)

    assert scorer.reason == ""
    wanted = trees.predict(rows)["probability"].to_list()
    assert [answer.prediction["probability"] for answer in answers] == wanted
    assert scorer.ask(rows[7:8])[0].prediction["probability"] == wanted[7]
