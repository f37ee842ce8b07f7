"""Check: every mistake of a composed configuration at once, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from treadle.check.blends import check_folds, check_levels
from treadle.check.claims import check_claims
from treadle.check.columns import check_columns, check_leaks, find_possible_leaks, find_unused
from treadle.check.consistency import (
    check_examples_table,
    check_explanation,
    check_intervals,
    check_lookups,
    check_metrics,
    check_naive,
    check_questions,
    check_reference,
    check_refit,
    check_sample,
    check_split,
    check_table_options,
    check_tracker,
    check_trainer,
    find_memory_use,
    find_split_group,
)
from treadle.check.contracts import check_contracts, check_split_values
from treadle.check.estimators import check_estimator, check_raw_steps
from treadle.check.evaluation import check_evaluation, find_few_rows
from treadle.check.file_heads import Absent, check_files
from treadle.check.first_steps import check_libraries, check_models, check_readings, settle_models
from treadle.check.forecast import check_forecast, check_forecast_naive, check_forecast_split
from treadle.check.label_functions import check_labels
from treadle.check.lightning import check_additions, check_depends, check_extra, check_learner, find_untold
from treadle.check.losses import check_exposure, check_loss, check_sampling
from treadle.check.multilabel import check_multilabel
from treadle.check.places import locate_problems
from treadle.check.source_bundles import (
    check_champion,
    check_start,
    check_teacher,
    find_seen_rows,
    settle_source_bundles,
)
from treadle.check.structure import check_structure
from treadle.check.targets import check_targets, find_opaque_targets
from treadle.config.compose import Composed
from treadle.config.hydra_keys import find_hydra_keys
from treadle.experiment.members import change_parts, list_members, list_parts
from treadle.experiment.spec import AnyExperiment, Experiment, LearnerExperiment, ModelRule, Trainer
from treadle.hardware import count_gpus
from treadle.model_choice.choose import choose_model, find_over_budget
from treadle.model_choice.raw_inputs import suit_features
from treadle.problems import ConfigError, Problem, unique

# The sections that must be valid before each check can run: of any experiment, of a table, of a learner.
_SHARED: tuple[tuple[Callable[[AnyExperiment], Iterable[Problem]], tuple[str, ...]], ...] = (
    (check_trainer, ("trainer",)),
    (check_extra, ("trainer",)),
    (check_tracker, ("tracker",)),
    (check_additions, ("callbacks",)),
    (check_additions, ("logger",)),
)
_OF_TABLE: tuple[tuple[Callable[[Experiment], Iterable[Problem]], tuple[str, ...]], ...] = (
    (check_metrics, ("data.task", "metrics", "schedule", "evaluation")),
    (check_claims, ("data.task", "metrics", "evaluation", "card")),
    (check_loss, ("data.task", "loss", "targets")),
    (check_exposure, ("data.task", "loss", "features", "targets", "augmentation")),
    (check_sampling, ("data.task", "data.labels", "loss", "schedule")),
    (check_refit, ("schedule", "callbacks")),
    (check_folds, ("model", "data.split", "schedule")),
    (check_levels, ("model", "loss")),
    (check_table_options, ("data.tables",)),
    (check_contracts, ("data.tables",)),
    (check_examples_table, ("data.tables", "data.examples")),
    (check_lookups, ("data.tables", "data.examples")),
    (check_forecast, ("data.task", "data.tables", "data.examples", "data.forecast")),
    (check_forecast_split, ("data.forecast", "data.split")),
    (check_forecast_naive, ("data.forecast", "evaluation")),
    (check_sample, ("data.examples", "data.sample")),
    (check_labels, ("data.task", "data.tables", "data.examples", "data.labels")),
    (check_split, ("data.tables", "data.examples", "data.split")),
    (check_split_values, ("data.tables", "data.examples", "data.split")),
    (check_estimator, ("model", "features", "loss", "augmentation", "schedule", "trainer", "callbacks", "logger")),
    (check_raw_steps, ("model", "features", "targets")),
    (check_readings, ("model", "features", "targets")),
    (check_libraries, ("features", "targets")),
    (check_reference, ("data.examples", "evaluation")),
    (check_explanation, ("data.examples", "evaluation")),
    (check_evaluation, ("data.task", "data.tables", "data.examples", "evaluation")),
    (check_questions, ("data.examples", "evaluation")),
    (check_naive, ("data.examples", "evaluation")),
    (check_multilabel, ("data.task", "data.examples", "data.labels", "loss", "schedule", "evaluation")),
    (check_intervals, ("data.examples", "data.split", "evaluation")),
    (check_columns, ("data.task", "data.tables", "data.examples", "features")),
)


def check(composed: Composed, *, absent: Absent = "refuse") -> AnyExperiment:
    """The typed experiment: its model chosen and its devices counted where that is open, its features for that model.

    Args:
        composed: what is checked.
        absent: whether a table, or a path of `depends`, without files is refused.

    Raises:
        ConfigError: with all problems, each with key, place and fix.
    """
    problems = [*composed.problems, *find_hydra_keys(composed.files, root=composed.root)]
    experiment, valid, structure = check_structure(composed)
    problems += _without(structure, problems)
    in_targets = check_targets(composed)
    inner = [p for p in in_targets if not any(p.key.startswith(f"{outer.key}.") for outer in structure)]
    problems += _without(inner, problems)
    problems += [p for check_part, needs in _SHARED if valid.issuperset(needs) for p in check_part(experiment)]
    if isinstance(experiment, Experiment):
        problems += _check_table(experiment, valid, root=composed.root, absent=absent)
        problems += [] if problems else _check_members(experiment, root=composed.root)
    else:
        problems += _check_learner(experiment, valid, root=composed.root, absent=absent)
    if problems:
        raise ConfigError(locate_problems(unique(problems), composed))
    experiment = experiment.model_copy(update={"trainer": settle_trainer(experiment.trainer)})
    if not isinstance(experiment, Experiment):
        return experiment
    experiment = _settle_content(experiment, root=composed.root)
    experiment = change_parts(experiment, partial(_settle_content, root=composed.root))
    if isinstance(experiment.model, ModelRule):
        experiment = choose_model(experiment, root=composed.root, place=composed.locate("model"))
    return suit_features(experiment)


def _check_table(experiment: Experiment, valid: set[str], *, root: Path, absent: Absent) -> list[Problem]:
    problems = [p for check_part, needs in _OF_TABLE if valid.issuperset(needs) for p in check_part(experiment)]
    if valid.issuperset(("data.tables", "data.examples", "features")):
        problems += check_leaks(experiment, root=root)
    if valid.issuperset(("model", "schedule", "features")):
        problems += check_start(experiment, root=root)
    if valid.issuperset(("data.task", "data.examples", "model", "loss", "augmentation", "schedule")):
        problems += check_teacher(experiment, root=root)
    if valid.issuperset(("data.task", "data.examples", "evaluation")):
        problems += check_champion(experiment, root=root)
    if valid.issuperset(("features", "targets")):
        problems += check_models(experiment, root=root)
    if "data.tables" in valid:
        problems += check_files(experiment, root=root, absent=absent)
    return problems


def _check_members(experiment: Experiment, *, root: Path) -> Iterator[Problem]:
    """Problems of the sections that members of a blend, or candidates of a rule, have of their own."""
    kind = "candidates" if isinstance(experiment.model, ModelRule) else "members"
    for name, member in list_members(experiment).items():
        given = list_parts(experiment)[name].given
        found = [problem for check_part, _ in _OF_TABLE for problem in check_part(member)]
        found += [*check_leaks(member, root=root), *check_models(member, root=root)] if "features" in given else []
        found += check_start(member, root=root) if "schedule" in given else []
        for problem in found:  # of a section that is the experiment's: the experiment by itself has no problems
            own = problem.key.partition(".")[0] in given
            yield replace(problem, key=f"model.{kind}.{name}.{problem.key}") if own else problem
    if list_parts(experiment) and settle_trainer(experiment.trainer).num_processes > 1:
        rule = "the members of a blend are trained one after another, each by one process"
        yield Problem("trainer.devices", rule, "set trainer.devices and trainer.num_nodes to 1")


def _settle_content(experiment: Experiment, *, root: Path) -> Experiment:
    """With the digest of what its schedule, its loss and its features name by its place."""
    return settle_models(settle_source_bundles(experiment, root=root), root=root)


def _check_learner(experiment: LearnerExperiment, valid: set[str], *, root: Path, absent: Absent) -> list[Problem]:
    problems = list(check_learner(experiment)) if valid.issuperset(("learner", "trainer")) else []
    if valid.issuperset(("learner", "datamodule", "depends")):
        problems += check_depends(experiment, root=root, absent=absent)
    return problems


def find_warnings(experiment: AnyExperiment, composed: Composed) -> list[Problem]:
    """What is valid and may still be a mistake: it is never read, takes too much, or only an import could check it."""
    if isinstance(experiment, Experiment):
        found = [
            problem
            for find in (find_unused, find_over_budget, find_memory_use, find_split_group)
            for problem in find(experiment)
        ]
        found += find_possible_leaks(experiment, root=composed.root)
        found += find_seen_rows(experiment, root=composed.root)
        found += find_few_rows(experiment, root=composed.root)
    else:
        found = list(find_untold(experiment))
    return locate_problems([*found, *find_opaque_targets(composed)], composed)


def _without(found: list[Problem], reported: list[Problem]) -> list[Problem]:
    """Problems at keys that have none yet: the first problem of a key is the clearest."""
    keys = {problem.key for problem in reported}
    return [problem for problem in found if problem.key not in keys]


def settle_trainer(trainer: Trainer) -> Trainer:
    """The values of `auto` on this machine: kind and number of devices change results, so they identify a run."""
    on_gpu = trainer.accelerator == "gpu" or (trainer.accelerator == "auto" and count_gpus()[0] > 0)
    devices = trainer.devices
    if devices == "auto":
        devices = max(1, count_gpus()[0]) if on_gpu else 1
    return trainer.model_copy(update={"accelerator": "gpu" if on_gpu else "cpu", "devices": devices})
