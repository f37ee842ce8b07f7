"""The answer of a sweep: settings ranked by the mean of their seeds and folds, with ties within their noise."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from treadle.sweeps.axes import Replicate
from treadle.sweeps.ledger import Trial

_SIGMAS = 2.0  # standard errors of the paired difference, within which two settings are a tie


@dataclass(frozen=True)
class Row:
    """A setting with what its seeds gave."""

    setting: Mapping[str, str]
    scores: Mapping[Replicate, float]  # the objective of each
    is_confirmed: bool  # whether the scores come of seeds that the search had not seen
    is_tied: bool  # with the best
    trials: tuple[int, ...]

    @property
    def mean(self) -> float:
        """Over its replicates."""
        return statistics.fmean(self.scores.values())

    @property
    def spread(self) -> float | None:
        """Standard deviation over its replicates; None for one."""
        return statistics.stdev(self.scores.values()) if len(self.scores) > 1 else None


@dataclass(frozen=True)
class Setting:
    """A ranked setting with the mean of each objective over its seeds."""

    row: Row
    means: tuple[float, ...]
    is_in_front: bool  # no other is at least as good in every objective and better in one; false for one objective


def weigh(rows: Sequence[Row], trials: Mapping[int, Trial], *, higher_is_better: Sequence[bool]) -> list[Setting]:
    """Ranked settings with all their objectives, and which of them are on the Pareto front."""
    means = [
        tuple(map(statistics.fmean, zip(*(trials[n].values or () for n in row.trials), strict=True))) for row in rows
    ]
    signs = [-1 if higher else 1 for higher in higher_is_better]
    losses = [tuple(sign * mean for sign, mean in zip(signs, each, strict=True)) for each in means]
    known = [loss for loss in losses if len(loss) > 1 and all(map(math.isfinite, loss))]
    front = [loss in known and not any(_dominates(other, loss) for other in known) for loss in losses]
    return [Setting(*each) for each in zip(rows, means, front, strict=True)]


def rank(trials: Sequence[Trial], *, higher_is_better: bool) -> list[Row]:
    """The settings whose replicates all finished, the best first; confirmed ones lead, ranked by their fresh seeds."""
    rows = []
    for group in group_by_setting(trials).values():
        confirming = [trial for trial in group if trial.phase == "confirm"]
        counted = confirming if _is_complete(confirming) else [trial for trial in group if trial.phase == "search"]
        if not _is_complete(counted):
            continue
        scores = {trial.replicate: trial.values[0] for trial in counted if trial.values is not None}
        if all(map(math.isfinite, scores.values())):
            numbers = tuple(trial.number for trial in counted)
            rows.append(Row(group[0].setting, scores, counted is confirming, is_tied=False, trials=numbers))
    sign = -1 if higher_is_better else 1
    rows.sort(key=lambda row: (not row.is_confirmed, sign * row.mean))
    return [Row(r.setting, r.scores, r.is_confirmed, _ties(rows[0], r), r.trials) for r in rows]


def name_setting(setting: Mapping[str, str]) -> str:
    """The same for the same values, in whatever order."""
    return repr(sorted(setting.items()))


def group_by_setting(trials: Sequence[Trial]) -> dict[str, list[Trial]]:
    """Trials that differ in seed and fold alone, in the order in which they were added."""
    groups: dict[str, list[Trial]] = {}
    for trial in trials:
        groups.setdefault(name_setting(trial.setting), []).append(trial)
    return groups


def _is_complete(group: Sequence[Trial]) -> bool:
    """Whether each replicate has a score: without one of them the mean of the others might flatter the setting."""
    return bool(group) and all(trial.state == "done" and trial.values is not None for trial in group)


def _ties(best: Row, row: Row) -> bool:
    """Whether the paired difference over common replicates lies within its noise; with fewer than two nothing tells."""
    if best is row or best.is_confirmed != row.is_confirmed:
        return False
    differences = [score - row.scores[each] for each, score in best.scores.items() if each in row.scores]
    if len(differences) < 2:  # noqa: PLR2004 - a spread needs two
        return False
    noise = statistics.stdev(differences) / math.sqrt(len(differences))
    return abs(statistics.fmean(differences)) <= _SIGMAS * noise


def _dominates(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    """Whether it is at least as good in every objective, and better in one."""
    return one != other and all(mine <= its for mine, its in zip(one, other, strict=True))
