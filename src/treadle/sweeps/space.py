"""The space of a sweep: its axes, under which options of groups each exists, and the experiment at each point."""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from treadle.check.checks import check
from treadle.config.compose import Composed, compose
from treadle.config.hydra_keys import find_hydra_keys
from treadle.config.locations import ConfigFile
from treadle.experiment.identity import fingerprint_stages
from treadle.experiment.resolved import Resolved
from treadle.experiment.spec import AnyExperiment
from treadle.experiment.stages import NO_PART_OF_A_RUN
from treadle.problems import NOWHERE, ConfigError, Part, Place, Problem, unique
from treadle.sweeps.axes import SEED, Axis, Choices, Interval

Setting = Mapping[str, str]  # key of an axis: right side of its override


@dataclass
class Base(Composed):
    """What is composed under one choice of options, apart from its files: later edits of conf/ do not reach it."""

    kept_files: list[ConfigFile] = field(
        default_factory=list
    )  # where mistakes are located; none in a sweep that resumes

    @cached_property
    def files(self) -> list[ConfigFile]:
        """Those of the first composition."""
        return self.kept_files

    def locate(self, key: str, *, part: Part = "value") -> Place:
        """As of the first composition; nowhere in a sweep that resumes."""
        return super().locate(key, part=part) if self.files else NOWHERE


@dataclass(frozen=True)
class Space:
    """Axes over compositions. An axis whose key exists under some options of the groups only is swept there alone."""

    axes: tuple[Axis, ...]  # groups first
    groups: tuple[str, ...]  # the keys of axes that choose options
    bases: Mapping[str, Base]  # by the options chosen
    question: str | None  # what the experiment asks
    checked: dict[str, AnyExperiment] = field(default_factory=dict)  # by setting and seed

    @classmethod
    def compose(
        cls, axes: Sequence[Axis], *, groups: Sequence[str], overrides: Mapping[str, Place], root: Path
    ) -> Space:
        """Compose once for each choice of options.

        Args:
            axes: in the order of the command.
            groups: the keys among them that choose options of groups.
            overrides: the same for all trials, with their places.
            root: the project.

        Raises:
            ConfigError: a choice cannot be composed, or an axis has a key that exists under none.
        """
        ordered = sorted(axes, key=lambda axis: axis.key not in groups)
        listed = [axis.values for axis in ordered if axis.key in groups and isinstance(axis, Choices)]
        chosen_by = [axis.key for axis in ordered if axis.key in groups]
        bases, question = {}, None
        given = {axis.key.lstrip("+") for axis in axes if axis.key not in groups}
        problems: list[Problem] = []
        for options in itertools.product(*listed):
            chosen = [f"{key}={option}" for key, option in zip(chosen_by, options, strict=True)]
            composed = compose(overrides=[*overrides, *chosen], root=root, places=overrides)
            question = question or composed.question
            found = [*composed.problems, *find_hydra_keys(composed.files, root=root)]
            problems += (problem for problem in found if problem.key not in given)
            base = Base({}, dict(composed.overrides), root, [], composed.written, kept_files=composed.files)
            bases[_name_base(options)] = base
        if problems:
            raise ConfigError(list(unique(problems)))
        return cls(tuple(ordered), tuple(chosen_by), bases, question)

    def find_base(self, setting: Setting) -> Base:
        """The composition under the options that a setting chooses."""
        return self.bases[_name_base([setting[group] for group in self.groups])]

    def applies(self, axis: Axis, setting: Setting) -> bool:
        """Whether the axis exists under the options that are chosen so far."""
        if axis.key in self.groups or axis.key.startswith("+"):
            return True
        return axis.key in self.find_base(setting).keys

    def list_grid(self) -> Iterator[dict[str, str]]:
        """Every combination of the listed values once; the last axis changes fastest."""
        values = [axis.values for axis in self.axes if isinstance(axis, Choices)]
        seen = set()
        for combination in itertools.product(*values):
            chosen = dict(zip((axis.key for axis in self.axes), combination, strict=True))
            setting = {axis.key: chosen[axis.key] for axis in self.axes if self.applies(axis, chosen)}
            if (name := json.dumps(setting)) not in seen:
                seen.add(name)
                yield setting

    def count_settings(self) -> float:
        """How many settings there are; infinite with any number between two bounds."""
        listed = [axis.values for axis in self.axes if axis.key in self.groups and isinstance(axis, Choices)]
        chosen = [dict(zip(self.groups, options, strict=True)) for options in itertools.product(*listed)]
        inner = [axis for axis in self.axes if axis.key not in self.groups]
        return sum(math.prod(_count_values(axis) for axis in inner if self.applies(axis, each)) for each in chosen)

    def list_corners(self) -> Iterator[dict[str, str]]:
        """For each choice of options the ends of every interval and each listed value: what a check can see."""
        listed = [axis.values for axis in self.axes if axis.key in self.groups and isinstance(axis, Choices)]
        for options in itertools.product(*listed):
            chosen = dict(zip(self.groups, options, strict=True))
            probes = {a.key: _list_probes(a) for a in self.axes if a.key not in self.groups and self.applies(a, chosen)}
            for index in range(max(map(len, probes.values()), default=1)):
                yield chosen | {key: values[min(index, len(values) - 1)] for key, values in probes.items()}

    def check(self, setting: Setting, *, seed: int) -> AnyExperiment:
        """The checked experiment at a point.

        Raises:
            ConfigError: the point is no valid experiment.
        """
        texts = [*(f"{key}={text}" for key, text in setting.items() if key not in self.groups), f"{SEED}={seed}"]
        varied = self.find_base(setting).vary({text: Place(override=text) for text in texts})
        return check(varied).model_copy(update={"question": self.question})

    def remember(self, setting: Setting, experiment: AnyExperiment) -> None:
        """Keep a checked experiment for when it is frozen: each setting of a grid is checked once before the start."""
        self.checked[_name_point(setting, experiment.seed)] = experiment

    def list_overrides(self, setting: Setting, *, seed: int) -> list[str]:
        """From which the experiment at a point can be composed again."""
        values = [f"{key}={text}" for key, text in setting.items() if key not in self.groups]
        keys = {text.partition("=")[0] for text in (*values, f"{SEED}=")}
        fixed = [text for text in self.find_base(setting).overrides if text.partition("=")[0] not in keys]
        return [*fixed, *values, f"{SEED}={seed}"]

    def freeze(self, setting: Setting, *, seed: int) -> Resolved:
        """The frozen experiment at a point, with the code as this process has read it. Errors as in `check`."""
        checked = self.checked.get(_name_point(setting, seed)) or self.check(setting, seed=seed)
        experiment = checked.model_copy(update=dict.fromkeys(NO_PART_OF_A_RUN))
        return Resolved(experiment, fingerprint_stages(experiment.model_dump(mode="json")))


def _name_base(options: Sequence[str]) -> str:
    return json.dumps(list(options))


def _name_point(setting: Setting, seed: int) -> str:
    return json.dumps([sorted(setting.items()), seed])


def _list_probes(axis: Axis) -> tuple[str, ...]:
    if isinstance(axis, Interval):
        write = (lambda value: str(int(value))) if axis.is_integer else repr
        return write(axis.low), write(axis.high)
    return axis.values


def _count_values(axis: Axis) -> float:
    if isinstance(axis, Choices):
        return len(axis.values)
    return int(axis.high) - int(axis.low) + 1 if axis.is_integer else math.inf
