"""What an experiment adds to Lightning's Trainer: callbacks, loggers, and further arguments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import AnyExperiment, list_nodes
from treadle.targets.build import build, build_value

_PROGRESS = "ProgressBar"
_LOGGERS = "loggers"  # in the run's folder: what a logger writes


@dataclass(frozen=True)
class Additions:
    """Built from `callbacks`, `logger` and `trainer.extra`."""

    callbacks: list[Any]
    loggers: list[Any]
    arguments: dict[str, Any]  # of the Trainer

    @property
    def has_progress(self) -> bool:
        """Whether a progress bar takes the place of Treadle's own lines."""
        return any(_PROGRESS in {base.__name__ for base in type(each).__mro__} for each in self.callbacks)


NOTHING = Additions([], [], {})


def list_plugins(plugins: Any) -> list[Any]:
    """Those of `trainer.extra`: none, one, or several."""
    return [] if plugins is None else plugins if isinstance(plugins, list) else [plugins]


def build_additions(experiment: AnyExperiment, *, folder: RunFolder) -> Additions:
    """Build what the experiment adds; a logger writes into the run's folder."""
    targets = experiment.targets
    callbacks = [
        build(node, key=key, targets=targets) for key, node in list_nodes(experiment.callbacks, key="callbacks")
    ]
    save_dir = str(folder.path / _LOGGERS)
    loggers = [
        build(node, key=key, targets=targets, save_dir=save_dir)
        for key, node in list_nodes(experiment.logger, key="logger")
    ]
    return Additions(callbacks, loggers, build_arguments(experiment).arguments)


def build_arguments(experiment: AnyExperiment) -> Additions:
    """The arguments of the Trainer alone, for a training that nothing watches."""
    arguments = build_value(experiment.trainer.extra, key="trainer.extra", targets=experiment.targets)
    return Additions([], [], arguments)
