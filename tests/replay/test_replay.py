"""How long trainings took, also where they were made before."""

import pytest

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.pipeline.record import log
from treadle.replay.matrix import Origin
from treadle.replay.replay import measure_hours
from treadle.sweeps.ledger import Trial


def make_trial(number, *, seconds=0.0):
    is_reused = not seconds
    return Trial(number, {}, 0, "search", f"run{number}", seconds=seconds, is_reused=is_reused)


@pytest.fixture
def logged(tmp_path):
    """The runs 1 to 3, whose log tells of a training, but for the last."""
    for number in (1, 2, 3):
        (tmp_path / f"run{number}").mkdir()
        folder = RunFolder(tmp_path / f"run{number}")
        log(folder, "train begins")
        if number < 3:
            log(folder, f"train done in {number * 3600:.2f} s")
    return tmp_path


def test_reused_trainings_took_as_long_as_their_own_logs_say(logged):
    trials = {Origin(number, None): make_trial(number) for number in (1, 2, 3)}

    assert list(measure_hours(trials, runs=logged, costs=2.0).values()) == [1.0, 2.0, 1.5]


def test_a_new_training_took_as_long_as_the_sweep_says(logged):
    trials = {Origin(1, None): make_trial(1, seconds=7200.0), Origin(3, None): make_trial(3)}

    assert list(measure_hours(trials, runs=logged, costs=2.0).values()) == [2.0, 2.0]


def test_a_price_of_unknown_hours_is_refused(logged):
    trials = {Origin(3, None): make_trial(3)}

    assert measure_hours(trials, runs=logged, costs=0.0) == {Origin(3, None): 0.0}
    with pytest.raises(TreadleError, match="training_hour is 2, and no log of the 1 models"):
        measure_hours(trials, runs=logged, costs=2.0)
