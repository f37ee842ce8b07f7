"""A sweep as one self-contained HTML page: the answer, how trials learned, and where good settings lie."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from treadle.disk import write_text
from treadle.experiment.run_folder import RUNS, RunFolder
from treadle.metrics.log import read_metrics_log
from treadle.metrics.registry import write_score
from treadle.pages.marks import (
    SHADES,
    Mark,
    Scale,
    draw_curves,
    draw_parallel,
    draw_points,
    find_limits,
)
from treadle.pages.render import render_page
from treadle.sweeps.answer import Row, Setting, group_by_setting, rank, weigh
from treadle.sweeps.axes import Axis, Choices
from treadle.sweeps.importance import measure_importance, warn_of_few
from treadle.sweeps.ledger import BAD, Ledger, Trial
from treadle.sweeps.sweep import Sweep
from treadle.sweeps.views import describe_setting, shorten_value, summarize

_MAX_ROWS = 200  # of a table
_MAX_MARKS = 300  # of a chart
_MAX_UNSCORED = 100  # of those, without a score
_MAX_EPOCHS = 60  # points of a curve


Item = TypeVar("Item")


@dataclass(frozen=True)
class Picture:
    """What a page shows of a sweep."""

    sweep: Sweep
    ledger: Ledger
    root: Path

    @cached_property
    def trials(self) -> list[Trial]:
        """All of the ledger."""
        return list(self.ledger.trials.values())

    @cached_property
    def rows(self) -> list[Row]:
        """The ranked settings."""
        return rank(self.trials, higher_is_better=self.sweep.objectives[0].higher_is_better)

    @cached_property
    def settings(self) -> list[Setting]:
        """The same with all objectives."""
        higher_is_better = [objective.higher_is_better for objective in self.sweep.objectives]
        return weigh(self.rows, self.ledger.trials, higher_is_better=higher_is_better)

    @cached_property
    def importance(self) -> dict[str, float]:
        """The share of each axis."""
        return measure_importance(self.sweep, self.trials)

    @cached_property
    def titles(self) -> dict[str, str]:
        """Each axis by its last name, or by its whole key where two have the same."""
        last = {axis.key: axis.key.lstrip("+").rpartition(".")[2] for axis in self.sweep.space.axes}
        counts = Counter(last.values())
        return {key: name if counts[name] == 1 else key for key, name in last.items()}

    @cached_property
    def objective(self) -> str:
        """The first one, by its name on the validation split."""
        return self.sweep.objectives[0].column

    @cached_property
    def limits(self) -> tuple[float, float]:
        """Of the scores that charts tell apart by colour and height."""
        return find_limits([setting.row.mean for setting in self.settings]) or (0.0, 1.0)

    def grade(self, score: float) -> float:
        """From 0 for the worst to 1 for the best score."""
        share = (score - self.limits[0]) / (self.limits[1] - self.limits[0])
        return min(1.0, max(0.0, share if self.sweep.objectives[0].higher_is_better else 1 - share))

    def scale(self, axis: Axis) -> Scale:
        """An axis of charts; listed numbers in their order of size."""
        title = self.titles[axis.key]
        if isinstance(axis, Choices):
            return Scale(title, tuple(sorted(axis.values, key=_sort_number)))
        return Scale(title, is_log=axis.is_log, is_integer=axis.is_integer, limits=(axis.low, axis.high))

    def place(self, axis: Axis, setting: Mapping[str, str]) -> float:
        """Where a setting lies on an axis; NaN where it has no value there."""
        return self.scale(axis).place(setting[axis.key]) if axis.key in setting else math.nan


def write_page(sweep: Sweep, ledger: Ledger, path: Path, *, root: Path) -> None:
    """Write the page of a sweep that runs, was interrupted or is finished.

    Args:
        sweep: declared, or read from its folder.
        ledger: what is known of its trials.
        path: of the page.
        root: the project, for the curves of runs that were made before.
    """
    picture = Picture(sweep, ledger, root)
    front = [setting for setting in picture.settings if setting.is_in_front]
    shown = [axis for axis in sweep.space.axes if len(_list_known(picture, axis)) > 0]
    page = render_page(
        "sweep.html.jinja",
        sweep=sweep,
        summary=summarize(sweep, ledger, picture.settings),
        unfinished=_describe_unfinished(picture),
        changed=datetime.fromtimestamp(ledger.path.stat().st_mtime, tz=UTC) if ledger.path.exists() else None,
        objectives=[f"{o.column} {'↑' if o.higher_is_better else '↓'}" for o in sweep.objectives],
        titles=picture.titles,
        rows=[_tabulate(picture, setting) for setting in picture.settings[:_MAX_ROWS]],
        num_settings=len(picture.settings),
        front=[_tabulate(picture, setting) for setting in front[:_MAX_ROWS]],
        ramp=_write_ramp(picture) if picture.settings else None,
        curves=_draw_curves(picture),
        max_marks=_MAX_MARKS,
        front_chart=_draw_front(picture) if front else None,
        parallel=_draw_parallel(picture) if len(shown) > 1 and picture.settings else None,
        slices=[_draw_slice(picture, axis) for axis in shown] if picture.settings else [],
        contour=_draw_contour(picture, shown) if len(shown) > 1 and picture.settings else None,
        importance=[(key, share) for key, share in picture.importance.items()],
        warning=warn_of_few(len(picture.settings)),
        unmeasured=[key for key in picture.titles if key not in picture.importance],
        failed=[_describe_failed(picture, trial) for trial in picture.trials if trial.state in BAD],
        pruned=Counter(max(t.epochs, default=0) for t in picture.trials if t.state == "pruned"),
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)


def _sort_number(text: str) -> tuple[bool, float]:
    """Numbers by size; a stable sort leaves other texts in their order, behind them."""
    try:
        number = float(text)
    except ValueError:
        return True, 0.0
    return math.isnan(number), number


def _list_known(picture: Picture, axis: Axis) -> list[Setting]:
    return [setting for setting in picture.settings if axis.key in setting.row.setting]


def _describe_unfinished(picture: Picture) -> str:
    """`3 running, 4 waiting`; empty once every trial has ended."""
    counts = Counter(trial.state for trial in picture.trials if not trial.has_ended)
    return ", ".join(f"{count} {state}" for state, count in counts.items())


def _tabulate(picture: Picture, setting: Setting) -> dict[str, Any]:
    """A row of the table of settings."""
    row = setting.row
    place = picture.rows.index(row) + 1
    return {
        "place": "=" if row.is_tied else str(place),
        "is_best": place == 1,
        "is_in_front": setting.is_in_front,
        "is_confirmed": row.is_confirmed,
        "scores": [write_score(mean) for mean in setting.means],
        "spread": "" if row.spread is None else f"±{write_score(row.spread)}",
        "n": len(row.scores),
        "values": [shorten_value(row.setting.get(key, "-")) for key in picture.titles],
        "trials": ", ".join(map(str, row.trials)),
    }


def _describe_failed(picture: Picture, trial: Trial) -> dict[str, str]:
    log = picture.sweep.get_trial_folder(trial.number) / "log.txt"
    shown = log.relative_to(picture.root) if log.is_relative_to(picture.root) else log
    return {
        "number": str(trial.number),
        "setting": f"{describe_setting(trial.setting)} {trial.replicate}",
        "state": trial.state,
        "error": trial.error,
        "log": str(shown),
    }


def _write_ramp(picture: Picture) -> dict[str, Any]:
    """The colours of scores, from worst to best."""
    ends = picture.limits if picture.sweep.objectives[0].higher_is_better else picture.limits[::-1]
    return {"shades": SHADES, "worst": write_score(ends[0]), "best": write_score(ends[1])}


# --- charts


def _draw_curves(picture: Picture) -> str | None:
    """The first objective by epoch, a line a trial; None before the first epoch."""
    best = picture.rows[0].trials if picture.rows else ()
    curves = []
    for trial in picture.trials:
        epochs = _thin(sorted(_read_epochs(picture, trial).items()), count=_MAX_EPOCHS)
        if not epochs:
            continue
        score = trial.values[0] if trial.values else epochs[-1][1]
        is_known = trial.state in {"done", "pruned"} and math.isfinite(score)
        curves.append(
            Mark(
                f"trial {trial.number}: {write_score(score)}, {trial.state}, "
                f"{describe_setting(trial.setting)} {trial.replicate}",
                [epoch for epoch, _ in epochs],
                [value for _, value in epochs],
                picture.grade(score) if is_known and picture.rows else None,
                is_best=trial.number in best,
                is_dashed=trial.state == "pruned",
            )
        )
    if not curves:
        return None
    return draw_curves(title="", y=picture.objective, curves=_thin_marks(curves))


def _read_epochs(picture: Picture, trial: Trial) -> dict[int, float]:
    """As the ledger holds them; of a run that was made before, as its own log does."""
    log = RunFolder(picture.root / RUNS / trial.run).metrics_log
    if not trial.is_reused or trial.epochs or not log.is_file():
        return trial.epochs
    return {int(row["epoch"]): row[picture.objective] for row in read_metrics_log(log) if picture.objective in row}


def _thin(items: Sequence[Item], *, count: int) -> list[Item]:
    """So many items at equal distances, the last one among them; all where there are fewer."""
    if len(items) <= count:
        return list(items)
    return [items[round(index * (len(items) - 1) / (count - 1))] for index in range(count)]


def _thin_marks(marks: Sequence[Mark]) -> list[Mark]:
    """The best, and so many of the others as a chart holds."""
    best = [mark for mark in marks if mark.is_best]
    return [*_thin([mark for mark in marks if not mark.is_best], count=_MAX_MARKS - len(best)), *best]


def _mark(picture: Picture, setting: Setting, x: Sequence[float], y: Sequence[float]) -> Mark:
    label = f"{write_score(setting.row.mean)}  {describe_setting(setting.row.setting)}"
    return Mark(label, x, y, picture.grade(setting.row.mean), is_best=setting.row is picture.rows[0])


def _scale_scores(picture: Picture) -> Scale:
    return Scale(picture.objective, limits=picture.limits)


def _draw_parallel(picture: Picture) -> str:
    axes = picture.sweep.space.axes
    marks = [
        _mark(
            picture,
            setting,
            range(len(axes) + 1),
            [*(picture.place(axis, setting.row.setting) for axis in axes), setting.row.mean],
        )
        for setting in picture.settings
    ]
    scales = [*map(picture.scale, axes), _scale_scores(picture)]
    return draw_parallel(title="", scales=scales, marks=_thin_marks(marks))


def _draw_slice(picture: Picture, axis: Axis) -> str:
    """Score against value, with settings that have no score at the worse edge."""
    low, high = picture.limits
    points = [
        _mark(picture, setting, [picture.place(axis, setting.row.setting)], [min(high, max(low, setting.row.mean))])
        for setting in _list_known(picture, axis)
    ]
    worst = low if picture.sweep.objectives[0].higher_is_better else high
    unscored = [
        Mark(f"{what}  {describe_setting(setting)}", [picture.place(axis, setting)], [worst], None, symbol=symbol)
        for setting, what, symbol in _list_unscored(picture)
        if axis.key in setting
    ]
    marks = [*unscored[-_MAX_UNSCORED:], *_thin_marks(points)]
    scale = picture.scale(axis)
    return draw_points(title=scale.title, x=scale, y=_scale_scores(picture), points=marks)


def _list_unscored(picture: Picture) -> list[tuple[Mapping[str, str], str, str]]:
    """Settings of which a trial failed or was pruned, with what happened and its symbol; failed ones last."""
    found: list[tuple[Mapping[str, str], str, str]] = []
    for group in group_by_setting(picture.trials).values():
        states = {trial.state for trial in group}
        if states.intersection(BAD):
            found.append((group[0].setting, "failed", "x"))
        elif "pruned" in states:
            found.append((group[0].setting, "pruned", "|"))
    return sorted(found, key=lambda each: each[1] == "failed")


def _draw_contour(picture: Picture, shown: Sequence[Axis]) -> str:
    """Scores over the two most important axes."""
    order = list(picture.importance)
    chosen = sorted(shown, key=lambda axis: order.index(axis.key) if axis.key in order else len(order))[:2]
    x, y = map(picture.scale, chosen)
    known = [setting for setting in picture.settings if all(axis.key in setting.row.setting for axis in chosen)]
    places = [tuple(picture.place(axis, setting.row.setting) for axis in chosen) for setting in known]
    points = [
        _mark(picture, setting, [across], [up])
        for setting, (across, up) in zip(known, _separate(places, (x, y)), strict=True)
    ]
    is_dense = len(points) >= 10 and not x.texts and not y.texts  # noqa: PLR2004 - enough to smooth
    title = f"{x.title} and {y.title}"
    return draw_points(title=title, x=x, y=y, points=_thin_marks(points), landscape=is_dense)


def _separate(places: Sequence[tuple[float, ...]], scales: Sequence[Scale]) -> list[tuple[float, ...]]:
    """Points at the same place beside each other, where an axis of texts leaves room."""
    totals, seen = Counter(places), Counter[tuple[float, ...]]()
    moved = []
    for place in places:
        share = (seen[place] + 0.5) / totals[place] - 0.5
        seen[place] += 1
        index = next((index for index, scale in enumerate(scales) if scale.texts), None)
        moved.append(tuple(value + 0.6 * share * (i == index) for i, value in enumerate(place)))
    return moved


def _draw_front(picture: Picture) -> str:
    """The first two objectives of every setting, the Pareto front as a line."""
    scales = []
    for index, objective in enumerate(picture.sweep.objectives[:2]):
        limits = find_limits([setting.means[index] for setting in picture.settings])
        scales.append(Scale(objective.column, limits=limits))
    points = []
    for setting in picture.settings:
        if not all(map(math.isfinite, setting.means)):
            continue
        x, y = (min(s.limits[1], max(s.limits[0], m)) for s, m in zip(scales, setting.means, strict=False) if s.limits)
        label = f"{', '.join(map(write_score, setting.means))}  {describe_setting(setting.row.setting)}"
        points.append(Mark(label, [x], [y], 1.0 if setting.is_in_front else None, is_best=setting.is_in_front))
    best = sorted((mark.x[0], mark.y[0]) for mark in points if mark.is_best)
    line = Mark("Pareto front", [x for x, _ in best], [y for _, y in best], 1.0)
    lines = [line] if len(best) > 1 and len(picture.sweep.objectives) == 2 else []  # noqa: PLR2004 - a line in a plane
    return draw_points(title="", x=scales[0], y=scales[1], points=_thin_marks(points), line=lines)
