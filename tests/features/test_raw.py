"""Numbers as they are, for trees."""

import polars as pl
import pytest
import torch

from treadle.errors import TreadleError
from treadle.experiment.spec import Features
from treadle.features.featurizer import Featurizer
from treadle.features.raw import Raw

TARGETS = ["treadle.features."]
RAW = {"_target_": "treadle.features.raw.Raw"}


def make(columns, steps):
    return Featurizer(Features.model_validate({"blocks": {"a": {"columns": columns, "steps": steps}}}), targets=TARGETS)


def test_numbers_stay_and_missing_ones_stay_missing():
    step = Raw(columns=["x"])
    values = torch.tensor([[1.0], [torch.nan], [3.5]], dtype=torch.float64)
    step.fit(values)

    assert torch.equal(step(values).nan_to_num(-1), values.nan_to_num(-1))


def test_what_training_never_misses_becomes_the_median():
    """To trees it would else be 0: they have learned no side for it."""
    step = Raw(columns=["x"])
    step.fit(torch.tensor([[10.0], [20.0], [60.0]], dtype=torch.float64))

    assert step(torch.tensor([[torch.nan]], dtype=torch.float64)).tolist() == [[20.0]]


def test_moments_in_seconds_keep_their_differences():
    times = torch.arange(1_700_000_000, 1_700_000_060, dtype=torch.float64)
    featurizer = make(["t"], {"raw": RAW})

    numeric = featurizer.fit(pl.DataFrame({"t": times.numpy()})).numeric

    assert torch.equal(numeric.diff(dim=0), torch.ones(59, 1))


def test_a_step_of_ones_own_before_it_may_leave_numbers_missing():
    featurizer = make(["x"], {"scale": {"_target_": "treadle.features.transforms.Standardize"}, "raw": RAW})

    numeric = featurizer.fit(pl.DataFrame({"x": [1.0, None, 3.0]})).numeric

    assert numeric.nan_to_num(9).tolist() == [[-1.0], [9.0], [1.0]]


def test_for_networks_missing_numbers_are_refused_as_before():
    with pytest.raises(TreadleError, match="missing values remain"):
        make(["x"], {}).fit(pl.DataFrame({"x": [1.0, None]}))


def test_its_state_travels_and_is_checked(tmp_path):
    featurizer = make(["x", "y"], {"raw": RAW})
    frame = pl.DataFrame({"x": [1.0, None, 5.0], "y": [2.0, 4.0, 9.0]})
    before = featurizer.fit(frame).numeric
    featurizer.save(tmp_path)

    again = Featurizer.load(tmp_path, spec=featurizer.spec, targets=TARGETS)

    assert torch.equal(again(frame).numeric.nan_to_num(-1), before.nan_to_num(-1))
    again.chains["a"]["raw"].learn(center=torch.tensor([torch.inf, 0.0]), shift=torch.zeros(2))
    with pytest.raises(TreadleError, match="center"):
        again.chains["a"]["raw"].check_state()
