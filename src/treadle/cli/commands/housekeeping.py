"""Verbs that keep house: what there is under runs/ and sweeps/, and removing what nothing needs."""

from __future__ import annotations

import argparse
import json
import math
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb
from treadle.wording import number_of

if TYPE_CHECKING:
    from treadle.pipeline.collect import Item, Plan
    from treadle.pipeline.listing import Listed
    from treadle.sweeps.listing import ListedSweep

_COLUMNS: tuple[tuple[str, Literal["left", "right"]], ...] = (
    ("name", "left"),
    ("state", "left"),
    ("age", "right"),
    ("size", "right"),
    ("valid", "right"),
    ("what differs", "left"),
)
_UNITS = (("d", 86_400), ("h", 3_600), ("min", 60))  # of an age, in seconds


def _add_ls(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--format", choices=["table", "json"], default="table", help="default: table")


def _ls(options: argparse.Namespace) -> None:
    from treadle.pipeline.listing import list_project
    from treadle.sweeps.listing import list_sweeps

    root = Path.cwd()
    sweeps, runs = list_sweeps(root), list_project(root)
    if options.format == "json":
        print_lines(json.dumps([*map(_describe_sweep, sweeps), *map(_describe_run, runs)], indent=2))
    elif sweeps or runs:
        _print_table(sweeps, runs, root)
    else:
        print_lines("nothing here yet; `treadle run` makes runs, `treadle run -m` sweeps")


def _print_table(sweeps: Sequence[ListedSweep], runs: Sequence[Listed], root: Path) -> None:
    from rich.markup import escape
    from rich.table import Table

    from treadle.console import Console
    from treadle.experiment.run_folder import CACHE, RUNS
    from treadle.pipeline.disk_use import measure_all, write_size

    table = Table(box=None, pad_edge=False)
    for title, justify in _COLUMNS:
        is_long = title in {"state", "what differs"}
        table.add_column(title, justify=justify, no_wrap=not is_long, overflow="fold" if is_long else "ellipsis")
    for sweep in sweeps:
        score = _write_score(None if sweep.objective is None else sweep.objective.name, sweep.score)
        cells = (sweep.summary, _write_age(sweep.changed_at), write_size(sweep.size), score, sweep.label)
        table.add_row(*map(escape, (f"sweeps/{sweep.name}", *cells)))
    for run in runs:
        score = _write_score(None if run.monitor is None else run.monitor.name, run.score)
        cells = (run.state, _write_age(run.changed_at), write_size(run.size), score, "  ".join(_list_notes(run)))
        table.add_row(*map(escape, (run.name, *cells)))
    console = Console(width=160)
    console.print(table)
    total = measure_all([root / RUNS])
    shared = total - sum(run.size for run in runs)
    console.print()
    console.print(
        f"{write_size(total)} under {RUNS}/: a run's size is what it alone has, {write_size(shared)} are in "
        f"{CACHE} or in several runs; valid: the monitored metric of the epoch that was kept",
        highlight=False,
    )


def _write_score(name: str | None, score: float | None) -> str:
    from treadle.metrics.registry import write_score

    return "" if name is None or score is None else f"{name} {write_score(score)}"


def _list_notes(run: Listed) -> list[str]:
    """Its marks, and what differs."""
    marks = [f"(adopted as {run.adopted_as})"] if run.adopted_as is not None else []
    marks += [f"(named in models/{run.promoted_in})"] if run.promoted_in is not None else []
    return [*marks, run.label] if run.label else marks


def _describe_run(run: Listed) -> dict[str, object]:
    return {
        "kind": "run",
        "name": run.name,
        "experiment": run.experiment,
        "state": run.state,
        "stages": dict(run.stages),
        "in_use": run.is_held,
        "used_at": _write_moment(run.changed_at),
        "bytes": run.size,
        "monitor": None if run.monitor is None else run.monitor.name,
        "score": run.score,
        "differs": run.label,
        "adopted_as": run.adopted_as,
        "promoted_in": run.promoted_in,
    }


def _describe_sweep(sweep: ListedSweep) -> dict[str, object]:
    return {
        "kind": "sweep",
        "name": sweep.name,
        "state": sweep.state,
        "trials": {"total": sweep.num_trials, **sweep.states},
        "used_at": _write_moment(sweep.changed_at),
        "bytes": sweep.size,
        "monitor": None if sweep.objective is None else sweep.objective.name,
        "score": sweep.score,
        "differs": sweep.label,
    }


def _write_moment(moment: float) -> str:
    return datetime.fromtimestamp(moment, tz=UTC).isoformat(timespec="seconds")


def _write_age(moment: float) -> str:
    age = max(0.0, time.time() - moment)
    return next((f"{math.floor(age / seconds)} {unit}" for unit, seconds in _UNITS if age >= seconds), f"{age:.0f} s")


def _add_gc(parser: argparse.ArgumentParser) -> None:
    help_text = "runs to keep beside those that are needed: best:N of each experiment, newest:N; best:3,newest:10"
    parser.add_argument("--keep", action="append", default=[], metavar="RULES", help=help_text)
    parser.add_argument("--older-than", metavar="AGE", help="remove only what was not used for so long, such as 7d")
    parser.add_argument("--dry-run", action="store_true", help="print what would be removed, and remove nothing")


def _gc(options: argparse.Namespace) -> None:
    from treadle.experiment.run_folder import CACHE
    from treadle.pipeline.collect import parse_keep, plan_removal
    from treadle.pipeline.disk_use import write_size
    from treadle.pipeline.listing import list_project
    from treadle.sweeps.listing import find_needed

    root = Path.cwd()
    keep, older_than = parse_keep(options.keep), _parse_age(options.older_than)
    runs = list_project(root)
    plan = plan_removal(runs, keep, root=root, needed=find_needed(root), older_than=older_than)
    for name, reason in plan.kept.items():
        print_lines(f"kept     runs/{name}: {reason}")
    removed, freed = _remove(plan, root=root, is_dry=options.dry_run)
    num_runs = sum(item.is_run for item in removed)
    outputs = number_of(len(removed) - num_runs, "output")
    print_lines(
        f"{number_of(num_runs, 'run')} and {outputs} in {CACHE}: {write_size(freed)} "
        + ("would be freed; --dry-run removed nothing" if options.dry_run else "freed")
    )


def _remove(plan: Plan, *, root: Path, is_dry: bool) -> tuple[list[Item], int]:
    """Remove what is planned, if it is no dry run, and print it; what went, and the bytes that this freed."""
    from treadle.pipeline.collect import carry_out, measure_plan

    if is_dry:
        print_lines(*(f"removed  {item.path.relative_to(root)}" for item in plan.items))
        return plan.items, measure_plan(plan)
    removed, freed = [], plan.measure_leftovers()
    for item, size in carry_out(plan, root=root):
        path = item.path.relative_to(root)
        if size is None:
            print_lines(f"kept     {path}: in use, or used since")
            continue
        print_lines(f"removed  {path}")
        removed.append(item)
        freed += size
    return removed, freed


def _parse_age(text: str | None) -> timedelta:
    from treadle.errors import TreadleError
    from treadle.experiment.durations import parse_duration

    try:
        return timedelta() if text is None else parse_duration(text)
    except ValueError as error:
        raise TreadleError(f"--older-than: {error}; found {text!r}") from error


VERBS = (
    Verb("ls", "List the runs and sweeps: state, age, size, score, and what differs.", _add_ls, _ls),
    Verb("gc", "Remove the runs and the cached outputs that nothing needs.", _add_gc, _gc),
)
