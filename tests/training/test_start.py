"""Training that starts from a bundle: its weights, its identity, and what does not fit."""

import shutil

import pytest

import treadle
from runs import QUICK
from treadle.errors import TreadleError
from treadle.problems import ConfigError

pytestmark = [pytest.mark.usefixtures("project"), pytest.mark.slow]
OVERRIDES = [*QUICK, "tracker=disabled", "evaluation.baselines=[]"]


def test_training_goes_on_from_the_weights_of_a_run_wherever_it_lies(project):
    first = treadle.run(OVERRIDES, upto="train")
    place = first.path.relative_to(project)

    second = treadle.run([*OVERRIDES, f"schedule.start_from={place}"], upto="train")
    shutil.copytree(first.path / "bundle", project / "elsewhere")
    third = treadle.run([*OVERRIDES, "schedule.start_from=elsewhere"], upto="train")
    with pytest.raises(TreadleError) as caught:
        treadle.run([*OVERRIDES, "model.width=8", "schedule.start_from=elsewhere"], upto="train")

    assert second.history["valid/loss"][0] < first.history["valid/loss"][0]
    assert second.path != first.path
    assert third.path == second.path, "the content of the bundle counts, not its place"
    assert str(caught.value).startswith("schedule.start_from: the bundle of elsewhere does not fit this experiment:\n")
    assert "shapes: " in str(caught.value)


def test_a_run_without_a_bundle_is_reported_by_the_check(project):
    with pytest.raises(ConfigError, match=r"no bundle in 'runs/none'"):
        treadle.compose([*OVERRIDES, "schedule.start_from=runs/none"])
