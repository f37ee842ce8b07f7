"""From the experiment to Lightning's objects: learner, datamodule, Trainer."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from lightning_fabric import seed_everything
from lightning_utilities.core.overrides import is_overridden

from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import LearnerExperiment
from treadle.targets.build import build
from treadle.training.additions import NOTHING, Additions, build_additions, list_plugins
from treadle.training.lightning_internals import reporting_processes, silence_notices, spawn_silently

# Lightning comes as two packages with the same classes, which do not take one another's.
_PACKAGES = {"pytorch_lightning": "on_pytorch_lightning", "lightning.pytorch": "on_lightning"}


@dataclass(frozen=True)
class Workshop:
    """What a stage works with."""

    library: Any  # Lightning's classes and Treadle's own over them, of the package that the learner comes from
    learner: Any
    datamodule: Any  # None: the learner has its own dataloaders
    additions: Additions

    def defines(self, method: str) -> bool:
        """Whether the learner has a method of its own."""
        return is_overridden(method, self.learner, self.library.LightningModule)

    def gives(self, dataloader: str) -> bool:
        """Whether learner or datamodule gives batches by a method such as `test_dataloader`."""
        data = self.datamodule
        return self.defines(dataloader) or (
            data is not None and is_overridden(dataloader, data, self.library.LightningDataModule)
        )


def open_workshop(experiment: LearnerExperiment, *, folder: RunFolder | None) -> Workshop:
    """Seed every random generator, and build learner, datamodule and additions.

    Args:
        experiment: checked.
        folder: of the run, into which loggers write; None: without additions.

    Raises:
        TreadleError: a class is not the one that Lightning expects, or its code fails.
    """
    silence_notices()
    torch.set_num_threads(experiment.trainer.threads)
    seed_everything(experiment.seed, workers=True, verbose=False)
    node, targets = experiment.datamodule, experiment.targets
    datamodule = build(node, key="datamodule", targets=targets) if node is not None else None
    learner = build(experiment.learner, key="learner", targets=targets)
    library = _find_library(learner, experiment)
    if datamodule is not None and not isinstance(datamodule, library.LightningDataModule):
        assert node is not None
        raise TreadleError(
            f"datamodule: {node['_target_']} is no LightningDataModule of {library.LightningModule.__module__}, the "
            "package that the learner comes from; import both from the same one"
        )
    additions = build_additions(experiment, folder=folder) if folder is not None else NOTHING
    return Workshop(library, learner, datamodule, additions)


def _find_library(learner: Any, experiment: LearnerExperiment) -> Any:
    for package, module in _PACKAGES.items():
        loaded = sys.modules.get(package)
        if loaded is not None and isinstance(learner, loaded.LightningModule):
            return importlib.import_module(f"treadle.learners.{module}")
    raise TreadleError(
        f"learner: {experiment.learner['_target_']} is no LightningModule, found {type(learner).__name__}"
    )


@contextmanager
def reporting_mistakes() -> Iterator[None]:
    """Errors of the user's own code that would look like those of a library, or of Treadle.

    Raises:
        TreadleError: Lightning refuses what it was given, such as a scheduler of a metric that is not logged; or a
            spawned process failed, with the last line of its traceback.
    """
    try:
        with reporting_processes():
            yield
    except Exception as error:
        if type(error).__name__ != "MisconfigurationException":  # each of the two packages has its own
            raise
        raise TreadleError(
            f"Lightning refuses the learner, its datamodule or an argument of `trainer`: {error}"
        ) from error


def make_trainer(workshop: Workshop, experiment: LearnerExperiment, **arguments: Any) -> Any:
    """The Trainer of a stage; `arguments` are its own.

    Raises:
        TreadleError: the machine lacks what `trainer` asks for.
    """
    trainer, additions = experiment.trainer, workshop.additions
    if trainer.accelerator == "gpu" and not (torch.cuda.is_available() or torch.backends.mps.is_available()):
        raise TreadleError("trainer.accelerator: 'gpu' is asked for, and torch sees no GPU here; add trainer=cpu")
    limits = dict.fromkeys(("limit_train_batches", "limit_val_batches", "limit_test_batches"), trainer.limit_batches)
    shared: dict[str, Any] = {
        "accelerator": trainer.accelerator,
        "precision": "32-true" if trainer.precision == "auto" else trainer.precision,
        "overfit_batches": trainer.overfit_batches or 0.0,
        "logger": additions.loggers or False,
        "enable_progress_bar": additions.has_progress,
        "enable_model_summary": False,
        "plugins": [workshop.library.Checkpoints()],
        **{name: limit for name, limit in limits.items() if limit is not None},
    }
    extra = dict(additions.arguments)
    shared["plugins"] += list_plugins(extra.pop("plugins", None))
    callbacks = [*additions.callbacks, *arguments.pop("callbacks", [])]
    made = workshop.library.Trainer(**{**shared, **extra, **arguments}, callbacks=callbacks)
    spawn_silently(made)
    return made
