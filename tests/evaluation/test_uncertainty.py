"""Blocks as declared, and the intervals of an evaluation."""

from datetime import datetime, timedelta
from types import SimpleNamespace

import numpy as np
import polars as pl
import pytest

from evaluations import make_evaluated
from treadle.check.checks import check
from treadle.check.consistency import find_split_group
from treadle.config.compose import compose
from treadle.evaluation.evaluated import find_blocks
from treadle.evaluation.resampling import Blocks
from treadle.evaluation.slices import find_slices
from treadle.evaluation.uncertainty import find_uncertainty
from treadle.experiment.blocks import list_example_columns
from treadle.experiment.spec import GroupSplit
from treadle.metrics.registry import list_metrics


def read_experiment(root, *overrides):
    return check(compose(overrides=list(overrides), root=root))


@pytest.mark.parametrize(
    ("blocks", "unit", "count"),
    [("auto", "day", 10), ("week", "week", 2), ("carrier", "carrier", 3), ("row", "row", 40)],
)
def test_examples_are_put_into_blocks(root, blocks, unit, count):
    experiment = read_experiment(root, "experiment=flights", f"evaluation.intervals.blocks={blocks}")
    monday = datetime(2013, 11, 4)  # noqa: DTZ001 - as `prepare` writes it, in UTC
    examples = pl.LazyFrame(
        {
            "predict_at": [monday + timedelta(hours=6 * i) for i in range(40)],
            "carrier": [("AA", "UA", None)[i % 3] for i in range(40)],
        }
    )

    found = find_blocks(examples, experiment)

    assert (found.unit, found.count) == (unit, count)
    assert (
        np.bincount(found.codes).tolist()
        == {
            "day": [4] * 10,
            "week": [28, 12],
            "carrier": [13, 14, 13],
            "row": [1] * 40,
        }[unit]
    )


def test_the_group_of_the_split_is_a_block_where_the_examples_hold_it(root):
    experiment = read_experiment(root, "experiment=california")
    known, unknown = (
        experiment.model_copy(
            update={
                "data": experiment.data.model_copy(
                    update={"split": GroupSplit(by="group", column=column, valid=0.2, test=0.2, seed=0)}
                )
            }
        )
        for column in ("Population", "tract")
    )

    found = find_blocks(pl.LazyFrame({"Population": [5.0, 7.0, 5.0]}), known)

    assert found.codes.tolist() == [0, 1, 0]
    assert list(find_split_group(known)) == []
    (warning,) = find_split_group(unknown)
    assert "'tract' is not in data.examples.known" in warning.rule


def test_intervals_hold_the_metrics_and_differences_are_of_pairs(root):
    experiment = read_experiment(root, "experiment=california", "evaluation.intervals.resamples=200")
    generator = np.random.default_rng(0)
    target = generator.normal(size=500)
    model = target + generator.normal(scale=0.5, size=500)
    predictions = {"model": model, "linear": model + 0.5, "same": model + 0.001 * generator.normal(size=500)}

    found = find_uncertainty(experiment, predictions=predictions, target=target, blocks=Blocks.of_rows(500))

    plain = found.to_plain()
    assert plain["blocks"] == {"unit": "row", "count": 500}
    span = plain["intervals"]["model"]["rmse"]
    assert 0.4 < span["low"] < ((model - target) ** 2).mean() ** 0.5 < span["high"] < 0.6
    differences = plain["differences"]
    assert differences["linear"]["rmse"]["high"] < -0.1
    assert differences["same"]["rmse"]["low"] < 0 < differences["same"]["rmse"]["high"]
    assert differences["same"]["rmse"]["high"] < (span["high"] - span["low"]) / 100
    rows = found.list_differences(list_metrics(experiment))
    assert [cell.verdict for cell in rows[0].cells] == ["better", "within noise"]
    assert "single rows" in found.describe()


def test_labels_are_decided_by_the_thresholds_of_each_model():
    generator = np.random.default_rng(0)
    high = generator.uniform(0.01, 1, size=(300, 2))
    evaluation = SimpleNamespace(
        metric="f1",
        threshold=0.5,
        calibration_bins=10,
        intervals=SimpleNamespace(blocks="row", resamples=200, coverage=0.95),
    )
    experiment = SimpleNamespace(data=SimpleNamespace(answer="multilabel"), evaluation=evaluation, metrics={})

    found = find_uncertainty(
        experiment,
        predictions={"model": high, "champion": high / 2},
        target=(generator.random((300, 2)) < high).astype(np.float64),
        blocks=Blocks.of_rows(300),
        thresholds={"model": [0.4, 0.6], "champion": [0.2, 0.3]},
    )

    span = found.to_plain()["differences"]["champion"]["subset_accuracy"]
    assert (span["low"], span["value"], span["high"]) == (0, 0, 0)


def test_a_test_split_of_few_days_says_that_it_has_no_intervals(root):
    experiment = read_experiment(root, "experiment=flights")
    generator = np.random.default_rng(0)
    chances, target = generator.random(40).astype(np.float32), generator.integers(0, 2, size=40)

    found = find_uncertainty(
        experiment,
        predictions={"model": chances},
        target=target,
        blocks=Blocks.of(np.arange(40) % 3, unit="day"),
    )

    assert set(found.to_plain()["intervals"]["model"].values()) == {None}
    assert found.describe().startswith("No intervals: the test split has 3 blocks")


def test_declared_slices_have_metrics_with_intervals_and_the_worst_are_searched(root, tmp_path):
    settings = "evaluation.slices={columns: [HouseAge, is_north], min_rows: 100, candidates: 5}"
    derive = "+evaluation.derive.is_north='Latitude > 0'"
    experiment = read_experiment(root, "experiment=california", settings, derive, "evaluation.intervals.resamples=100")
    generator = np.random.default_rng(0)
    columns = list_example_columns(experiment.data)
    rows = pl.DataFrame({name: generator.normal(size=3000) for name in columns})
    rows = rows.with_columns(HouseAge=pl.Series(generator.choice([10.0, 20.0, 30.0], p=[0.5, 0.48, 0.02], size=3000)))
    target = generator.normal(size=3000)
    prediction = target + generator.normal(size=3000) * np.where(rows["HouseAge"] == 20, 2.0, 0.5)

    evaluated = make_evaluated(experiment, tmp_path, rows=rows, target=target, model=prediction)
    found = find_slices(evaluated).to_plain()

    declared = found["declared"]
    assert list(declared) == ["HouseAge = 10.0", "HouseAge = 20.0", "is_north = false", "is_north = true"]
    assert declared["is_north = true"]["rows"] == (rows["Latitude"] > 0).sum()
    assert declared["HouseAge = 10.0"]["rmse"]["high"] < 1 < declared["HouseAge = 20.0"]["rmse"]["low"]
    assert "HouseAge = 20.0" in found["worst"][0]["conditions"]
    assert found["worst"][0]["confirmed"]

    evaluated.bundle.private = ["HouseAge"]
    found = find_slices(evaluated).to_plain()
    assert not any("HouseAge" in condition for one in found["worst"] for condition in one["conditions"])

    vars(evaluated)["blocks"] = Blocks.of(np.arange(3000) % 3, unit="day")
    few = find_slices(evaluated).to_plain()["declared"]["HouseAge = 10.0"]["rmse"]
    value = pytest.approx(declared["HouseAge = 10.0"]["rmse"]["value"])
    assert few == {"value": value, "low": None, "high": None}
