"""What a model relies on: formulas whose importance and curves are known, and a run from end to end."""

import json
import shutil
from dataclasses import replace
from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from evaluations import make_evaluated
from known_models import KnownModel
from runs import find_run
from treadle.check.checks import check
from treadle.config.compose import compose
from treadle.evaluation.association import find_center, group_columns, measure_association
from treadle.evaluation.checks.reliance import limit_reliance, require_reliance
from treadle.evaluation.dependence import choose_points, measure_dependence
from treadle.evaluation.explanation import ExplanationFindings, explain
from treadle.evaluation.importance import measure_importance
from treadle.evaluation.intervals import Resampling
from treadle.evaluation.resampling import Blocks
from treadle.experiment.blocks import list_example_columns
from treadle.problems import ConfigError

RESAMPLING = Resampling(resamples=300, coverage=0.95, seed=0)
ROWS = 600


@pytest.fixture
def frame():
    generator = np.random.default_rng(0)
    x, z = generator.normal(size=(2, ROWS))
    return pl.DataFrame(
        {
            "x": x,
            "twin": x + 0.01 * generator.normal(size=ROWS),
            "z": z,
            "city": generator.choice(["Rome", "Oslo"], size=ROWS),
            "at": [datetime(2026, 1, 1) + timedelta(hours=hour) for hour in range(ROWS)],  # noqa: DTZ001 - UTC
        }
    )


def measure(model, frame, target, groups=None, blocks=None):
    found = measure_importance(
        model,
        frame,
        groups or {name: [name] for name in frame.columns},
        prediction=model.predict(frame, on_breach="allow").to_numpy().squeeze(),
        target=target,
        blocks=blocks or Blocks.of_rows(len(frame)),
        resampling=RESAMPLING,
        generator=np.random.default_rng(1),
    )
    return {one.name: one for one in found}


def test_the_loss_grows_by_twice_the_variance_of_a_permuted_column(frame):
    """(3x - 3x')² is 18 Var(x) in the mean, where x' is an independent copy."""
    model = KnownModel("regression", {"prediction": 3 * pl.col("x") + pl.col("z")})
    target = (3 * frame["x"] + frame["z"]).to_numpy()

    found = measure(model, frame, target)

    assert list(found) == ["x", "z", "twin", "city", "at"]
    assert found["x"].growth == pytest.approx(18 * frame["x"].var(), rel=0.1)
    assert found["x"].interval.low < 18 * frame["x"].var() < found["x"].interval.high
    assert found["x"].is_relied_on
    assert found["z"].is_relied_on


def test_a_column_that_the_model_ignores_has_no_importance(frame):
    model = KnownModel("binary", {"probability": 1 / (1 + (-pl.col("x")).exp())})

    found = measure(model, frame, (frame["x"] > 0).cast(pl.Float64).to_numpy())

    assert found["z"].growth == 0
    assert not found["z"].is_relied_on
    assert found["x"].is_relied_on


def test_twins_are_permuted_together(frame):
    """The model reads the one and the other half by half: alone, each seems to matter a quarter as much."""
    model = KnownModel("regression", {"prediction": (pl.col("x") + pl.col("twin")) / 2})
    target = frame["x"].to_numpy()

    alone = measure(model, frame, target)
    groups = group_columns(measure_association(frame), threshold=0.8)
    together = measure(model, frame, target, groups={str(g): [frame.columns[i] for i in g] for g in groups})

    assert [0, 1] in groups
    assert together["[0, 1]"].growth > 3 * alone["x"].growth
    assert together["[0, 1]"].columns == ("x", "twin")


def test_the_interval_knows_which_rows_hang_together(frame):
    """The label follows x on five days of ten alone: the gain differs between days far more than between rows."""
    day = np.arange(ROWS) % 10
    model = KnownModel("regression", {"prediction": pl.col("x")})
    target = np.where(day < 5, frame["x"], -frame["x"]).astype(float)

    by_row = measure(model, frame, target)["x"].interval
    by_day = measure(model, frame, target, blocks=Blocks.of(day, unit="day"))["x"].interval

    assert by_day.high - by_day.low > 1.5 * (by_row.high - by_row.low)


def test_few_blocks_give_no_interval(frame):
    model = KnownModel("regression", {"prediction": pl.col("x")})

    found = measure(model, frame, frame["x"].to_numpy(), blocks=Blocks.of(np.arange(ROWS) % 3, unit="day"))

    assert found["x"].interval is None
    assert not found["x"].is_relied_on


