"""How long trainings took, also where they were made before."""

import pytest

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.pipeline.record import log
from treadle.replay.matrix import Origin
from treadle.replay.trained import Trained, measure_hours
from treadle.sweeps.ledger import Trial


def make(project, *numbers, **seconds):
    """The models of trials, by number; those without seconds were made before."""
    found = {}
    for number in numbers:
        taken = seconds.get(f"s{number}", 0.0)
        trial = Trial(number, {}, 0, "search", f"run{number}", seconds=taken, is_reused=not taken)
        found[Origin(number, None)] = Trained.of_trial(trial, root=project)
    return found


@pytest.fixture
def logged(tmp_path):
    """The runs 1 to 3, whose log tells of a training, but for the last."""
    for number in (1, 2, 3):
        folder = RunFolder(tmp_path / "runs" / f"run{number}")
        folder.path.mkdir(parents=True)
        log(folder, "train begins")
        if number < 3:
            log(folder, f"train done in {number * 3600:.2f} s")
    return tmp_path


def test_reused_trainings_took_as_long_as_their_own_logs_say(logged):
    assert list(measure_hours(make(logged, 1, 2, 3), costs=2.0).values()) == [1.0, 2.0, 1.5]


def test_a_new_training_took_as_long_as_the_sweep_says(logged):
    assert list(measure_hours(make(logged, 1, 3, s1=7200.0), costs=2.0).values()) == [2.0, 2.0]


def test_a_price_of_unknown_hours_is_refused(logged):
    models = make(logged, 3)

    assert measure_hours(models, costs=0.0) == {Origin(3, None): 0.0}
    with pytest.raises(TreadleError, match="training_hour is 2, and no log of the 1 models"):
        measure_hours(models, costs=2.0)
