"""A whole experiment: the keys of `resolved.yaml`."""

from __future__ import annotations

from typing import Any

from pydantic import Field

from treadle.experiment.spec.augmentation import NO_AUGMENTATION
from treadle.experiment.spec.base import Name, Spec, Target
from treadle.experiment.spec.data import Data
from treadle.experiment.spec.evaluation import Evaluation
from treadle.experiment.spec.features import Features
from treadle.experiment.spec.loss import Loss
from treadle.experiment.spec.model import Model, ModelChoice, ModelRule
from treadle.experiment.spec.schedule import Schedule
from treadle.experiment.spec.sweep import Sweep
from treadle.experiment.spec.tracker import Tracker
from treadle.experiment.spec.trainer import Trainer
from treadle.schema import Seed


class Experiment(Spec):
    """A whole experiment, from raw data to evaluation. The keys of `resolved.yaml` are these."""

    name: Name
    """Name of the experiment, and of its run folders."""
    seed: Seed
    """Random seed of the initial weights and of the order of batches."""
    targets: list[str]
    """Prefixes of dotted paths that a `_target_` may come from."""
    data: Data
    """Tables, contracts, examples and split."""
    features: Features
    """Features that the model is given."""
    model: Model
    """The network; a `_target_`, or a rule that chooses one."""
    schedule: Schedule
    """Optimizer, learning rate, batches, and when to stop."""
    loss: Loss = Field(default_factory=Loss)
    """What training minimises."""
    # The default is for a project whose conf/ chooses none; a test holds it equal to conf/augmentation/none.yaml.
    augmentation: Target = {"_target_": NO_AUGMENTATION}
    """Augmentation of training batches; a `_target_`."""
    trainer: Trainer
    """Devices, precision and threads of training."""
    tracker: Tracker
    """With which tracker the run is recorded."""
    evaluation: Evaluation
    """How the model is evaluated on the test set."""
    sweep: Sweep | None = Field(default=None, exclude=True)
    """How `treadle run -m` makes many runs of it; no part of any of them."""
    model_choice: ModelChoice | None = None
    """Which model a rule chose, and why; null: no rule chose it."""
    question: str | None = None
    """Question that the experiment asks: the first comment of its file."""

    @property
    def network(self) -> dict[str, Any]:
        """The `_target_` node of the network; a rule is replaced by its choice when the experiment is frozen."""
        assert not isinstance(self.model, ModelRule), "check() chooses"
        return self.model


RECORDS = ("model_choice", "question")  # written into resolved.yaml by Treadle; not allowed in a configuration