def test_columns_of_any_type_are_associated():
    generator = np.random.default_rng(0)
    city = generator.integers(5, size=ROWS)
    frame = pl.DataFrame(
        {
            "city": [f"city {i}" for i in city],
            "country": [f"country {i // 2}" for i in city],
            "height": city * 10.0,
            "other": generator.normal(size=ROWS),
            "name": [f"name {i}" for i in range(ROWS)],
            "nothing": pl.Series([None] * ROWS, dtype=pl.Float64),
            "missing": [None if i % 3 else float(i) for i in city],
        }
    )

    found = measure_association(frame)

    assert found[0, 1] > 0.95
    assert found[0, 2] > 0.99
    assert found[0, 3] < 0.2
    assert found[3, 4] < 0.2
    assert (found[5] == np.eye(7)[5]).all()
    assert ((found >= 0) & (found <= 1)).all()
    assert np.allclose(found, found.T)


def test_a_chain_of_columns_is_not_one_group():
    chain = np.array([[1, 0.9, 0.2], [0.9, 1, 0.85], [0.2, 0.85, 1]])

    assert group_columns(chain, threshold=0.8) == [[0, 1], [2]]
    assert group_columns(chain, threshold=1.0) == [[0], [1], [2]]
    assert find_center(chain, [0, 1, 2]) == 1


def curve(model, frame, column, num_points=5):
    return measure_dependence(
        model,
        frame,
        column,
        everything=frame[column],
        num_points=num_points,
        blocks=Blocks.of_rows(len(frame)),
        resampling=RESAMPLING,
    )


def test_the_curve_of_a_formula_is_the_formula(frame):
    model = KnownModel("regression", {"prediction": pl.col("x") ** 2 + pl.col("z")})

    found = curve(model, frame, "x")

    line = found.curves["prediction"]
    assert len(found.values) == 5
    assert line.means == pytest.approx([x**2 + frame["z"].mean() for x in found.values])
    assert line.lows == pytest.approx(line.means)  # x and z do not interact: every row has the same shape
    assert sum(found.shares) == pytest.approx(0.96, abs=0.01)
    assert found.edges[0], found.edges[-1] == (found.values[0], found.values[-1])


def test_an_interaction_widens_the_interval_of_the_shape(frame):
    model = KnownModel("regression", {"prediction": pl.col("x") * pl.col("z")})

    line = curve(model, frame, "x").curves["prediction"]

    assert line.highs[0] - line.lows[0] > 0.1
    assert line.lows[0] < line.means[0] < line.highs[0]


def test_texts_and_moments_have_points(frame):
    model = KnownModel("binary", {"probability": pl.when(pl.col("city") == "Oslo").then(0.75).otherwise(0.25)})

    cities, moments = curve(model, frame, "city"), curve(model, frame, "at")

    assert (cities.values, cities.curves["prediction"].means) == (("Oslo", "Rome"), (0.75, 0.25))
    assert cities.shares == pytest.approx([(frame["city"] == city).mean() for city in cities.values])
    assert moments.values[2] == "2026-01-13 12:00"
    assert moments.span == pytest.approx(0)


def test_a_private_column_has_importance_and_no_curve(root, tmp_path):
    settings = "{predictions: 9000, groups: {}, max_association: 0.8, curves: 2, points: 5, attributions: 0}"
    experiment = check(compose(overrides=["experiment=california", f"evaluation.explanation={settings}"], root=root))
    generator = np.random.default_rng(0)
    columns = list_example_columns(experiment.data)
    rows = pl.DataFrame({name: generator.normal(size=ROWS) for name in columns})
    model = KnownModel("regression", {"prediction": 3 * pl.col("MedInc") + 2 * pl.col("Latitude") + pl.col("HouseAge")})
    predicted = model.predict(rows, on_breach="allow").to_series().to_numpy(writable=True)
    evaluated = make_evaluated(experiment, tmp_path, rows=rows, target=predicted, model=predicted)
    model.card, model.private = SimpleNamespace(columns=dict.fromkeys(columns)), ["MedInc"]

    found = explain(replace(evaluated, bundle=model))

    assert [one.name for one in found.importances[:3]] == ["MedInc", "Latitude", "HouseAge"]
    assert [one.column for one in found.dependences] == ["Latitude", "HouseAge"]


