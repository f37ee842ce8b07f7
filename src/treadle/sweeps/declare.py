"""A sweep as it is declared: composed and checked as a whole, written down, and read again to resume it."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import yaml

from treadle.config.compose import compose, describe_unknown, list_options
from treadle.disk import read_text, write_json, write_text
from treadle.errors import TreadleError
from treadle.experiment import spec
from treadle.experiment.fingerprint import digest, fingerprint_again, fingerprint_modules
from treadle.experiment.identity import list_modules, sign_stages
from treadle.experiment.stages import list_needed
from treadle.hints import nearest
from treadle.metrics.judge import describe, find_judge, get_monitor, list_judges, name_column
from treadle.problems import ConfigError, Place, Problem, unique
from treadle.sweeps import FILE
from treadle.sweeps.axes import FOLD, SEED, Axis, Choices, Interval, Replicate, read_space, split_overrides
from treadle.sweeps.engines.checks import find_engine_problems
from treadle.sweeps.space import Base, Space

SWEEPS = "sweeps"  # of a project: the folders of its sweeps
_BASES = "bases.json"  # what trials are composed of, apart from conf/
_HEADER = "# Written by `treadle run -m`: what the sweep is; ledger.jsonl tells what became of each trial.\n"
_MAX_TRIALS = 50  # settings that a search tries where nothing says how many
_LISTED = 10  # invalid settings that are reported
# Settings of a sweep that change how far it goes and where it runs, and not which sweep it is.
_LIMITS = ("max_trials", "max_time", "patience", "confirm", "timeout", "retries")
_WITHOUT_IDENTITY = ("space", *_LIMITS, "workers", "engine")


@dataclass(frozen=True)
class Objective:
    """A validation metric that a sweep looks at."""

    name: str
    column: str  # its name in metrics.csv
    higher_is_better: bool


@dataclass(frozen=True)
class Sweep:
    """A declared sweep."""

    folder: Path
    space: Space
    settings: spec.Sweep
    seeds: tuple[int, ...]
    folds: tuple[int, ...]  # empty: they are not swept
    objectives: tuple[Objective, ...]
    code: Mapping[str, str]  # module: fingerprint

    @property
    def name(self) -> str:
        """`<name>-<id>`."""
        return self.folder.name

    @property
    def root(self) -> Path:
        """The project that it belongs to."""
        return self.folder.parent.parent

    @property
    def columns(self) -> list[str]:
        """The objectives, as metrics.csv names them."""
        return [objective.column for objective in self.objectives]

    def get_trial_folder(self, number: int) -> Path:
        """Where a trial's frozen experiment and its log are; its results are in a run folder."""
        return self.folder / "trials" / f"{number:04}"

    def list_replicates(self, seeds: Sequence[int]) -> list[Replicate]:
        """Each fold with each of the seeds."""
        return [Replicate(seed, fold) for seed in seeds for fold in self.folds or (None,)]

    @property
    def moves_split(self) -> bool:
        """Whether trials differ in how the examples are split."""
        return bool(self.folds) or any(axis.key.lstrip("+").startswith("data.split") for axis in self.space.axes)

    @property
    def is_grid(self) -> bool:
        """Whether its settings are known from the start."""
        return self.settings.sampler == "grid"

    @property
    def max_settings(self) -> int | None:
        """How many settings it tries; None: all of a grid."""
        if self.is_grid:
            return self.settings.max_trials
        return int(min(self.settings.max_trials or _MAX_TRIALS, self.space.count_settings()))

    def list_grid(self) -> list[dict[str, str]]:
        """The settings of a grid, as far as `max_trials` goes."""
        return list(islice(self.space.list_grid(), self.max_settings))

    def count_settings(self) -> int:
        """How many settings it tries at most."""
        return len(self.list_grid()) if self.is_grid else self.max_settings or 0


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
    options = list_options(root)
    fixed, axes, problems = split_overrides(overrides, places=written, options=options)
    shared = {text: written[text] for text in fixed}
    first = [f"{axis.key}={_list_first(axis)}" for axis in axes]
    probe = compose(overrides=[*fixed, *first], root=root, places=written)
    if probe.values.get("sweep") is None:  # a project whose conf/config.yaml is older than the group
        fixed.append("+sweep=grid")
        shared["+sweep=grid"] = Place()
        probe = compose(overrides=[*fixed, *first], root=root, places=written)
    declared = (probe.values.get("sweep") or {}).get("space")
    if isinstance(declared, dict):
        in_file, wrong = read_space(declared, place=probe.locate("sweep.space"), options=options)
        typed = {axis.key for axis in axes}
        axes = [*(axis for axis in in_file if axis.key not in typed), *axes]
        problems += wrong
    taken: dict[str, list[int]] = {}
    for key in (SEED, FOLD):
        place = _find_place(key, written) or probe.locate("sweep.space")
        taken[key], axes, wrong = _take_replicates(axes, key, place=place)
        problems += wrong
    for axis in axes:
        if axis.key.lstrip("+").partition(".")[0] == "sweep":
            rule = f"{axis.key!r} says how the sweep runs, which is the same for all its trials"
            problems.append(Problem(axis.key, rule, "give it one value", _find_place(axis.key, written) or Place()))
    if problems:
        raise ConfigError(problems)
    groups = [axis.key for axis in axes if axis.key in options]
    space = Space.compose(axes, groups=groups, overrides=shared, root=root)
    _require_known(space, written, root)
    corner = next(space.list_corners())
    experiment = space.check(corner, seed=taken[SEED][0] if taken[SEED] else probe.values[SEED])
    assert experiment.sweep is not None, "conf/config.yaml selects one"
    settings = _settle(experiment, space, written)
    seeds, folds = taken[SEED] or _list_seeds(settings, experiment.seed), taken[FOLD]
    if not axes and len(seeds) * max(1, len(folds)) == 1:
        fix = "give a key several values, such as schedule.optimizer.lr=1e-3,3e-3 or seed=range(5), or a sweep.space"
        raise ConfigError([Problem("sweep.space", "there is nothing to sweep over", fix)])
    _check_settings(space, settings, seed=seeds[0], folds=folds)
    objectives = tuple(_find_objectives(experiment))
    code = fingerprint_modules(_list_code(space, corner))
    name = f"{experiment.name}-{_identify(space, settings, seeds, folds, root=root)}"
    return Sweep(root / SWEEPS / name, space, settings, tuple(seeds), tuple(folds), objectives, code)


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
    plain = _to_plain(axis)
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


