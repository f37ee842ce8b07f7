"""Run again what a run was: its frozen values, with single ones changed on top, checked like any other."""

from __future__ import annotations

import json
import shlex
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pydantic

from treadle.check.checks import check
from treadle.config.compose import Composed, compose_options, describe_unknown, list_options
from treadle.config.hydra_keys import find_hydra_overrides
from treadle.config.locations import ConfigFile, find_place, show_path
from treadle.config.overrides import find_faults, is_choice, key_of, parse
from treadle.errors import TreadleError
from treadle.experiment.identity import fingerprint_stages
from treadle.experiment.resolved import Resolved, read_values
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import RECORDS, AnyExperiment, Experiment, find_spec
from treadle.experiment.stages import CODE, NO_PART_OF_A_RUN
from treadle.keys import climb, get, get_section, is_within
from treadle.problems import ConfigError, Part, Place, Problem
from treadle.validation import describe_first

_MODEL = "model"  # the section of which a rule may have made a choice


@dataclass
class Frozen(Composed):
    """The values of a resolved.yaml, as a composition: conf/ has no part in them."""

    path: Path = field(default_factory=Path)

    @cached_property
    def files(self) -> list[ConfigFile]:
        """None."""
        return []

    def locate(self, key: str, *, part: Part = "value") -> Place:  # noqa: ARG002 - as Composed has it
        """The override that sets it, else where the resolved.yaml does."""
        given = (place for text, place in self.overrides.items() if is_within(key, key_of(text)))
        found = find_place(self.path, key)
        return next(given, replace(found, file=show_path(self.path, self.root)))


@dataclass(frozen=True)
class Rerun:
    """What is run again."""

    resolved: Resolved
    composed: Composed
    overrides: list[str] | None  # from which it can be composed again, where the run has recorded its own


def read_again(run: Path, overrides: Sequence[str], *, root: Path) -> Rerun:
    """The experiment of a run with overrides on top, by the code as it is now.

    Args:
        run: its folder.
        overrides: `key=value` and `+key=value`, or `group=option`, whose values replace the section.
        root: the project.

    Raises:
        TreadleError: the folder is no run, or one of a version of Treadle with other keys.
        ConfigError: an override is wrong, or the result is no valid experiment.
    """
    folder = RunFolder(run)
    before = _read(folder)
    written = {key: value for key, value in before.model_dump(mode="json").items() if key not in RECORDS}
    places = {text: Place(override=text, position=index) for index, text in enumerate(overrides, start=1)}
    options = list_options(root)
    _require(find_hydra_overrides(places) or find_faults(places, options))
    groups = {key_of(text): text for text in places if is_choice(text, options)}
    _require(_find_unfit(groups, places, written))
    for group, text in groups.items():
        option = str(parse(text).value())
        written[group] = compose_options(root, group, [option])[option]
    base = Frozen({}, {}, root, written=written, path=folder.resolved.resolve())
    values = {text: place for text, place in places.items() if text not in groups.values()}
    _require(_find_unknown(values, base))
    composed = base.vary(values)
    composed.overrides.update(places)
    experiment = check(composed)
    records: dict[str, Any] = {"question": before.question, **dict.fromkeys(NO_PART_OF_A_RUN)}
    if isinstance(before, Experiment) and not any(is_within(key_of(text), _MODEL) for text in overrides):
        records["model_choice"] = before.model_choice
    experiment = experiment.model_copy(update=records)
    resolved = Resolved(experiment, fingerprint_stages(experiment.model_dump(mode="json")))
    return Rerun(resolved, composed, _join(folder, overrides, groups))


def _read(folder: RunFolder) -> AnyExperiment:
    """What the run was; keys that are newer have their defaults."""
    if not folder.resolved.is_file():
        raise TreadleError(f"{folder.path} is no run: it has no {folder.resolved.name}; `treadle ls` lists runs")
    values = read_values(folder.resolved)
    try:
        return find_spec(values).model_validate({key: value for key, value in values.items() if key != CODE})
    except pydantic.ValidationError as error:
        recorded = _read_overrides(folder)
        command = "" if recorded is None else f": {shlex.join(['treadle', 'run', *recorded])}"
        raise TreadleError(
            f"{folder.resolved} is of another version of Treadle: {describe_first(error)}; compose it anew{command}"
        ) from error


def _require(problems: Mapping[str, Problem]) -> None:
    if problems:
        raise ConfigError(list(problems.values()))


def _find_unfit(
    groups: Mapping[str, str], places: Mapping[str, Place], written: Mapping[str, Any]
) -> dict[str, Problem]:
    """Overrides that need conf/ as a whole: they remove a key, or choose more than the values of one section."""
    problems = {}
    for text, place in places.items():
        if parse(text).is_delete():
            problems[text] = Problem(key_of(text), "--like sets values, and removes none", "set another value", place)
    for group, text in groups.items():
        if text not in problems and (group not in written or "@" in text or not isinstance(parse(text).value(), str)):
            rule = f"{text!r} does not replace one section of the run"
            fix = "compose it anew, without --like"
            problems[text] = Problem(group, rule, fix, places[text])
    return problems


def _find_unknown(values: Mapping[str, Place], base: Frozen) -> dict[str, Problem]:
    problems = {}
    for text, place in values.items():
        key = key_of(text)
        around = next((section for section in climb(get_section(key)) if section in base.keys), "")
        is_new = text.startswith("+") and isinstance(get(base.written, around), dict)
        if key not in base.keys and not is_new:
            problem = describe_unknown(key, base.keys, root=base.root)
            fix = f"{problem.hint.nearest}={text.partition('=')[2]}" if problem.hint.nearest else ""
            problems[text] = replace(problem, place=place, fix_override=fix)
    return problems


def _join(folder: RunFolder, overrides: Sequence[str], groups: Collection[str]) -> list[str] | None:
    """The overrides of the run, without those that others replace, and the others."""
    recorded = _read_overrides(folder)
    if recorded is None:
        return None
    keys = {key_of(text) for text in overrides}
    kept = (text for text in recorded if key_of(text) not in keys)
    return [*(text for text in kept if not any(is_within(key_of(text), group) for group in groups)), *overrides]


def _read_overrides(folder: RunFolder) -> list[str] | None:
    """None where they are not known, or their record is damaged: the frozen values tell all that counts."""
    try:
        recorded = json.loads(folder.overrides.read_bytes())
    except (FileNotFoundError, ValueError):
        return None
    return recorded if isinstance(recorded, list) else None
