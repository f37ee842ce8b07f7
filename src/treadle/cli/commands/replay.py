"""The verb that asks the past how often a model should be trained again."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.selected import without_collector
from treadle.cli.verb import Verb, add_overrides
from treadle.printable import escape_lines

if TYPE_CHECKING:
    from treadle.sweeps.ledger import Trial
    from treadle.sweeps.plan import Plan


def _add_replay(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    help_text = "print which models would be trained, and stop"
    parser.add_argument("--why", action="store_true", help=help_text)
    parser.add_argument("--format", choices=["text", "json"], default="text", help="how to print the answer")


def _replay(options: argparse.Namespace) -> None:
    from treadle.config.locations import show_path
    from treadle.console import Console
    from treadle.disk import write_json
    from treadle.replay.page import write_page
    from treadle.replay.replay import declare, make
    from treadle.replay.views import print_answer

    with without_collector():
        declared = declare(options.overrides, root=Path.cwd(), notify=_tell)
    plan = declared.plan
    _tell(f"{declared.sweep.name}: {len(plan.origins)} models, {plan.num_blocks} blocks of {plan.step}")
    if options.why:
        print_lines(*(f"{plan.starts[o.block]:%Y-%m-%d}  {plan.describe_rows(o)}" for o in plan.origins))
        return
    answer = make(declared, tell=_tell_trial, notify=_tell)
    page = declared.folder / "report.html"
    write_page(answer, page, name=declared.sweep.name)
    write_json(declared.folder / "answer.json", answer.to_plain())
    if options.format == "json":
        print_lines(json.dumps(answer.to_plain(), indent=2))
    else:
        print_answer(answer, Console(width=160))
        print_lines(f"page     {show_path(page, Path.cwd())}")


def _tell(line: str) -> None:
    """Progress, apart from the answer, which a program may read."""
    sys.stderr.write(escape_lines(line) + "\n")


def _tell_trial(plan: Plan, trial: Trial) -> None:
    from treadle.replay.views import describe_trial

    if trial.has_ended:
        _tell(describe_trial(plan, trial))


VERBS = (Verb("replay", "Find out from the past how often to train again, by which trigger.", _add_replay, _replay),)
