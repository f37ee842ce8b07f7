"""Compare runs: how their configurations differ, and which is best by the monitored metric."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.experiment.changes import shorten
from treadle.keys import climb, get_section, is_within, join
from treadle.metrics.registry import METRICS, Metric, find_metric
from treadle.metrics.table import Scores, write_scores
from treadle.runs.read import Finished

_TARGET = "_target_"


@dataclass(frozen=True)
class Ranked:
    """A run and its rank among others."""

    run: Finished
    label: str  # its values that differ from the others'
    score: float | None  # the monitored validation metric, of the epoch that was kept


@dataclass(frozen=True)
class Comparison:
    """Runs in order, the best first."""

    runs: list[Ranked]
    monitor: Metric  # on the validation split: the runs are sorted by it
    metrics: list[Metric]  # on the test split, the experiment's chosen one first
    differences: dict[str, list[Any]]  # key: the value of each run, in their order; None where a run has no such key

    @property
    def comparable(self) -> bool:
        """Whether the metrics of the test split can be compared: two runs or more, all on the same data."""
        data = [ranked.run.experiment.data for ranked in self.runs]
        return len(data) > 1 and all(one == data[0] for one in data)

    def write_monitor(self) -> Scores:
        """The monitored metric of each run; the order shows which is best."""
        return write_scores(self.monitor, (each.score for each in self.runs), mark_best=False, prefix="valid ")

    def write_metrics(self) -> list[Scores]:
        """Each test metric of each run."""
        return [
            write_scores(metric, (each.run.metrics.get(metric.name) for each in self.runs), mark_best=self.comparable)
            for metric in self.metrics
        ]


def compare_runs(runs: Sequence[Finished]) -> Comparison:
    """Label the runs, and sort them by the validation metric that the first of them monitored.

    A run of another task, which has no such metric, comes last. Test metrics do not affect the order: a model that is
    selected by them has no unbiased estimate left.
    """
    monitor = find_metric(task=runs[0].experiment.data.task, name=runs[0].experiment.schedule.monitor)
    assert monitor is not None, "the check has verified schedule.monitor"
    sign = -1 if monitor.higher_is_better else 1
    scored = [Ranked(run, label, run.best_epoch.get(f"valid/{monitor.name}")) for run, label in _label(runs)]
    ranked = sorted(scored, key=lambda each: (each.score is None, sign * (each.score or 0.0)))
    return Comparison(ranked, monitor, _list_metrics(runs), list_differences([each.run for each in ranked]))


def list_differences(runs: Sequence[Finished]) -> dict[str, list[Any]]:
    """The keys in which runs differ, with the value of each run; None where a run has no such key."""
    keys = dict.fromkeys(key for run in runs for key in run.values)
    table = {key: [run.values.get(key) for run in runs] for key in keys}
    return {key: values for key, values in table.items() if any(value != values[0] for value in values)}


def _list_metrics(runs: Sequence[Finished]) -> list[Metric]:
    tasks = dict.fromkeys(run.experiment.data.task for run in runs)
    found = list(dict.fromkeys(metric for task in tasks for metric in METRICS[task]))
    first = runs[0].experiment.evaluation.metric
    return sorted(found, key=lambda metric: metric.name != first)


# --- labels -------------------------------------------------------------------------------------------


def _label(runs: Sequence[Finished]) -> Iterable[tuple[Finished, str]]:
    """The values in which each run differs, under the shortest keys that are unique."""
    differences = list_differences(runs)
    for index, run in enumerate(runs):
        own = {key: values[index] for key, values in differences.items() if values[index] is not None}
        yield run, _write_label({key: own[key] for key in own if _distinguishes(key, run, runs)}, differences)


def _distinguishes(key: str, run: Finished, runs: Sequence[Finished]) -> bool:
    """Whether a value differs among runs with the same component: another class has other arguments anyway."""
    node = _find_component(key, run)
    peers = [other for other in runs if node is None or other.values.get(node) == run.values[node]]
    return any(other.values.get(key) != run.values[key] for other in peers) or key == node


def _find_component(key: str, run: Finished) -> str | None:
    """The `_target_` that a key belongs to: its own node's, or that of the nearest node above."""
    above = (join(section, _TARGET) for section in climb(get_section(key)))
    return next((target for target in above if target in run.values), None)


def _write_label(values: dict[str, Any], differences: Iterable[str]) -> str:
    """`model=Mlp width=64`; of a section with many values its name alone."""
    branches = _group(shorten(list(values)), values)
    names = _shorten_names(differences)
    parts = []
    for branch, keys in branches.items():
        if branch in values:
            parts.append(f"{names[branch]}={_write_value(branch, values[branch])}")
        else:
            parts.append(f"{branch}: {len(keys)} values")
    return "  ".join(parts) or "the same configuration"


def _group(branches: list[str], values: Iterable[str]) -> dict[str, list[str]]:
    """The keys below each branch."""
    found: dict[str, list[str]] = defaultdict(list)
    for key in values:
        found[next(branch for branch in branches if is_within(key, branch))].append(key)
    return found


def _shorten_names(keys: Iterable[str]) -> dict[str, str]:
    """Each dotted key by its last parts, as many as make it unique; a component by its node."""
    paths = {key: key.removesuffix(f".{_TARGET}").split(".") for key in keys}
    taken: dict[str, int] = defaultdict(int)
    for parts in paths.values():
        for length in range(1, len(parts) + 1):
            taken[".".join(parts[-length:])] += 1
    return {
        key: next((n for k in range(1, len(parts) + 1) if taken[n := ".".join(parts[-k:])] == 1), ".".join(parts))
        for key, parts in paths.items()
    }


def _write_value(key: str, value: Any) -> str:
    return str(value).rpartition(".")[2] if key.endswith(_TARGET) else write_value(value)


def write_value(value: Any) -> str:
    """A value of the configuration in one short text; `-` where a run has no such key."""
    if value is None:
        return "-"
    return f"{value:g}" if isinstance(value, float) else str(value)