# --- on disk ------------------------------------------------------------------------------------------


def write(sweep: Sweep) -> None:
    """Write the sweep down, so that it can be resumed whatever happens to conf/."""
    sweep.folder.mkdir(parents=True, exist_ok=True)
    space = sweep.space
    bases = {
        name: {"written": base.written, "overrides": list(base.overrides)} for name, base in sorted(space.bases.items())
    }
    write_json(sweep.folder / _BASES, bases)
    plain = {
        "name": sweep.name,
        "question": space.question,
        "axes": list(map(_to_plain, space.axes)),
        "groups": list(space.groups),
        "seeds": list(sweep.seeds),
        "folds": list(sweep.folds),
        "objectives": [asdict(objective) for objective in sweep.objectives],
        "settings": sweep.settings.model_dump(mode="json", exclude={"space"}),
        "code": dict(sweep.code),
    }
    write_text(sweep.folder / FILE, _HEADER + yaml.safe_dump(plain, sort_keys=False, allow_unicode=True, width=110))


def read(folder: Path, *, root: Path) -> Sweep:
    """Read what `write` wrote.

    Raises:
        TreadleError: the folder holds no sweep, or its files are damaged.
    """
    if not (folder / FILE).is_file():
        raise TreadleError(f"{folder} is no sweep: it has no {FILE}; `treadle run -m` makes one, under {SWEEPS}/")
    try:
        plain = yaml.safe_load(read_text(folder / FILE))
        saved = json.loads(read_text(folder / _BASES))
        bases = {
            name: Base(
                {},
                {text: Place(override=text) for text in base["overrides"]},
                root,
                written=base["written"],
            )
            for name, base in saved.items()
        }
        space = Space(tuple(map(_to_axis, plain["axes"])), tuple(plain["groups"]), bases, plain["question"])
        settings = spec.Sweep.model_validate({**plain["settings"], "space": {}})
        objectives = tuple(Objective(**{"column": f"valid/{o['name']}", **o}) for o in plain["objectives"])
        folds = tuple(plain.get("folds", ()))  # a sweep of an older version has none
        return Sweep(folder, space, settings, tuple(plain["seeds"]), folds, objectives, plain["code"])
    except (yaml.YAMLError, KeyError, TypeError, AttributeError, ValueError) as error:
        raise TreadleError(
            f"{folder} is damaged: {type(error).__name__}: {error}; run the sweep's command again"
        ) from error


def find_changed_code(sweep: Sweep) -> list[str]:
    """The modules whose source is not what the sweep began with."""
    return [name for name, known in sweep.code.items() if fingerprint_again(name, known) != known]


def _to_plain(axis: Axis) -> dict[str, Any]:
    if isinstance(axis, Choices):
        return {"key": axis.key, "values": list(axis.values)}
    return {"key": axis.key, "low": axis.low, "high": axis.high, "log": axis.is_log, "integer": axis.is_integer}


def _to_axis(plain: Mapping[str, Any]) -> Axis:
    if "values" in plain:
        return Choices(plain["key"], tuple(plain["values"]))
    return Interval(plain["key"], plain["low"], plain["high"], is_log=plain["log"], is_integer=plain["integer"])
