"""Attributions of formulas, whose Shapley values are known."""

import numpy as np
import polars as pl
import pytest

from known_models import KnownModel
from treadle.check.checks import check
from treadle.check.consistency import check_explanation
from treadle.config.compose import compose
from treadle.evaluation.attribution import Attributed, attribute

pytest.importorskip("captum")


@pytest.fixture
def frames():
    generator = np.random.default_rng(0)
    made = [
        pl.DataFrame(
            {
                "x": generator.normal(size=rows),
                "z": generator.normal(size=rows),
                "city": generator.choice(["Rome", "Oslo"], size=rows),
                "unread": np.arange(rows),
            }
        )
        for rows in (20, 300)
    ]
    return made[0], made[1]


COLUMNS = ["x", "z", "city"]


def test_a_sum_is_attributed_to_its_terms(frames):
    rows, background = frames
    background = background.with_columns(x=pl.lit(1.0), city=pl.lit("Oslo"))
    oslo = pl.when(pl.col("city") == "Oslo").then(1.0).otherwise(0.0)
    model = KnownModel("regression", {"prediction": 3 * pl.col("x") + 2 * oslo})

    values, predictions = attribute(model, rows, background, columns=COLUMNS, seed=0)

    assert values[:, 0] == pytest.approx(3 * (rows["x"].to_numpy() - 1))
    assert values[:, 1] == pytest.approx(np.zeros(20))
    assert values[:, 2] == pytest.approx(np.where(rows["city"] == "Oslo", 0.0, -2.0))
    assert values.sum(axis=1) == pytest.approx(predictions.numpy() - 5)


def test_a_product_is_shared_by_its_factors(frames):
    """From a background of zeros, either order gives all of it to the second factor: half each in the mean."""
    rows, background = frames
    background = background.with_columns(x=pl.lit(0.0), z=pl.lit(0.0))
    model = KnownModel("regression", {"prediction": pl.col("x") * pl.col("z")})

    values, predictions = attribute(model, rows, background, columns=COLUMNS, seed=0)

    shares = values[:, 0] / predictions.numpy()
    assert values.sum(axis=1) == pytest.approx(predictions.numpy())
    assert shares.mean() == pytest.approx(0.5, abs=0.25)
    assert ((shares >= 0) & (shares <= 1)).all()


def test_classes_are_attributed_by_the_predicted_one(frames):
    share = 1 / (1 + (-pl.col("x")).exp())
    model = KnownModel("multiclass", {"a": share, "b": 1 - share})

    values, predictions = attribute(model, *frames, columns=COLUMNS, seed=0)

    assert predictions.shape == (20, 2)
    assert (values[:, 0] > -0.3).all(), "the own value speaks for the class that it is given"
    assert values[:, 1:] == pytest.approx(np.zeros((20, 2)))


def test_the_same_seed_gives_the_same_attributions(frames):
    model = KnownModel("regression", {"prediction": pl.col("x") * pl.col("z")})

    first, again, other = (attribute(model, *frames, columns=COLUMNS, seed=seed)[0] for seed in (0, 0, 1))

    assert (first == again).all()
    assert (first != other).any()


def test_extreme_rows_name_what_moved_them():
    values = np.array([[0.1, -0.4, 0.0], [0.2, 0.0, 0.0]])
    found = Attributed(("x", "z", "city"), (7, 9), (0.3, 0.8), (), values)

    assert found.sizes == pytest.approx({"z": 0.2, "x": 0.15, "city": 0.0})
    assert [one["key"] for one in found.extremes] == [7, 9]
    assert list(found.extremes[0]["columns"]) == ["z", "x", "city"]
    assert found.to_plain()["rows"][1]["columns"] == {"x": 0.2, "z": 0.0, "city": 0.0}


def test_without_captum_the_check_says_so_before_anything_runs(root, monkeypatch):
    experiment = check(
        compose(overrides=["experiment=california", "evaluation.explanation.attributions=50"], root=root)
    )

    assert list(check_explanation(experiment)) == []
    monkeypatch.setattr("treadle.check.consistency.find_spec", lambda _: None)
    (problem,) = check_explanation(experiment)
    assert problem.key == "evaluation.explanation.attributions"
