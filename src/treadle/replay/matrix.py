"""The matrix of a replay: which model is trained at which moment on how much of the past. Training it is a sweep.

Each model is a run of the experiment with a moved split: what lies before its moment trains and validates, what comes
later is its test split. So the cache of stages keeps it, a killed replay goes on, and models train side by side.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import polars as pl

from treadle.check.source_bundles import has_weights
from treadle.config.overrides import key_of, parse
from treadle.errors import TreadleError
from treadle.experiment.calendar import Step, parse_step
from treadle.experiment.durations import parse_duration, parse_moment
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment, OnSchedule, Policy, Replay, TimeSeriesFolds, TimeSplit, Warm
from treadle.experiment.stages import SOURCE_BUNDLES
from treadle.problems import ConfigError, Problem
from treadle.schema import PREDICT_AT, SPLITS, StartOptimizer
from treadle.sweeps.declare import declare
from treadle.sweeps.ledger import Trial
from treadle.sweeps.sweep import Sweep

_SPLIT = "++data.split"  # `++`: the moved split has keys that the experiment's own may lack
_DONE = {"refit": "fitted anew", "keep": "kept"}
_PARTIAL = 0.5  # share of the median block's rows; a last block with fewer is no block
_BEFORE_TEST = timedelta(days=14)  # a valid_from that can be named where there is none: it is moved

Window = int | None  # how many of the newest blocks train; None: all of the past


class Kind(NamedTuple):
    """How a model is trained."""

    window: Window  # on how much of the past
    warm: Warm | None = None  # whether it takes over from the model of the same kind a block before
    optimizer: StartOptimizer = "anew"  # whether that of the model before continues


@dataclass(frozen=True)
class Origin:
    """A model to be trained."""

    block: int  # at whose start it is trained, which is the first that it predicts
    window: Window
    warm: Warm | None = None  # what it takes over from the model of the same kind a block before
    optimizer: StartOptimizer = "anew"  # whether that one's continues

    @property
    def before(self) -> Origin:
        """The model that a warm one takes over from; the first one is cold, and learns from all the past."""
        return get_origin(self.block - 1, Kind(self.window, self.warm, self.optimizer))


def get_kind(policy: Policy) -> Kind:
    """How a policy trains."""
    window = None if policy.window == "all" else policy.window
    return Kind(window, policy.warm, policy.optimizer) if isinstance(policy, OnSchedule) else Kind(window)


def get_origin(block: int, kind: Kind) -> Origin:
    """The model of a kind that is trained at a block."""
    return Origin(block, *kind) if kind.warm is None or block else Origin(0, None)


@dataclass(frozen=True)
class Plan:
    """The blocks, and the models."""

    starts: tuple[datetime, ...]  # of the blocks, and the end of the last
    origins: tuple[Origin, ...]
    step: Step
    label_delay: str  # how long after the prediction a label is known: the gap of the split
    left_out: str | None  # what the rows end with, if that is no whole block

    @property
    def num_blocks(self) -> int:
        """In each of which every model that there is by then predicts."""
        return len(self.starts) - 1

    def write_split(self, origin: Origin, settings: Replay) -> str:
        """The override that moves the split."""
        moment = self.starts[origin.block]
        parts = {
            "by": "time",
            "valid_from": _quote(moment - parse_duration(settings.valid)),
            "test_from": _quote(moment),
            "gap": self.label_delay,
        }
        if origin.window is not None:
            parts["train_from"] = _quote(self.step.add(moment, -origin.window))
        return f"{{{','.join(f'{key}:{value}' for key, value in parts.items())}}}"

    @property
    def cold(self) -> list[Origin]:
        """Those that need no other one: the grid of a sweep."""
        return [origin for origin in self.origins if origin.warm is None]

    @property
    def warm(self) -> list[Origin]:
        """The others, each after the one that it takes over from."""
        return [origin for origin in self.origins if origin.warm is not None]

    def describe_rows(self, origin: Origin) -> str:
        """On which rows a model is trained."""
        warm = "" if origin.warm is None else f", from {_describe_start(origin.warm, origin.optimizer)}"
        if origin.window is None:
            return f"on all rows before{warm}"
        return f"on rows from {self.step.add(self.starts[origin.block], -origin.window):%Y-%m-%d} on{warm}"

    def find_origin(self, split: Mapping[str, str]) -> Origin:
        """The model of a split that `write_split` moved."""
        block = self.starts.index(parse_moment(split["test_from"]))
        if split.get("train_from") is None:
            return Origin(block, None)
        first, windows = parse_moment(split["train_from"]), {o.window for o in self.origins if o.window is not None}
        return Origin(block, next(w for w in windows if self.step.add(self.starts[block], -w) == first))


def _describe_start(warm: Warm, optimizer: StartOptimizer) -> str:
    continued = ", optimizer continued" if optimizer == "continue" else ""
    return f"the weights of the block before, transforms {_DONE[warm]}{continued}"


def _quote(moment: datetime) -> str:
    return f"'{moment.isoformat()}'"


def want_time_split(experiment: Experiment, *, what: str) -> Problem:
    """That the examples are split otherwise than by time, which `what` moves."""
    split = experiment.data.split
    rule = f"{what} moves a split by time; found by: {split.by}"
    if isinstance(split, TimeSeriesFolds):
        before = parse_moment(split.test_from) - _BEFORE_TEST
        dates = f"valid_from: '{before.isoformat()}', test_from: '{split.test_from}', gap: {split.gap}"
        fix = f'"~data.split" "+data.split={{by: time, {dates}}}", of which {what} moves both dates'
        return Problem("data.split.by", rule, fix)
    fix = f"write a split with by: time, valid_from, test_from and gap, of which {what} moves both dates"
    if experiment.data.examples.predict_at is None:
        fix = f"say when each prediction is made, data.examples.predict_at, and {fix}"
    return Problem("data.split.by", rule, fix)


def require_fitting(experiment: object) -> tuple[Experiment, Replay]:
    """The experiment and its section `replay`, if a replay can be made of it.

    Raises:
        ConfigError: it is of a learner, is not split by time, or has settings that exclude each other.
    """
    if not isinstance(experiment, Experiment):
        rule = "a replay moves the split of the examples, and a learner of your own has none"
        raise ConfigError([Problem("learner", rule)])
    settings = experiment.replay
    if settings is None:
        raise ConfigError([Problem("replay", "is not selected", "add `- replay: monthly` to conf/config.yaml")])
    problems = []
    if not isinstance(experiment.data.split, TimeSplit):
        problems.append(want_time_split(experiment, what="a replay"))
    problems += [*_check_warm(experiment, settings), *_check_bundles(experiment)]
    cost = settings.cost
    if (cost.missed is None) != (cost.false_alarm is None):
        key = "missed" if cost.missed is None else "false_alarm"
        problems.append(Problem(f"replay.cost.{key}", "is given with the other of missed and false_alarm, or neither"))
    if cost.missed is not None and experiment.data.task != "binary":
        rule = f"decisions are weighed of a binary task; found {experiment.data.task}"
        problems.append(Problem("replay.cost.missed", rule, "set missed and false_alarm to null"))
    if problems:
        raise ConfigError(problems)
    return experiment, settings


def _check_warm(experiment: Experiment, settings: Replay) -> Iterator[Problem]:
    for name, policy in settings.policies.items():
        if not isinstance(policy, OnSchedule):
            continue
        if policy.warm is None:
            if policy.optimizer == "continue":
                rule = (
                    "an optimizer continues with the weights of the block before, from which the policy does not start"
                )
                yield Problem(f"replay.policies.{name}.optimizer", rule, "set warm to keep, or optimizer to anew")
            continue
        if policy.every != 1:
            rule = "a model takes over from that of the block before, so that each block has one"
            yield Problem(f"replay.policies.{name}.every", rule, "set it to 1, or warm to null")
        if not has_weights(experiment):
            rule = "the model has no weights that another one could begin with"
            yield Problem(f"replay.policies.{name}.warm", rule, "choose a network, or set it to null")


def _check_bundles(experiment: Experiment) -> Iterator[Problem]:
    """A model of the past knows nothing that was learned later."""
    for section, name in SOURCE_BUNDLES.items():
        if section != "evaluation" and getattr(getattr(experiment, section), name) is not None:
            rule = (
                "the models of a replay would begin with what a bundle has learned from rows that are later than theirs"
            )
            yield Problem(f"{section}.{name}", rule, "set it to null")


def make_plan(settings: Replay, split: TimeSplit, *, examples: RunFolder) -> Plan:
    """The blocks of the rows, and the models.

    Args:
        settings: of the replay.
        split: of the experiment, whose gap is the delay of labels.
        examples: a run whose stage `prepare` is done, with all examples in its splits.

    Raises:
        TreadleError: the rows hold no block after the first model.
    """
    moments = _read_moments(examples)
    step = parse_step(settings.step)
    try:
        starts, left_out = _list_starts(moments, settings, step)
    except ValueError as error:
        raise TreadleError(f"replay.first: {error}") from error
    if len(starts) < 3:  # noqa: PLR2004 - two blocks and their end
        raise TreadleError(
            f"replay: rows from {moments.min()!s} to {moments.max()!s} hold fewer than two blocks of {step} after "
            "the first model; choose a shorter replay.step, an earlier replay.first, or a smaller replay.min_history"
        )
    kinds = dict.fromkeys((Kind(None), *map(get_kind, settings.policies.values())))
    origins = dict.fromkeys(get_origin(block, kind) for kind in kinds for block in range(len(starts) - 1))
    return Plan(tuple(starts), tuple(origins), step, split.gap, left_out)


def _read_moments(examples: RunFolder) -> pl.Series:
    frames = [pl.scan_parquet(examples.examples / f"{split}.parquet").select(PREDICT_AT) for split in SPLITS]
    return pl.concat(frames).collect()[PREDICT_AT].drop_nulls()


def _list_starts(moments: pl.Series, settings: Replay, step: Step) -> tuple[list[datetime], str | None]:
    low, high = moments.min(), moments.max()
    assert isinstance(low, datetime)
    assert isinstance(high, datetime)
    if settings.first is not None:
        first = parse_moment(settings.first)
    else:
        first = step.add(step.floor(low), settings.min_history)
    last = None if settings.last is None else parse_moment(settings.last)
    starts = [first]
    while (starts[-1] <= high) if last is None else (step.add(starts[-1], 1) <= last):
        starts.append(step.add(starts[-1], 1))
    if last is not None or len(starts) < 3:  # noqa: PLR2004 - two blocks and their end
        return starts, None
    counts = [int(moments.is_between(*span, closed="left").sum()) for span in pairwise(starts)]
    if counts[-1] >= _PARTIAL * sorted(counts)[len(counts) // 2]:
        return starts, None
    return starts[:-1], f"{counts[-1]:,} rows from {starts[-2]:%Y-%m-%d} on, too few for a block"


def declare_matrix(plan: Plan, settings: Replay, overrides: Sequence[str], *, root: Path) -> Sweep:
    """The sweep that trains the models; nothing is written.

    Raises:
        ConfigError: a model is no valid experiment, or the overrides sweep over something themselves.
    """
    chosen = [] if any(key_of(text) == "sweep" for text in overrides) else ["sweep=grid"]
    splits = ",".join(plan.write_split(origin, settings) for origin in plan.cold)
    sweep = declare([*overrides, *chosen, "sweep.objective=auto", f"{_SPLIT}={splits}"], root=root)
    others = [axis.key for axis in sweep.space.axes if axis.key != _SPLIT]
    if others or len(sweep.seeds) > 1 or sweep.folds or not sweep.is_grid:
        key = next(iter(others), "sweep")
        rule = "a replay sweeps over the moments of training alone: each model once, by one setting and one seed"
        raise ConfigError([Problem(key, rule, "give each key one value; `treadle run -m` compares several")])
    return sweep


def match_trials(plan: Plan, trials: Mapping[int, Trial]) -> dict[Origin, Trial]:
    """The trial of each model."""
    return {plan.find_origin(_read_split(trial.setting[_SPLIT])): trial for trial in trials.values()}


def _read_split(text: str) -> dict[str, str]:
    value = parse(f"split={text}").value()
    assert isinstance(value, dict), "as `write_split` wrote it"
    return value
