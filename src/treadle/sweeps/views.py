"""A sweep on the terminal: a line for each trial that ends, and the answer as a table."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Self

from rich.console import Console, Group
from rich.live import Live
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from treadle.config.locations import show_path
from treadle.metrics.registry import write_score
from treadle.sweeps.answer import Row, Setting, weigh
from treadle.sweeps.importance import describe_importance, measure_importance
from treadle.sweeps.ledger import BAD, Ledger, Trial
from treadle.sweeps.plan import Plan
from treadle.sweeps.sweep import Sweep


def describe_trial(trial: Trial, sweep: Sweep, *, total: int | None) -> str:
    """A line: number, state, score, setting, and of a trial that ended badly the error and the log."""
    of = f"/{total}" if total else ""
    score = write_score(trial.values[0]) if trial.values else ""
    state = "reused" if trial.is_reused else trial.state
    log = sweep.get_trial_folder(trial.number) / "log.txt"
    see = f"; see {show_path(log, Path.cwd())}" if trial.state in BAD and log.exists() else ""
    error = f"  {trial.error}{see}" if trial.error and trial.state != "pruned" else ""
    setting = f"{describe_setting(trial.setting)} {trial.replicate}"
    return f"trial {trial.number}{of:<6} {state:<11} {score:<10} {setting}{error}"


def describe_setting(setting: Mapping[str, str]) -> str:
    """`lr=0.003 width=64`: each key by its last name."""
    return " ".join(f"{key.rpartition('.')[2].lstrip('+')}={shorten_value(text)}" for key, text in setting.items())


def shorten_value(text: str) -> str:
    """A number with four digits; another text as it is."""
    try:
        return f"{float(text):.4g}"
    except ValueError:
        return text


def print_answer(sweep: Sweep, ledger: Ledger, rows: Sequence[Row], console: Console, *, limit: int = 20) -> None:
    """The best settings, and what became of all trials. With several objectives the Pareto front stands first."""
    settings = weigh(rows, ledger.trials, higher_is_better=[each.higher_is_better for each in sweep.objectives])
    settings.sort(key=lambda setting: not setting.is_in_front)  # within: as they are ranked
    console.print(_draw_answer(sweep, settings[:limit]))
    console.print()
    for line in summarize(sweep, ledger, settings):
        console.print(line, markup=False, soft_wrap=True)
    if not sweep.is_grid and sweep.settings.workers != 1:
        console.print("several workers: suggestions depend on which trial ends first; sweep.workers=1 repeats exactly")
    if importance := measure_importance(sweep, list(ledger.trials.values())):
        console.print(
            f"importance (PED-ANOVA): {describe_importance(importance, settings=len(rows))}",
            soft_wrap=True,
            markup=False,
        )


def _draw_answer(sweep: Sweep, settings: Sequence[Setting]) -> Table:
    """A line a setting, with the spread of the first objective."""
    names = [objective.column for objective in sweep.objectives]
    table = Table(box=None, pad_edge=False)
    for title in ("", names[0], "spread", *names[1:], "n", *(axis.key for axis in sweep.space.axes)):
        table.add_column(escape(title), no_wrap=True)
    for place, setting in enumerate(settings, start=1):
        row = setting.row
        spread = "" if row.spread is None else f"±{write_score(row.spread)}"
        first, *others = map(write_score, setting.means)
        values = (escape(shorten_value(row.setting.get(axis.key, "-"))) for axis in sweep.space.axes)
        table.add_row(_mark(setting, place), first, spread, *others, str(len(row.scores)), *values)
    return table


def _mark(setting: Setting, place: int) -> str:
    """Its place; `=` for a tie with the best, `*` on the Pareto front of several objectives."""
    if len(setting.means) > 1:
        return "*" if setting.is_in_front else str(place)
    return "=" if setting.row.is_tied else str(place)


def summarize(sweep: Sweep, ledger: Ledger, settings: Sequence[Setting]) -> list[str]:
    """Counts of states, cost, and which run to take."""
    trials = list(ledger.trials.values())
    counts = Counter("reused" if trial.is_reused else trial.state for trial in trials)
    seconds = sum(trial.seconds for trial in trials)
    lines = [
        f"{len(trials)} trials: {', '.join(f'{n} {state}' for state, n in counts.items())}; {seconds:,.0f} s of work"
    ]
    best = settings[0].row if settings else None
    if best is None:
        return [*lines, "no setting has finished with all its replicates yet: nothing to rank"]
    if best.spread is None and len(settings) > 1:
        lines.append("one run a setting: nothing tells a better setting from a luckier one; add seed=range(5)")
    front = [setting.row for setting in settings if setting.is_in_front]
    if len(sweep.objectives) > 1:
        lines.append(
            f"{len(front)} on the Pareto front: no other setting is as good in all objectives and better in one"
        )
        return [*lines, *(f"front    runs/{ledger.trials[row.trials[0]].run}" for row in front)]
    tied = sum(setting.row.is_tied for setting in settings)
    if tied:
        lines.append(
            f"= {tied} more within the noise of replicates of the best: no order among them is shown by these trials"
        )
    return [*lines, f"best     runs/{ledger.trials[best.trials[0]].run}"]


class Progress:
    """What happens to trials, as it happens: a line for each that ends, and in a terminal a table of those that run."""

    def __init__(self, sweep: Sweep, console: Console) -> None:
        self.sweep = sweep
        self.console = console
        self.live = Live(console=console, refresh_per_second=2, transient=True) if console.is_terminal else None

    def __enter__(self) -> Self:
        if self.live is not None:
            self.live.start()
        return self

    def __exit__(self, *error: object) -> None:
        if self.live is not None:
            self.live.stop()

    def update(self, plan: Plan, trial: Trial) -> None:
        """After a change to one trial."""
        if trial.has_ended or trial.state == "interrupted":
            self.console.print(
                describe_trial(trial, self.sweep, total=plan.count_planned()), soft_wrap=True, markup=False
            )
        if self.live is not None:
            self.live.update(self._draw(plan))

    def _draw(self, plan: Plan) -> Group:
        """The running trials, the best score so far, and the time that is left if trials go on taking as long."""
        objective = self.sweep.objectives[0]
        rows, trials = plan.rank(), list(plan.ledger.trials.values())
        best = f"best {write_score(rows[0].mean)} {describe_setting(rows[0].setting)}" if rows else ""
        done, total = sum(trial.has_ended for trial in trials), plan.count_planned()
        parts = filter(None, (f"{done}/{total} trials", _estimate(plan, done, total), best))
        table = Table(box=None, pad_edge=False)
        for title in ("trial", "epoch", objective.column, "setting"):
            table.add_column(title, no_wrap=True)
        for trial in (trial for trial in trials if trial.state == "running"):
            epoch, value = max(trial.epochs.items(), default=(0, None))
            setting = escape(f"{describe_setting(trial.setting)} {trial.replicate}")
            table.add_row(str(trial.number), str(epoch), write_score(value), setting)
        return Group(Text("  ".join(parts), no_wrap=True, overflow="ellipsis"), table)


def _estimate(plan: Plan, done: int, total: int) -> str:
    """Of what is left, by the mean of what was done in this session."""
    here = done - plan.num_ended_before
    if here < 1:
        return ""
    seconds = (time.monotonic() - plan.start) / here * (total - done)
    return f"about {timedelta(seconds=round(seconds))} left"
