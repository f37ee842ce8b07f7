"""A replay in words and tables."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from treadle.config.locations import show_path
from treadle.evaluation.intervals import Estimate
from treadle.evaluation.resampling import ROW
from treadle.metrics.registry import write_score
from treadle.pages.render import write_within
from treadle.replay.answer import CAVEAT, Answer, Outcome
from treadle.sweeps.ledger import Trial
from treadle.sweeps.plan import Plan
from treadle.wording import number_of


def describe_trial(plan: Plan, trial: Trial) -> str:
    """A line for a model whose training has ended."""
    text = next(iter(trial.setting.values()))
    moments = [part.split(":", 1)[1].strip("'")[:10] for part in text.strip("{}").split(",") if "_from:" in part]
    since = f", on rows from {moments[2]} on" if len(moments) > 2 else ""  # noqa: PLR2004 - valid, test and train
    state = "reused" if trial.is_reused else trial.state
    seconds = f" in {trial.seconds:.0f} s" if trial.seconds else ""
    log = plan.sweep.get_trial_folder(trial.number) / "log.txt"
    error = f": {trial.error}; see {show_path(log, Path.cwd())}" if trial.error else ""
    return f"model {trial.number}/{len(plan.ledger.trials)}  trained as of {moments[1]}{since}: {state}{seconds}{error}"


def print_answer(answer: Answer, console: Console) -> None:
    """Both tables, and the recommendation."""
    console.print(_draw_ageing(answer))
    console.print()
    console.print(_draw_policies(answer))
    console.print()
    for line in summarize(answer):
        console.print(line, markup=False, soft_wrap=True)


def _draw_ageing(answer: Answer) -> Table:
    table = Table(box=None, pad_edge=False)
    for title in ("age", escape(answer.metric.title), "worse than new", "blocks"):
        table.add_column(title, no_wrap=True, justify="right" if title != "age" else "left")
    for each in answer.ageing:
        age = answer.plan.step.describe(each.age)
        table.add_row(age, write_score(each.value), write_estimate(each.loss), str(each.num_blocks))
    return table


def _draw_policies(answer: Answer) -> Table:
    table = Table(box=None, pad_edge=False)
    titles = ["policy", answer.metric.title, "gain over never", "behind the best", "trainings", "rows trained on"]
    for title in [*titles, *(["cost"] if has_money(answer) else [])]:
        table.add_column(escape(title), no_wrap=True, justify="left" if title == "policy" else "right")
    for outcome in answer.outcomes:
        cells = [
            escape(outcome.name),
            write_score(outcome.value),
            write_estimate(outcome.gain),
            "" if outcome.name == answer.best else write_estimate(outcome.behind),
            str(outcome.num_trainings),
            f"{outcome.num_rows:,}",
        ]
        style = "bold" if outcome.name == answer.recommended else None
        table.add_row(*cells, *([f"{outcome.money.total:,.2f}"] if has_money(answer) else []), style=style)
    return table


def has_money(answer: Answer) -> bool:
    """Whether anything costs something."""
    return any(outcome.money.total for outcome in answer.outcomes)


def write_estimate(found: Estimate | None) -> str:
    """The value with its interval, in as many decimals as that knows; a dash where there is none."""
    if found is None:
        return "-"
    value, low, high = (write_within(number, found) for number in (found.value, found.low, found.high))
    return f"{value} ({low} to {high})"


def summarize(answer: Answer) -> Iterator[str]:
    """The recommendation, how sure it is, and of what it says nothing."""
    yield recommend(answer)
    unit = "rows" if answer.blocks.unit == ROW else f"blocks of rows by {answer.blocks.unit}"
    starts = answer.plan.starts
    yield (
        f"{answer.num_rows:,} rows from {starts[0]:%Y-%m-%d} to {starts[-1]:%Y-%m-%d}, {answer.plan.num_blocks} blocks "
        f"of {answer.plan.step}; {answer.coverage:.0%} intervals by a bootstrap over {answer.blocks.count:,} {unit}"
    )
    if answer.plan.left_out is not None:
        yield f"left out: {answer.plan.left_out}"
    yield CAVEAT


def recommend(answer: Answer) -> str:
    """Which policy, and why."""
    chosen, best = answer.find(answer.recommended), answer.find(answer.best)
    if chosen is best:
        why = f"it has the best {_name_criterion(answer)}, and none with fewer trainings is within noise of it"
        return f"recommended: {chosen.name}: {why}"
    return (
        f"recommended: {chosen.name}: {_count(chosen)} instead of {best.num_trainings} of {best.name}, which is best "
        f"by {_name_criterion(answer)}; the difference is within noise: {write_estimate(chosen.behind)}"
    )


def _name_criterion(answer: Answer) -> str:
    return "cost" if answer.is_by_money else answer.metric.title


def _count(outcome: Outcome) -> str:
    return number_of(outcome.num_trainings, "training")
