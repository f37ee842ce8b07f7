"""The calibration in a bundle: a planted fault is caught and mended, and it is applied wherever rows are predicted."""

import json

import numpy as np
import polars as pl
import pytest
import torch

from bundle_mutants import edit
from treadle.bundle import Predictor, compute_raw, load, save
from treadle.bundle.calibration import Curve, Isotonic, Temperature
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.evaluation.calibration import judge_probabilities
from treadle.evaluation.parity import check_parity
from treadle.evaluation.resampling import Blocks
from treadle.experiment.spec import GroupSplit
from treadle.features.featurize import read_target
from treadle.training.calibrate import learn_from_valid

CURVE = Isotonic(curves=[Curve(x=[0.1, 0.4, 0.8], y=[0.0, 0.5, 0.9])])
SHARP = Temperature(slope=3.0, intercept=0.5)


def set_calibration(bundle, calibration):
    return type(bundle)(**{**take_fields(bundle), "card": bundle.card.model_copy(update={"calibration": calibration})})


def take_fields(bundle):
    return {name: getattr(bundle, name) for name in bundle.__dataclass_fields__}


def split_rows(trained, split):
    return pl.scan_parquet(trained / "examples" / f"{split}.parquet")


@pytest.fixture(scope="module")
def experiment(root):
    return resolve(overrides=["experiment=adult", "evaluation.calibrate=auto"], root=root).experiment


@pytest.fixture
def miscalibrated(trained):
    """As if a loss had driven the outputs of the network far apart."""
    bundle = load(trained)
    last = [module for module in bundle.model.modules() if hasattr(module, "weight")][-1]
    for parameter in last.parameters(recurse=False):
        parameter.data *= 4
    return bundle


def measure_error(bundle, rows, experiment):
    chances = bundle.predict(rows.collect(), on_breach="allow")["probability"].to_numpy()
    target = read_target(rows.collect(), classes=[]).numpy()
    found = judge_probabilities(
        chances, target=target, classes=[], blocks=Blocks.of_rows(len(target)), experiment=experiment
    )
    return found.whole.error.value


@pytest.mark.slow
def test_a_model_that_exaggerates_is_mended_on_rows_that_it_has_not_seen(miscalibrated, trained, experiment, capsys):
    valid, test = split_rows(trained, "valid"), split_rows(trained, "test")
    before = measure_error(miscalibrated, test, experiment)

    card = learn_from_valid(miscalibrated.card, compute_raw(miscalibrated, valid), valid, experiment)

    after = measure_error(set_calibration(miscalibrated, card.calibration), test, experiment)
    assert after < 0.02 < 0.05 < before  # noqa: PLR0133 - the ceiling of the check `calibration` lies between
    assert min(card.calibration.losses.values()) < card.calibration.losses["none"] - 0.02
    assert "cross-fitted valid log loss: none " in capsys.readouterr().out


@pytest.mark.slow
def test_rows_of_one_block_leave_none_to_judge_by(miscalibrated, trained, experiment, capsys):
    split = GroupSplit(by="group", column="gender", valid=0.2, test=0.2, seed=0)
    grouped = experiment.model_copy(update={"data": experiment.data.model_copy(update={"split": split})})
    valid = split_rows(trained, "valid").filter(gender="Male")

    card = learn_from_valid(miscalibrated.card, compute_raw(miscalibrated, valid), valid, grouped)

    assert card.calibration is None
    assert "one block" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("calibration", [SHARP, CURVE], ids=["temperature", "isotonic"])
def test_it_travels_with_the_bundle_and_a_row_alone_has_the_same(calibration, bundle, trained, tmp_path):
    calibrated = set_calibration(bundle, calibration)
    save(calibrated, tmp_path / "bundle")
    loaded = load(tmp_path / "bundle")
    rows = split_rows(trained, "test")

    predicted = loaded.predict(rows.collect(), on_breach="allow")

    assert predicted.equals(calibrated.predict(rows.collect(), on_breach="allow"))
    raw = bundle.predict(rows.collect(), on_breach="allow")["probability"].to_numpy().astype(np.float64)
    wanted = (
        np.interp(raw, CURVE.curves[0].x, CURVE.curves[0].y)
        if calibration is CURVE
        else 1 / (1 + np.exp(-0.5) * ((1 - raw) / raw) ** 3)
    )
    assert predicted["probability"].to_numpy() == pytest.approx(wanted, abs=1e-5)
    assert check_parity(loaded, rows, predicted, num_rows=20)["largest_difference"] <= 1e-6


def test_a_bundle_without_one_is_as_before(bundle, tmp_path):
    save(bundle, tmp_path / "bundle")

    assert "calibration" not in json.loads((tmp_path / "bundle" / "bundle.json").read_text())


@pytest.mark.parametrize(
    ("value", "told"),
    [
        ({"method": "temperature", "slope": 0.0, "intercept": 0.0}, "slope"),
        ({"method": "temperature", "slope": 1.0}, "intercept"),
        ({"method": "magic"}, "calibration"),
        ({"method": "isotonic", "curves": []}, "curves"),
        ({"method": "isotonic", "curves": [{"x": [0.1, 0.2], "y": [0.5, 0.4]}]}, "never falls"),
        ({"method": "isotonic", "curves": [{"x": [0.2, 0.2], "y": [0.4, 0.5]}]}, "strictly"),
        ({"method": "isotonic", "curves": [{"x": [0.2], "y": [0.4, 0.5]}]}, "as many"),
        ({"method": "isotonic", "curves": [{"x": [0.2], "y": [1.5]}]}, "less than or equal to 1"),
        ({"method": "isotonic", "curves": [{"x": [0.2], "y": [0.5]}] * 2}, "curve for each class"),
    ],
)
def test_a_forged_one_is_refused(value, told, copy):
    edit(copy, "bundle.json", lambda card: card.update(calibration=value))

    with pytest.raises(TreadleError, match=told):
        load(copy)


@pytest.mark.parametrize("calibration", [SHARP, CURVE], ids=["temperature", "isotonic"])
def test_rounding_is_a_share_of_what_the_calibrated_probability_adds_up(calibration, bundle, rows):
    row = rows.row(0, named=True)
    slope = torch.autograd.functional.jacobian(
        lambda p: calibration.apply(p.double()), bundle.compute(bundle.conform(row))
    )

    found = set_calibration(bundle, calibration).measure_terms(row, 0)

    assert isinstance(bundle, Predictor)
    assert found == pytest.approx(float(slope.abs()) * bundle.measure_terms(row, 0), rel=1e-4)
