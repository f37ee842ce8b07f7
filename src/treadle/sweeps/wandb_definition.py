"""A sweep of ours as a definition for W&B: its server chooses values, its agents run our commands.

An agent passes each parameter as `key=value`, which is an override.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from treadle.config.overrides import key_of
from treadle.disk import write_text
from treadle.experiment.spec import WandbTracker
from treadle.experiment.stages import NO_PART_OF_A_RUN
from treadle.problems import ConfigError, Problem
from treadle.sweeps.axes import FOLD, SEED, Axis, Choices
from treadle.sweeps.sweep import Sweep

_METHODS = {"grid": "grid", "random": "random", "qmc": "random"}  # all others learn from results: bayes
_STOPPERS = ("halving", "hyperband")  # W&B has Hyperband alone
_ETA = 3  # of its brackets, as Optuna's
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
_HEADER = """\
# Written by `treadle run -m … --to-wandb`. `wandb sweep {file}` registers it, `wandb agent` runs it.
"""


def write_definition(sweep: Sweep, file: Path, *, verb: str) -> None:
    """Write the definition of a sweep for W&B.

    Args:
        sweep: as declared.
        file: to write.
        verb: what an agent runs: `train`, as a trial of ours, or `run`, which also evaluates on the test split.

    Raises:
        ConfigError: W&B's sweeps cannot express it; with every reason.
    """
    corner = next(sweep.space.list_corners())
    experiment = sweep.space.check(corner, seed=sweep.seeds[0])
    tracker, problems = experiment.tracker, list(_find_obstacles(sweep))
    if not isinstance(tracker, WandbTracker):
        rule = f"agents of W&B see runs that it records, and the tracker is {tracker.by!r}"
        raise ConfigError([*problems, Problem("tracker.by", rule, "add tracker=online")])
    if problems:
        raise ConfigError(problems)
    notes = "".join(f"# {note}\n" for note in _list_notes(sweep))
    plain = yaml.safe_dump(_define(sweep, tracker, verb), sort_keys=False, allow_unicode=True, width=110)
    write_text(file, _HEADER.format(file=file) + notes + plain)


def _find_obstacles(sweep: Sweep) -> Iterator[Problem]:
    for axis in sweep.space.axes:
        if not all(sweep.space.applies(axis, corner) for corner in sweep.space.list_corners()):
            rule = f"{axis.key!r} exists under some of {', '.join(sweep.space.groups)} only, and W&B has no conditions"
            yield Problem(axis.key, rule, "make a sweep for each option, or run this one by `treadle run -m`")
    if len(sweep.objectives) > 1:
        names = ", ".join(objective.name for objective in sweep.objectives)
        yield Problem("sweep.objective", f"a sweep of W&B has one metric, found {names}", "name one of them")


def _list_notes(sweep: Sweep) -> Iterator[str]:
    """What becomes of what W&B does not have."""
    settings = sweep.settings
    if len(sweep.seeds) > 1:
        yield "W&B has no replicates: the seed is a parameter like the others."
    if sweep.folds:
        yield "W&B has no replicates: the fold is a parameter like the others, and nothing is pooled."
    if settings.pruner not in ("none", *_STOPPERS):
        yield f"W&B has no pruner {settings.pruner!r}: runs go to their end."
    if settings.confirm is not None:
        yield "W&B confirms nothing on fresh seeds (sweep.confirm): its best is partly the luckiest."


def _define(sweep: Sweep, tracker: WandbTracker, verb: str) -> dict[str, Any]:
    objective, settings = sweep.objectives[0], sweep.settings
    parameters = {axis.key: _define_parameter(axis) for axis in sweep.space.axes}
    if len(sweep.seeds) > 1:
        parameters[SEED] = {"values": list(sweep.seeds)}
    if sweep.folds:
        parameters[FOLD] = {"values": list(sweep.folds)}
    definition: dict[str, Any] = {
        "name": sweep.name,
        "project": tracker.project,
        **({} if tracker.entity is None else {"entity": tracker.entity}),
        **({} if sweep.space.question is None else {"description": sweep.space.question}),
        "program": "treadle",  # which W&B asks for, and `command` does not use
        "method": _METHODS.get(settings.sampler, "bayes"),
        "metric": {
            "name": objective.column,
            "goal": "maximize" if objective.higher_is_better else "minimize",
        },
        "parameters": parameters,
        "command": ["treadle", verb, *_list_fixed(sweep), "${args_no_hyphens}"],
    }
    if not sweep.is_grid or settings.max_trials is not None:
        replicates = len(sweep.list_replicates(sweep.seeds)) if sweep.is_grid else 1
        definition["run_cap"] = sweep.count_settings() * replicates
    if settings.pruner in _STOPPERS:
        definition["early_terminate"] = {"type": "hyperband", "min_iter": 1, "eta": _ETA}
    return definition


def _define_parameter(axis: Axis) -> dict[str, Any]:
    """Numbers as numbers, so that the server can order them; any other value by the text of its override."""
    if isinstance(axis, Choices):
        values = [_to_number(text) for text in axis.values]
        return {"values": values} if len(values) > 1 else {"value": values[0]}
    if axis.is_integer:
        bounds = {"min": int(axis.low), "max": int(axis.high)}
        if not axis.is_log:
            return {"distribution": "int_uniform", **bounds}
        return {"distribution": "q_log_uniform_values", "q": 1, **bounds}  # an integer `q` makes integers
    return {
        "distribution": "log_uniform_values" if axis.is_log else "uniform",
        "min": axis.low,
        "max": axis.high,
    }


def _to_number(text: str) -> int | float | str:
    if not _NUMBER.fullmatch(text):
        return text
    return int(text) if text.lstrip("+-").isdecimal() else float(text)


def _list_fixed(sweep: Sweep) -> Sequence[str]:
    """What all runs have in common; live, so that the server sees each epoch, unless a tracker is chosen."""
    base = sweep.space.find_base(next(sweep.space.list_corners()))
    varied = {axis.key for axis in sweep.space.axes} | ({SEED} if len(sweep.seeds) > 1 else set())
    varied |= {FOLD} if sweep.folds else set()
    fixed = [
        text
        for text in base.overrides
        if (key := key_of(text)) not in varied and key.lstrip("+").partition(".")[0] not in NO_PART_OF_A_RUN
    ]
    chosen = any(key_of(text) in {"tracker", "tracker.mode"} for text in fixed)
    return fixed if chosen else [*fixed, "tracker.mode=online"]
