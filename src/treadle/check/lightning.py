"""What an experiment hands to Lightning: a learner, a datamodule, callbacks, loggers, arguments of its Trainer."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from treadle.check.file_heads import Absent
from treadle.experiment.files import list_below
from treadle.experiment.kinds import LEARNER, TRAINING, get_kind
from treadle.experiment.spec import AnyExperiment, Experiment, LearnerExperiment, list_nodes
from treadle.hints import NO_HINT, find_nearest, nearest
from treadle.problems import Problem
from treadle.targets.ancestry import list_ancestors, overrides
from treadle.targets.annotations import find_fault
from treadle.targets.signatures import read_signature

TRAINER = "pytorch_lightning.Trainer"
_PACKAGES = ("pytorch_lightning", "lightning")
# Keys of an experiment over a table that an experiment of a learner has no use for.
TABLE_KEYS = tuple(name for name in Experiment.model_fields if name not in LearnerExperiment.model_fields)

# Arguments of Lightning's Trainer that a key of the experiment, or Treadle itself, decides.
_DECIDED = {
    "accelerator": "set trainer.accelerator",
    "devices": "set trainer.devices",
    "strategy": "set trainer.strategy",
    "num_nodes": "set trainer.num_nodes",
    "precision": "set trainer.precision",
    "overfit_batches": "set trainer.overfit_batches",
    "callbacks": "write them under `callbacks`",
    "logger": "write loggers under `logger`",
    "default_root_dir": "the run's folder is chosen by its identity",
    "enable_checkpointing": "Treadle keeps the best and the newest epoch, from which a killed run resumes",
    "enable_progress_bar": "add a progress bar under `callbacks`: it takes the place of Treadle's lines",
    "enable_model_summary": "add a ModelSummary under `callbacks`",
    "barebones": "it turns off the checkpoints and metrics that make a run",
    "fast_dev_run": "choose trainer=debug, or set trainer.limit_batches",
    "model_registry": "a run's bundle is its model",
}
_OF_LEARNER = {"max_epochs": "set fit.max_epochs"}
# Treadle's own learner takes many steps in one of Lightning's, on rows that it holds in memory.
_OF_TABLE = {
    "max_epochs": "set schedule.max_epochs",
    "max_steps": "set schedule.max_steps",
    "gradient_clip_val": "set schedule.gradient_clip",
    **dict.fromkeys(("limit_train_batches", "limit_val_batches"), "set trainer.limit_batches"),
    "accumulate_grad_batches": "set schedule.batch_size: rows per step need no accumulation",
    "gradient_clip_algorithm": "schedule.gradient_clip is by the norm",
    **dict.fromkeys(
        (
            "use_distributed_sampler",
            "num_sanity_val_steps",
            "reload_dataloaders_every_n_epochs",
            "val_check_interval",
            "check_val_every_n_epoch",
        ),
        "rows and validations are Treadle's in an experiment over a table",
    ),
}
# Classes that do what a key of the experiment does; two of them would fight.
_CALLBACKS = {
    "ModelCheckpoint": (
        "Treadle keeps the best epoch and the newest, from which a killed run resumes",
        "remove it; {monitor} says by which metric the best is chosen",
    ),
    "EarlyStopping": ("the experiment itself says when to stop", "remove it, and set {stop} to its patience"),
}
_LOGGERS = {
    "WandbLogger": ("Treadle records the run in W&B", "remove it, and choose tracker=offline or tracker=online")
}


def find_mixture(values: dict[str, object]) -> Iterator[Problem]:
    """Groups of a table beside a learner."""
    given = [key for key in TABLE_KEYS if values.get(key) is not None]
    if get_kind(values) == "learner" and given:
        rule = f"an experiment of a learner has no {', '.join(given)}: they describe an experiment over a table"
        fix = f"select none of them: {', '.join(f'`override /{key}: null`' for key in given)} in its defaults list"
        yield Problem(LEARNER, rule, fix)


def check_learner(experiment: LearnerExperiment) -> Iterator[Problem]:
    """Targets of the classes that Lightning expects."""
    nodes = (
        ("learner", experiment.learner, "LightningModule"),
        ("datamodule", experiment.datamodule, "LightningDataModule"),
    )
    for key, node, wanted in nodes:
        ancestors = list_ancestors(node["_target_"]) if node is not None else frozenset()
        if ancestors and wanted not in ancestors:
            assert node is not None
            yield Problem(
                f"{key}._target_", f"{node['_target_']} is no {wanted}", f"name a class that derives from {wanted}"
            )
    if experiment.trainer.compile == "on":
        rule = "a learner of your own is not compiled from outside"
        yield Problem("trainer.compile", rule, "set it to off, and call torch.compile in the learner's configure_model")


def list_writers(experiment: LearnerExperiment) -> list[str]:
    """The classes whose `prepare_data` writes data that are not there yet, such as a download."""
    nodes = [node for node in (experiment.datamodule, experiment.learner) if node is not None]
    paths = [node["_target_"] for node in nodes]
    return [path for path in paths if overrides(path, "prepare_data", packages=_PACKAGES)]


def check_depends(experiment: LearnerExperiment, *, root: Path, absent: Absent) -> Iterator[Problem]:
    """Paths without files, which nothing writes."""
    if absent == "pass" or list_writers(experiment):
        return
    for index, path in enumerate(experiment.depends):
        if not list_below(path, root=root):
            fix = "`dvc pull` fetches versioned data; else correct the path, or remove it"
            yield Problem(f"depends.{index}", f"no file at {path!r}", fix)


def find_untold(experiment: LearnerExperiment) -> Iterator[Problem]:
    """A warning: data that no identity knows."""
    if experiment.datamodule is not None and not experiment.depends:
        rule = "names no data: a run would count as the same after its data have changed"
        yield Problem("depends", rule, "list the files or folders that the datamodule reads, such as data/mnist")


def check_additions(experiment: AnyExperiment) -> Iterator[Problem]:
    """Callbacks and loggers that do what Treadle does."""
    section = TRAINING["learner" if isinstance(experiment, LearnerExperiment) else "table"]
    words = {"monitor": f"{section}.monitor", "stop": f"{section}.early_stopping"}
    for group, nodes, refused in (
        ("callbacks", experiment.callbacks, _CALLBACKS),
        ("logger", experiment.logger, _LOGGERS),
    ):
        for key, node in list_nodes(nodes, key=group):
            for name in refused.keys() & list_ancestors(node["_target_"]):
                rule, fix = refused[name]
                yield Problem(
                    f"{key}._target_", f"{node['_target_']}: {rule}", fix.format(**words), fix_override=f"~{key}"
                )


def check_extra(experiment: AnyExperiment) -> Iterator[Problem]:
    """Arguments that Lightning's Trainer has, and that nothing else decides."""
    decided = _DECIDED | (_OF_LEARNER if isinstance(experiment, LearnerExperiment) else _OF_TABLE)
    takes = read_signature(TRAINER).parameters
    for name, value in experiment.trainer.extra.items():
        key = f"trainer.extra.{name}"
        if name in decided:
            yield Problem(
                key, f"{name!r} is not left to trainer.extra", decided[name], part="key", fix_override=f"~{key}"
            )
        elif name not in takes:
            fix = decided.get(find_nearest(name, takes), "")  # of max_epoch, as of max_epochs
            hint = NO_HINT if fix else nearest(name, takes.keys() - decided.keys())
            rule = f"Lightning's Trainer does not take {name!r}"
            yield Problem(key, rule, fix, hint=hint, part="key", fix_override=f"~{key}")
        elif (fault := None if _has_target(value) else find_fault(value, takes[name].type)) is not None:
            yield Problem(key, f"Lightning's Trainer: {name} {fault.rule}", fault.fix, hint=fault.hint)


def _has_target(value: object) -> bool:
    return isinstance(value, dict) and "_target_" in value
