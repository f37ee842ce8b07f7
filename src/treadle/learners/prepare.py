"""Data that a learner or its datamodule writes itself, such as a download."""

from __future__ import annotations

from treadle.experiment.spec import LearnerExperiment
from treadle.learners.build import open_workshop


def prepare_data(experiment: LearnerExperiment) -> None:
    """Call `prepare_data` of the datamodule and of the learner, as Lightning does in one process before a training.

    Raises:
        TreadleError: a class is not the one that Lightning expects, or its code fails.
    """
    workshop = open_workshop(experiment, folder=None)
    for owner in (workshop.datamodule, workshop.learner):
        if owner is not None:
            owner.prepare_data()
