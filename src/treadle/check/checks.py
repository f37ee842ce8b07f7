"""Check: every mistake of a composed configuration at once, before anything heavy is imported."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

from treadle.check.columns import check_columns, check_leaks, find_doubtful, find_unread
from treadle.check.consistency import (
    check_loss,
    check_metrics,
    check_moments,
    check_sampling,
    check_sources,
    check_split,
    check_tables,
    check_trainer,
    find_in_memory,
)
from treadle.check.contracts import check_contracts, check_split_values
from treadle.check.file_heads import Absent, check_files
from treadle.check.structure import check_shape
from treadle.check.targets import check_targets, list_opaque
from treadle.config.compose import Composed
from treadle.config.hydra_keys import find_hydra_keys
from treadle.experiment.spec import Experiment, ModelRule, Trainer
from treadle.hardware import count_gpus
from treadle.model_choice.choose import choose_model, find_excess
from treadle.model_choice.ladder import Ladder, check_ladder
from treadle.problems import ConfigError, Finding, Place, Problem, unique

# What each check needs to be sound before it can judge.
_CHECKS: tuple[tuple[Callable[[Experiment], Iterable[Finding]], tuple[str, ...]], ...] = (
    (check_metrics, ("data.task", "schedule", "evaluation")),
    (check_loss, ("data.task", "loss", "targets")),
    (check_sampling, ("data.task", "loss", "schedule")),
    (check_sources, ("data.tables",)),
    (check_contracts, ("data.tables",)),
    (check_tables, ("data.tables", "data.examples")),
    (check_moments, ("data.tables", "data.examples")),
    (check_split, ("data.tables", "data.examples", "data.split")),
    (check_split_values, ("data.tables", "data.examples", "data.split")),
    (check_trainer, ("trainer",)),
    (check_columns, ("data.task", "data.tables", "data.examples", "features")),
)


def check(composed: Composed, *, absent: Absent = "refuse") -> Experiment:
    """The typed experiment, with its model chosen and its devices counted where the configuration leaves that open.

    Args:
        composed: what is checked.
        absent: whether a table without files is refused.

    Raises:
        ConfigError: with all problems, each with key, place and fix.
    """
    problems = [*composed.problems, *find_hydra_keys(composed.sources, root=composed.root)]
    experiment, sound, shape = check_shape(composed)
    problems += _without(shape, problems)
    judged = [p for p in check_targets(composed) if not any(p.key.startswith(f"{wrong.key}.") for wrong in shape)]
    problems += _without(judged, problems)
    findings = [f for judge, needs in _CHECKS if sound.issuperset(needs) for f in judge(experiment)]
    if sound.issuperset(("data.tables", "data.examples", "features")):
        findings += check_leaks(experiment, root=composed.root)
    if "data.tables" in sound:
        findings += check_files(experiment, root=composed.root, absent=absent)
    model = experiment.model if sound.issuperset(("model", "targets")) else None
    ladder = Ladder(model, composed) if isinstance(model, ModelRule) else None
    if ladder is not None:
        findings += check_ladder(ladder, targets=experiment.targets)
    problems += _locate(findings, composed)
    if problems:
        raise ConfigError(list(unique(problems)))
    experiment = experiment.model_copy(update={"trainer": settle_trainer(experiment.trainer)})
    return experiment if ladder is None else choose_model(experiment, ladder)


def find_warnings(experiment: Experiment, composed: Composed) -> list[Problem]:
    """What is sound and still worth a word: nothing reads it, it takes too much, or only an import could tell."""
    found = [finding for find in (find_unread, find_excess, find_in_memory) for finding in find(experiment)]
    found += find_doubtful(experiment, root=composed.root)
    return [*_locate(found, composed), *list_opaque(composed)]


def _without(found: list[Problem], reported: list[Problem]) -> list[Problem]:
    """Problems at keys of which nothing was said yet: the first word on a key is the clearest."""
    keys = {problem.key for problem in reported}
    return [problem for problem in found if problem.key not in keys]


def _locate(findings: Iterable[Finding], composed: Composed) -> list[Problem]:
    located = []
    for finding in findings:
        place = composed.locate(finding.key)
        if finding.text:
            place = _move(place, finding.text, finding.offset, composed.root)
        located.append(Problem(finding.key, finding.rule, finding.fix, place, finding.hint))
    return located


def _move(place: Place, text: str, offset: int, root: Path) -> Place:
    """The place inside an expression, where the file holds it as it is."""
    path = root / place.file
    if not place.file or not path.is_file():
        return place
    lines = path.read_text(encoding="utf-8").splitlines()
    row = text[:offset].count("\n")
    wanted = text.splitlines()[row] if text.strip() else ""
    inside = offset - (text[:offset].rfind("\n") + 1)
    for index in range(place.line - 1, min(len(lines), place.line + len(text.splitlines()) + 1)):
        column = lines[index].find(wanted, place.column - 1 if index == place.line - 1 else 0)
        if wanted and column >= 0:
            return replace(place, line=index + 1, column=column + inside + 1)
    return place


def settle_trainer(trainer: Trainer) -> Trainer:
    """What `auto` comes to here: the kind of device and their number change numbers, and belong to a run's identity."""
    on_gpu = trainer.accelerator == "gpu" or (trainer.accelerator == "auto" and count_gpus()[0] > 0)
    devices = trainer.devices
    if devices == "auto":
        devices = max(1, count_gpus()[0]) if on_gpu else 1
    return trainer.model_copy(update={"accelerator": "gpu" if on_gpu else "cpu", "devices": devices})
