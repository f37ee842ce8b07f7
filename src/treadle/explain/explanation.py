"""Explain a key: its meaning, how it got its value, and which stages read it."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import yaml

from treadle.check.checks import check
from treadle.config.compose import Composed, describe_unknown, find_option, list_options
from treadle.config.origins import Setting, read_file
from treadle.experiment.spec import Experiment, Features, ModelChoice, is_rule
from treadle.experiment.stages import STAGES, WITHOUT_EFFECT, Stage, list_stages
from treadle.explain.meanings import NO_DEFAULT, Meaning, find_meaning, list_unset, summarize_target
from treadle.hints import show
from treadle.keys import ABSENT, climb, get, is_within
from treadle.model_choice.raw_inputs import list_left_out
from treadle.problems import ConfigError, Problem


@dataclass(frozen=True)
class Option:
    """A file that a group can be set to."""

    name: str
    summary: str  # its first comment, or the summary of its target


@dataclass(frozen=True)
class Group:
    """The selected option of a group, the others, and what selected it."""

    selected: str | None
    options: list[Option]
    history: list[Setting]


@dataclass(frozen=True)
class Explanation:
    """Everything that is known about one key."""

    key: str
    value: Any  # resolved; ABSENT for a group that holds no key, such as `experiment`
    written: Any  # as it stands in the file: an interpolation, where it is one
    meaning: Meaning
    history: list[Setting]
    group: Group | None = None  # where the key is a group
    keys: dict[str, Meaning] = field(default_factory=dict)  # of a section: each that it holds, or may hold
    all_stages: tuple[Stage, ...] = STAGES  # of the experiment
    chosen: str = ""  # of a rule that chooses the model: the network that it chooses, and why
    left_out: tuple[str, ...] = ()  # of features: the steps that the model is not given, as it takes raw numbers

    @property
    def kind(self) -> Literal["group", "section", "value"]:
        """A section holds further keys; the values of a group are whole files."""
        if self.group is not None:
            return "group"
        return "section" if isinstance(self.value, dict) else "value"

    @property
    def stages(self) -> list[str]:
        """The stages that depend on the key, or on a part of it."""
        return [stage.name for stage in self.all_stages if any(_overlap(self.key, own) for own in stage.slices)]

    @property
    def without_effect(self) -> bool:
        """Whether the key is declared not to change results."""
        return any(is_within(self.key, name) for name in WITHOUT_EFFECT)


def explain(composed: Composed, key: str) -> Explanation:
    """What is known about a dotted key of the composition, or about a group.

    Raises:
        ConfigError: there is no such key; or an override of the selection is broken.
    """
    broken = [problem for problem in composed.problems if problem.place.override]
    if broken:
        raise ConfigError(broken)
    record = _find_record(composed)
    values = composed.values if record is None else {**composed.values, "model_choice": record.model_dump()}
    value, written = (get(values, key), get(composed.written, key)) if key else (ABSENT, ABSENT)
    meaning = find_meaning(key, composed.values)
    group = _find_group(composed, key)
    if value is ABSENT and group is None and (meaning is None or meaning.default is NO_DEFAULT):
        raise ConfigError([_describe_unknown(composed, key)])
    history = composed.origins.trace(key) if value is not ABSENT else []
    meaning = meaning or Meaning()
    inner = _list_meanings(key, value, composed) if isinstance(value, dict) else {}
    chosen = str(record) if record is not None and key == "model" else ""
    stages, left_out = list_stages(composed.values), _list_left_out(key, composed)
    return Explanation(key, value, written, meaning, history, group, inner, stages, chosen, left_out)


def _list_left_out(key: str, composed: Composed) -> tuple[str, ...]:
    """The keys of the steps of features at, below or above a key that the selected model is not given."""
    if not is_within(key, "features"):
        return ()
    try:
        experiment = check(composed)
    except ConfigError:  # `treadle check` tells it
        return ()
    if not isinstance(experiment, Experiment) or not experiment.features.is_raw:
        return ()
    written = Features.model_validate(composed.values["features"])
    return tuple(step for step in list_left_out(written) if _overlap(step, key))


def _find_record(composed: Composed) -> ModelChoice | None:
    """What a rule chooses as the model; None where there is no rule, or where it cannot choose yet."""
    if not is_rule(composed.values.get("model")):
        return None
    try:
        return check(composed).model_choice
    except ConfigError:
        return None


def _list_meanings(key: str, section: Mapping[str, Any], composed: Composed) -> dict[str, Meaning]:
    held = {name: find_meaning(f"{key}.{name}", composed.values) or Meaning() for name in section}
    return {**held, **list_unset(key, composed.values)}


def _overlap(one: str, other: str) -> bool:
    return is_within(one, other) or is_within(other, one)


def _describe_unknown(composed: Composed, key: str) -> Problem:
    removed = [setting for setting in composed.origins.trace(key) if setting.value is ABSENT]
    if removed:
        return Problem(key, f"the key {key!r} is removed", place=removed[-1].place)
    parent = next(around for around in (*climb(key), "") if get(composed.values, around) is not ABSENT)
    value = get(composed.values, parent)
    if not isinstance(value, dict | list):
        rule = f"{parent!r} is {show(value)}, which holds no keys"
        return Problem(key, rule, place=composed.locate(parent))
    return describe_unknown(key, composed.keys, root=composed.root)


# --- groups -------------------------------------------------------------------------------------------


def _find_group(composed: Composed, key: str) -> Group | None:
    group = key.replace(".", "/")
    options = list_options(composed.root).get(group)
    if options is None:
        return None
    selected = composed.choices.get(group)
    history = sorted(composed.origins.trace_group(group), key=lambda setting: setting.value == selected)
    listed = [Option(name, describe_option(find_option(composed.root, group, name))) for name in options]
    return Group(selected, listed, history)


def describe_option(path: Path) -> str:
    """The first line of the comment at the top of a file, else the summary of its target."""
    comment = itertools.takewhile(lambda line: line.startswith("#"), path.read_text(encoding="utf-8").splitlines())
    lines = [line.lstrip("# ") for line in comment]
    described = [text for text in lines if text and not text.startswith(("@", "yaml-language-server:"))]
    if described:
        return described[0]
    with contextlib.suppress(yaml.YAMLError):  # an option that is not selected may be broken
        return summarize_target(read_file(path))
    return ""
