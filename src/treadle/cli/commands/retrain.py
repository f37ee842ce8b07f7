"""Verbs that train a champion again when its rules say so: now, and as it would have been."""

from __future__ import annotations

import argparse
import json
import sys
from contextlib import redirect_stdout
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.selected import without_collector
from treadle.cli.verb import Verb, add_overrides
from treadle.printable import escape_lines

if TYPE_CHECKING:
    from treadle.retraining.simulation import Clock

SHORTEST = timedelta(days=1)  # between two decisions
STUCK = 1  # exit code: a person has to decide


def _add_retrain(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    parser.add_argument("--dry-run", action="store_true", help="say what would be done, and why, and do nothing")
    now = "decide as of this moment: later rows are not looked at [UTC] (default: now)"
    parser.add_argument("--now", metavar="MOMENT", help=now)
    parser.add_argument("--format", choices=["text", "json"], default="text", help="how to print the decision")


def _retrain(options: argparse.Namespace) -> int:
    from treadle.retraining.ledger import locate, read_decisions
    from treadle.retraining.retrain import declare, retrain

    root, now = Path.cwd(), _read_now(options.now)
    with without_collector():
        taken = not options.dry_run
        occasion = declare(options.overrides, now=now, root=root, is_one_of_many=False, takes_version=taken)
    with redirect_stdout(sys.stderr):  # what a training prints is progress, too
        decided = retrain(occasion, dry=options.dry_run, notify=_tell)
    if decided is None:
        before = read_decisions(occasion.name, root=root).items
        return STUCK if before and before[-1].action == "stuck" else 0
    if options.format == "json":
        print_lines(json.dumps(asdict(decided), indent=2))
    else:
        print_lines(f"{'would be: ' if options.dry_run else ''}{decided.describe()}")
        if not options.dry_run:
            print_lines(f"recorded in {locate(occasion.name, root=root).relative_to(root)}; commit it")
    return STUCK if decided.action == "stuck" else 0


def _add_simulate(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    parser.add_argument("--from", dest="first", required=True, metavar="MOMENT", help="the first decision [UTC]")
    parser.add_argument("--to", dest="last", required=True, metavar="MOMENT", help="the end [UTC]")
    every = "time from one decision to the next (default: 1w)"
    parser.add_argument("--every", default="1w", metavar="DURATION", help=every)


def _simulate(options: argparse.Namespace) -> None:
    from treadle.disk import write_json
    from treadle.retraining.page import summarize, write_page
    from treadle.retraining.simulation import find_folder, simulate

    root = Path.cwd()
    with redirect_stdout(sys.stderr):
        found = simulate(options.overrides, clock=_read_clock(options), root=root, notify=_tell)
    folder = find_folder(found.experiment.name, root=root)
    write_json(folder / "history.json", [tick.to_plain() for tick in found.ticks])
    write_page(found.ticks, folder / "report.html", experiment=found.experiment)
    print_lines(summarize(found.ticks), f"page     {(folder / 'report.html').relative_to(root)}")


def _read_clock(options: argparse.Namespace) -> Clock:
    from treadle.errors import TreadleError
    from treadle.experiment.durations import parse_duration
    from treadle.retraining.simulation import Clock

    first, last = _read_moment("--from", options.first), _read_moment("--to", options.last)
    try:
        every = parse_duration(options.every)
    except ValueError as error:
        raise TreadleError(f"--every {options.every!r}: {error}") from error
    if first >= last:
        raise TreadleError(f"--from {options.first} must be before --to {options.last}")
    if every < SHORTEST:
        raise TreadleError(f"--every {options.every}: labels are counted by whole days, so that it is 1d or more")
    return Clock(first, last, every)


def _read_now(text: str | None) -> datetime:
    return datetime.now(tz=UTC).replace(tzinfo=None) if text is None else _read_moment("--now", text)


def _read_moment(option: str, text: str) -> datetime:
    from treadle.errors import TreadleError
    from treadle.experiment.durations import parse_moment

    try:
        return parse_moment(text)
    except ValueError as error:
        raise TreadleError(f"{option} {text!r}: {error}") from error


def _tell(line: str) -> None:
    """Progress, apart from the decision, which a program may read."""
    sys.stderr.write(escape_lines(line) + "\n")


VERBS = (
    Verb(
        "retrain",
        "Train a new champion if the rules say so and the gate agrees; exit code 1 where a person has to decide.",
        _add_retrain,
        _retrain,
    ),
    Verb(
        "simulate", "Retrain by the rules over a stretch of the past, by a simulated clock.", _add_simulate, _simulate
    ),
)
