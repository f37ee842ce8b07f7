"""A whole experiment: the keys of `resolved.yaml`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import Field

from treadle.experiment.kinds import get_kind
from treadle.experiment.spec.augmentation import NO_AUGMENTATION
from treadle.experiment.spec.base import Name, Spec, Target
from treadle.experiment.spec.callbacks import Nodes, is_empty
from treadle.experiment.spec.card import ModelCard, is_silent
from treadle.experiment.spec.data import Data
from treadle.experiment.spec.evaluation import Evaluation
from treadle.experiment.spec.features import Features
from treadle.experiment.spec.fit import Fit
from treadle.experiment.spec.loss import Loss
from treadle.experiment.spec.metrics import MetricName, OwnMetric
from treadle.experiment.spec.model import Model, ModelChoice
from treadle.experiment.spec.replay import Replay
from treadle.experiment.spec.retrain import Retrain
from treadle.experiment.spec.schedule import Schedule
from treadle.experiment.spec.serving import Serving
from treadle.experiment.spec.sweep import Sweep
from treadle.experiment.spec.tracker import Tracker
from treadle.experiment.spec.trainer import Trainer
from treadle.schema import Seed


class Experiment(Spec):
    """A whole experiment, from raw data to evaluation. The keys of `resolved.yaml` are these."""

    name: Name
    """Name of the experiment, and of its run folders."""
    seed: Seed
    """Random seed of Python, NumPy and torch: of the initial weights and of the order of batches."""
    targets: list[str]
    """Prefixes of dotted paths that a `_target_` may come from."""
    data: Data
    """Tables, contracts, examples and split."""
    features: Features
    """Features that the model is given."""
    model: Model
    """The network, a `_target_`; or a blend of several models, or a rule that chooses one."""
    schedule: Schedule
    """Optimizer, learning rate, batches, and when to stop."""
    loss: Loss = Field(default_factory=Loss)
    """What training minimises."""
    # The default is for a project whose conf/ chooses none; a test holds it equal to conf/augmentation/none.yaml.
    augmentation: Target = {"_target_": NO_AUGMENTATION}
    """Augmentation of training batches; a `_target_`."""
    trainer: Trainer
    """Devices, precision and threads of training."""
    callbacks: Nodes = Field(default={}, exclude_if=is_empty)
    """Callbacks of Lightning, by name or as a list; each a `_target_`."""
    logger: Nodes = Field(default={}, exclude_if=is_empty)
    """Loggers of Lightning beside the tracker, by name or as a list; each a `_target_`."""
    tracker: Tracker
    """With which tracker the run is recorded."""
    metrics: dict[MetricName, OwnMetric] = {}
    """Metrics of your own, by name; `schedule.monitor`, `sweep.objective` and `evaluation.metric` may name them."""
    evaluation: Evaluation
    """How the model is evaluated on the test set."""
    card: ModelCard = Field(default_factory=ModelCard, exclude_if=is_silent)
    """What only a person can say in the model card."""
    sweep: Sweep | None = Field(default=None, exclude=True)
    """How `treadle run -m` makes many runs of it; no part of any of them."""
    serving: Serving | None = Field(default=None, exclude=True)
    """How `treadle serve` answers requests; no part of any run."""
    replay: Replay | None = Field(default=None, exclude=True)
    """How `treadle replay` finds out how often to train again; no part of any run."""
    retrain: Retrain | None = Field(default=None, exclude=True)
    """When `treadle retrain` trains a new champion; no part of any run."""
    model_choice: ModelChoice | None = None
    """Which model a rule chose, and why; null: no rule chose it."""
    question: str | None = None
    """Question that the experiment asks: the first comment of its file."""

    @property
    def network(self) -> dict[str, Any]:
        """The `_target_` node of the network; a rule is replaced by its choice when the experiment is frozen."""
        assert isinstance(self.model, dict), "check() chooses, and a blend is trained by its members"
        return self.model


class LearnerExperiment(Spec):
    """A LightningModule of the user's own, with its data, from training to evaluation. The keys of `resolved.yaml`."""

    name: Name
    """Name of the experiment, and of its run folders."""
    seed: Seed
    """Random seed of Python, NumPy and torch, in every worker."""
    targets: list[str]
    """Prefixes of dotted paths that a `_target_` may come from."""
    learner: Target
    """LightningModule: model, loss, optimizer and metrics; a `_target_`."""
    datamodule: Target | None = None
    """LightningDataModule; a `_target_`. null: the learner has its own dataloaders."""
    depends: list[str] = []
    """Files, folders and globs that the data consist of: another content is another run."""
    fit: Fit
    """How long it trains, and which of its metrics judges it."""
    trainer: Trainer
    """Devices, precision and threads of training."""
    callbacks: Nodes = Field(default={}, exclude_if=is_empty)
    """Callbacks of Lightning, by name or as a list; each a `_target_`."""
    logger: Nodes = Field(default={}, exclude_if=is_empty)
    """Loggers of Lightning beside the tracker, by name or as a list; each a `_target_`."""
    tracker: Tracker
    """How the run is recorded in W&B."""
    sweep: Sweep | None = Field(default=None, exclude=True)
    """How `treadle run -m` makes many runs of it; no part of any of them."""
    serving: Serving | None = Field(default=None, exclude=True)
    """How `treadle serve` answers requests; no part of any run."""
    replay: Replay | None = Field(default=None, exclude=True)
    """How `treadle replay` finds out how often to train again; no part of any run."""
    retrain: Retrain | None = Field(default=None, exclude=True)
    """When `treadle retrain` trains a new champion; no part of any run."""
    question: str | None = None
    """Question that the experiment asks: the first comment of its file."""

    @property
    def model_choice(self) -> None:
        """No rule chooses a learner."""
        return


AnyExperiment = Experiment | LearnerExperiment


def find_spec(values: Mapping[str, Any]) -> type[Experiment | LearnerExperiment]:
    """The specification of an experiment of these values."""
    return LearnerExperiment if get_kind(values) == "learner" else Experiment


RECORDS = ("model_choice", "question")  # written into resolved.yaml by Treadle; not allowed in a configuration