def test_each_class_has_a_curve(frame):
    share = 1 / (1 + (-pl.col("x")).exp())
    model = KnownModel("multiclass", {"a": share / 2, "b": 1 - share, "c": share / 2})

    found = curve(model, frame, "x")

    assert list(found.curves) == ["a", "b", "c"]
    assert found.span == found.curves["b"].span


def test_points_are_found_where_most_rows_share_a_value():
    gains = pl.Series("gain", [0.0] * 900 + [float(i) for i in range(1, 101)])

    points = choose_points(gains, 6).to_list()

    assert points[0] == 0
    assert len(points) == 6
    assert points == sorted(points)
    assert choose_points(pl.Series("x", [1.0, None, float("nan"), 1.0]), 5).to_list() == [1.0]


def explained(*importances):
    return SimpleNamespace(answers={"explanation": ExplanationFindings(100, 1.0, importances, [], None)})


def test_a_model_that_ignores_a_column_it_must_use_is_told(frame):
    model = KnownModel("regression", {"prediction": pl.col("x")})
    found = measure(model, frame, frame["x"].to_numpy()).values()

    assert require_reliance(explained(*found), columns=["x"]).state == "pass"
    outcome = require_reliance(explained(*found), columns=["x", "z"])
    assert (outcome.state, outcome.evidence["ignored"]) == ("fail", ["z"])
    assert "z (" in outcome.sentence
    assert require_reliance(SimpleNamespace(answers={}), columns=["x"]).state == "not applicable"


def test_a_column_that_no_feature_reads_is_not_relied_on(frame):
    found = measure(KnownModel("regression", {"prediction": pl.col("x")}), frame, frame["x"].to_numpy()).values()

    assert require_reliance(explained(*found), columns=["elsewhere"]).state == "fail"
    assert limit_reliance(explained(*found), columns=["elsewhere"], max_share=0.1).state == "pass"


def test_a_model_that_lives_on_one_column_is_told(frame):
    model = KnownModel("regression", {"prediction": 3 * pl.col("x") + pl.col("z")})
    found = measure(model, frame, (3 * frame["x"] + frame["z"]).to_numpy()).values()

    assert limit_reliance(explained(*found), columns=["z"], max_share=0.3).state == "pass"
    outcome = limit_reliance(explained(*found), columns=["x"], max_share=0.3)
    assert outcome.state == "fail"
    assert outcome.evidence["shares"]["x"] == pytest.approx(0.9, abs=0.05)


def test_groups_name_columns_of_the_examples_once(root):
    key = "+evaluation.explanation.groups"
    groups = [f"{key}.place=[Latitude, Longitud]", f"{key}.again=[Latitude]"]

    with pytest.raises(ConfigError) as caught:
        check(compose(overrides=["experiment=california", *groups], root=root))

    text = str(caught.value)
    assert "evaluation.explanation.groups.place.1" in text
    assert "no column 'Longitud' in the examples" in text
    assert "'Latitude' is in the group 'place' already" in text


@pytest.mark.slow
def test_the_report_says_what_the_model_relies_on(project, run_once):
    settings = (
        "evaluation.explanation="
        "{predictions: 3000, groups: {}, max_association: 0.8, curves: 2, points: 5, attributions: 20}"
    )
    pytest.importorskip("captum")
    place = "+evaluation.explanation.groups.place=[Latitude, Longitude]"
    shutil.copytree(run_once("tracker=disabled", settings, place), project / "runs")
    run = find_run(project)

    found = json.loads((run / "evaluation/parts/explanation.json").read_text())

    assert found["importance"]["place"]["columns"] == ["Latitude", "Longitude"]
    assert next(iter(found["importance"])) == "MedInc"
    assert found["importance"]["MedInc"]["interval"]["low"] > 0
    assert len(found["dependence"]) == 2
    means = found["dependence"][0]["curves"]["prediction"]["means"]
    assert means == sorted(means), "richer blocks have dearer houses"
    assert len(found["attributions"]["rows"]) == 20
    assert next(iter(found["attributions"]["size"])) == "MedInc"
    numbers = json.loads((run / "evaluation/numbers.json").read_text())["explanation"]
    assert numbers["largest_growth"] == found["importance"]["MedInc"]["growth"]
    page = (run / "evaluation" / "report.html").read_text()
    assert "What the model relies on" in page
    assert "Growth of the loss when permuted" in page
