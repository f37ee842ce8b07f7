"""Declares a sweep: composes and checks it as a whole."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.config.compose import compose, describe_unknown, list_options
from treadle.experiment import spec
from treadle.experiment.fingerprint import digest, fingerprint_modules
from treadle.experiment.identity import list_modules, sign_stages
from treadle.experiment.stages import list_needed
from treadle.hints import nearest
from treadle.metrics.judge import describe, find_judge, get_monitor, list_judges, name_column
from treadle.problems import ConfigError, Place, Problem, unique
from treadle.sweeps.axes import FOLD, SEED, Axis, Choices, Interval, Replicate, read_space, split_overrides
from treadle.sweeps.declaration import to_plain
from treadle.sweeps.engines.checks import find_engine_problems
from treadle.sweeps.space import Space
from treadle.sweeps.sweep import SWEEPS, Objective, Sweep

_GRID = "+sweep=grid"  # selects the group where conf/config.yaml does not
_LISTED = 10  # invalid settings that are reported
# Settings of a sweep that change how far it goes and where it runs, and not which sweep it is.
_LIMITS = ("max_trials", "max_time", "patience", "confirm", "timeout", "retries")
_WITHOUT_IDENTITY = ("space", *_LIMITS, "workers", "engine")


def declare(overrides: Sequence[str], *, root: Path, places: Mapping[str, Place] | None = None) -> Sweep:
    """Compose and check a sweep as a whole; nothing is written.

    Args:
        overrides: in Hydra's grammar, sweeps included.
        root: the project.
        places: where an override was written, other than on the command line.

    Raises:
        ConfigError: with every problem at once, those of single settings too.
    """
    written = {text: Place(override=text, position=index) for index, text in enumerate(overrides, start=1)}
    written |= places or {}
    asked = _read(overrides, written, root)
    space = Space.compose(asked.axes, groups=asked.groups, overrides=asked.fixed, root=root)
    _require_known(space, written, root)
    corner = next(space.list_corners())
    experiment = space.check(corner, seed=asked.seeds[0] if asked.seeds else asked.seed)
    settings = _settle(experiment, space, written)
    seeds, folds = asked.seeds or _list_seeds(settings, experiment.seed), asked.folds
    if not asked.axes and len(seeds) * max(1, len(folds)) == 1:
        fix = "give a key several values, such as schedule.optimizer.lr=1e-3,3e-3 or seed=range(5), or a sweep.space"
        raise ConfigError([Problem("sweep.space", "there is nothing to sweep over", fix)])
    _check_settings(space, settings, seed=seeds[0], folds=folds)
    objectives = tuple(_find_objectives(experiment))
    code = fingerprint_modules(_list_code(space, corner))
    name = f"{experiment.name}-{_identify(space, settings, seeds, folds, root=root)}"
    return Sweep(root / SWEEPS / name, space, settings, tuple(seeds), tuple(folds), objectives, code)


@dataclass(frozen=True)
class _Asked:
    """What the overrides and `sweep.space` ask for."""

    fixed: Mapping[str, Place]  # overrides that all trials share, and where they were written
    axes: list[Axis]
    groups: list[str]  # the axes that are groups of the configuration
    seeds: list[int]  # listed as replicates of each setting; else none
    folds: list[int]
    seed: Any  # of the experiment


def _read(overrides: Sequence[str], written: Mapping[str, Place], root: Path) -> _Asked:
    """Tell the axes of a sweep from what its trials share.

    Raises:
        ConfigError: with every problem of the axes.
    """
    options = list_options(root)
    fixed, typed, problems = split_overrides(overrides, places=written, options=options)
    shared = {text: written[text] for text in fixed}
    first = [f"{axis.key}={_list_first(axis)}" for axis in typed]
    probe = compose(overrides=[*fixed, *first], root=root, places=written)
    if probe.values.get("sweep") is None:  # a project whose conf/config.yaml is older than the group
        shared[_GRID] = Place()
        probe = compose(overrides=[*fixed, _GRID, *first], root=root, places=written)
    space_place = probe.locate("sweep.space")
    axes, wrong = _add_declared(typed, probe.values, place=space_place, options=options)
    problems += wrong
    taken: dict[str, list[int]] = {}
    for key in (SEED, FOLD):
        taken[key], axes, wrong = _take_replicates(axes, key, place=_find_place(key, written) or space_place)
        problems += wrong
    problems += _refuse_settings(axes, written)
    if problems:
        raise ConfigError(problems)
    groups = [axis.key for axis in axes if axis.key in options]
    return _Asked(shared, axes, groups, taken[SEED], taken[FOLD], probe.values[SEED])


def _add_declared(
    typed: Sequence[Axis], values: Mapping[str, Any], *, place: Place, options: Mapping[str, list[str]]
) -> tuple[list[Axis], list[Problem]]:
    """The axes of `sweep.space`, and those that were typed, which count where a key has both."""
    declared = (values.get("sweep") or {}).get("space")
    if not isinstance(declared, dict):
        return list(typed), []
    in_file, problems = read_space(declared, place=place, options=options)
    keys = {axis.key for axis in typed}
    return [*(axis for axis in in_file if axis.key not in keys), *typed], problems


def _refuse_settings(axes: Sequence[Axis], written: Mapping[str, Place]) -> Iterator[Problem]:
    """An axis that is a setting of the sweep itself."""
    for axis in axes:
        if axis.key.lstrip("+").partition(".")[0] == "sweep":
            rule = f"{axis.key!r} says how the sweep runs, which is the same for all its trials"
            yield Problem(axis.key, rule, "give it one value", _find_place(axis.key, written) or Place())


def _list_first(axis: Axis) -> str:
    if isinstance(axis, Choices):
        return axis.values[0]
    return str(int(axis.low)) if axis.is_integer else repr(axis.low)


def _take_replicates(axes: Sequence[Axis], key: str, *, place: Place) -> tuple[list[int], list[Axis], list[Problem]]:
    """Values of a key that are replicates of each setting, and no part of it; and the other axes."""
    rest = [axis for axis in axes if axis.key != key]
    found = next((axis for axis in axes if axis.key == key), None)
    if found is None:
        return [], rest, []
    noun = key.rpartition(".")[2]
    fix = f"list whole numbers from 0 on, such as {key}=0,1,2 or {key}=range(5)"
    if isinstance(found, Interval):
        given = f"{found.low:g} to {found.high:g}"
        rule = f"{noun}s are listed, since each repeats every setting; found an interval {given}"
        return [], rest, [Problem(key, rule, fix, place)]
    wrong = [value for value in found.values if not value.isdecimal()]
    if wrong:
        return [], rest, [Problem(key, f"{', '.join(wrong)}: no {noun}", fix, place)]
    return list(map(int, found.values)), rest, []


def _list_seeds(settings: spec.Sweep, first: int) -> list[int]:
    return settings.seeds if isinstance(settings.seeds, list) else list(range(first, first + settings.seeds))


def _require_known(space: Space, written: Mapping[str, Place], root: Path) -> None:
    """Refuse an axis whose key exists nowhere.

    Raises:
        ConfigError: there is one.
    """
    known = dict.fromkeys(key for base in space.bases.values() for key in base.keys)
    plain = [axis for axis in space.axes if axis.key not in space.groups and not axis.key.startswith("+")]
    places = {text.partition("=")[0]: place for text, place in written.items()}
    problems = []
    for axis in plain:
        if axis.key not in known:
            problem = describe_unknown(axis.key, known, root=root)
            problems.append(
                Problem(problem.key, problem.rule, problem.fix, places.get(axis.key, Place()), problem.hint)
            )
    if problems:
        raise ConfigError(problems)


def _settle(experiment: spec.AnyExperiment, space: Space, written: Mapping[str, Place]) -> spec.Sweep:
    """The settings with `auto` replaced, if they fit the space.

    Raises:
        ConfigError: they do not.
    """
    settings = experiment.sweep
    assert settings is not None
    intervals = [axis.key for axis in space.axes if isinstance(axis, Interval)]
    sampler = settings.sampler
    if sampler == "auto":
        sampler = "tpe" if intervals else "grid"
    problems = []
    if sampler == "grid" and intervals:
        rule = f"a grid lists its values, and {intervals[0]} is an interval"
        problems.append(Problem("sweep.sampler", rule, "list values, or choose sweep=tpe or sweep=random"))
    if sampler == "grid" and settings.pruner != "none":
        rule = f"{settings.pruner!r} stops trials of a search, and a grid runs each to its end"
        problems.append(Problem("sweep.pruner", rule, "add sweep.pruner=none, or choose sweep=random or sweep=tpe"))
    if isinstance(settings.objective, list) and settings.pruner != "none":
        rule = f"{settings.pruner!r} stops trials by one objective, and there are {len(settings.objective)}"
        problems.append(Problem("sweep.pruner", rule, "add sweep.pruner=none"))
    problems += [*_check_objectives(experiment), *find_engine_problems(experiment)]
    if problems:
        raise ConfigError([_with_place(problem, written) for problem in problems])
    return settings.model_copy(update={"sampler": sampler})


def _with_place(problem: Problem, written: Mapping[str, Place]) -> Problem:
    place = _find_place(problem.key, written) or problem.place
    return Problem(problem.key, problem.rule, problem.fix, place, problem.hint)


def _find_place(key: str, written: Mapping[str, Place]) -> Place | None:
    return next((place for text, place in written.items() if text.partition("=")[0] == key), None)


def _list_names(experiment: spec.AnyExperiment) -> list[str]:
    assert experiment.sweep is not None
    wanted = experiment.sweep.objective
    if wanted == "auto":
        return [get_monitor(experiment)]
    return wanted if isinstance(wanted, list) else [wanted]


def _check_objectives(experiment: spec.AnyExperiment) -> Iterator[Problem]:
    for name in _list_names(experiment):
        if find_judge(experiment, name) is None:
            rule = f"{name!r} is no validation metric of {describe(experiment)}"
            yield Problem("sweep.objective", rule, hint=nearest(name, list_judges(experiment)))


def _find_objectives(experiment: spec.AnyExperiment) -> Iterator[Objective]:
    for name in _list_names(experiment):
        metric = find_judge(experiment, name)
        assert metric is not None, "checked before"
        yield Objective(name, name_column(experiment, name), bool(metric.higher_is_better))


def _list_code(space: Space, corner: Mapping[str, str]) -> list[str]:
    """The modules that trials need."""
    resolved = space.freeze(corner, seed=0)
    return [
        module for stage in list_needed("train", resolved.values) for module in list_modules(resolved.values, stage)
    ]


def _identify(space: Space, settings: spec.Sweep, seeds: Sequence[int], folds: Sequence[int], *, root: Path) -> str:
    """Eight digits: the same for the same space, and the same values, code and data of the rest."""
    corners = (space.freeze(corner, seed=seeds[0]) for corner in space.list_corners())
    parts = {
        "axes": sorted(json.dumps(_sort_values(axis)) for axis in space.axes),
        "trials": sorted({sign_stages(corner, root=root, remember=False)["train"] for corner in corners}),
        "settings": settings.model_dump(exclude=set(_WITHOUT_IDENTITY)),
        "seeds": sorted(seeds),
        **({"folds": sorted(folds)} if folds else {}),
    }
    return digest(json.dumps(parts, sort_keys=True))[:8]


def _sort_values(axis: Axis) -> dict[str, Any]:
    """A shuffled axis is the same axis."""
    plain = to_plain(axis)
    return {**plain, "values": sorted(plain["values"])} if "values" in plain else plain


def _check_settings(space: Space, settings: spec.Sweep, *, seed: int, folds: Sequence[int]) -> None:
    """Check each setting of a grid, of a search the ends of its intervals, and each fold with the first of them.

    Raises:
        ConfigError: some are invalid; each problem once, with the setting at which it was found first.
    """
    first, *others = folds or (None,)
    points = [
        Replicate(seed, first).add_to(setting)
        for setting in (space.list_grid() if settings.sampler == "grid" else space.list_corners())
    ]
    points += [Replicate(seed, fold).add_to(points[0]) for fold in others]
    problems: list[Problem] = []
    is_grid = settings.sampler == "grid"
    for point in points:
        try:
            experiment = space.check(point, seed=seed)
            if is_grid:
                space.remember(point, experiment)
            if (count := experiment.trainer.num_processes) > 1:
                rule = f"a trial is one process, and trainer asks for {count}"
                fix = "add trainer.devices=1; sweep.workers says how many at once"
                problems.append(Problem("trainer.devices", rule, fix))
        except ConfigError as error:
            problems += error.problems
            if len(problems) >= _LISTED:
                break
    if problems:
        raise ConfigError(list(unique(problems)))
