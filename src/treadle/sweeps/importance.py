"""Importance: each axis' share of what moves the first objective of a sweep, by PED-ANOVA (Watanabe et al., 2023)."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from treadle.sweeps.answer import group_by_setting
from treadle.sweeps.ledger import Trial
from treadle.sweeps.search import Point, Search
from treadle.sweeps.sweep import Sweep

_FEW = 50  # settings; with fewer the shares are rough


def measure_importance(sweep: Sweep, trials: Sequence[Trial]) -> dict[str, float]:
    """The share of each axis, the largest first; empty with one axis, or where too little is known.

    An axis of which too few settings tell is left out. Every setting counts by the mean over the seeds of the search.
    """
    points = _list_points(trials)
    if len(sweep.space.axes) < 2 or not points:  # noqa: PLR2004 - one axis moves everything
        return {}
    search = Search(
        axes=sweep.space.axes,
        applies=sweep.space.applies,
        sampler="random",  # asked for nothing: it fits a grid, too
        pruner="none",
        maximize=tuple(objective.higher_is_better for objective in sweep.objectives),
        seed=0,
        max_epochs=1,
    )
    shares = search.measure_importance(points)
    known = {axis.key: shares[axis.key] for axis in sweep.space.axes if math.isfinite(shares.get(axis.key, math.nan))}
    return dict(sorted(known.items(), key=lambda item: -item[1]))


def describe_importance(importance: Mapping[str, float], *, settings: int) -> str:
    """`lr 72%, width 28%`, with a warning where few settings are known."""
    shares = ", ".join(f"{key} {share:.0%}" for key, share in importance.items())
    return f"{shares}{warn_of_few(settings)}"


def warn_of_few(settings: int) -> str:
    """What to think of shares that follow from so many settings; empty for enough."""
    return f" (from {settings} settings: rough below {_FEW})" if settings < _FEW else ""


def _list_points(trials: Sequence[Trial]) -> list[Point]:
    """The settings of the search whose seeds all have finished, by the axes on which they differ."""
    found: list[tuple[dict[str, Any], list[float]]] = []
    for group in group_by_setting([trial for trial in trials if trial.phase == "search"]).values():
        values = [trial.values for trial in group if trial.values is not None]
        if len(values) == len(group) and all(map(math.isfinite, (v for each in values for v in each))):
            params = group[0].suggestion["params"] if group[0].suggestion else group[0].setting  # of a grid: as listed
            found.append((params, [sum(column) / len(column) for column in zip(*values, strict=True)]))
    keys = dict.fromkeys(key for params, _ in found for key in params)
    varied = [key for key in keys if len({params[key] for params, _ in found if key in params}) > 1]
    return [
        Point({"params": {key: params[key] for key in varied if key in params}, "system_attrs": {}}, "done", means)
        for params, means in found
    ]
