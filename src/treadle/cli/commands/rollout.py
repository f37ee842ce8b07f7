"""The verb about a challenger in use: name it, see how it does, make it champion, or end it."""

from __future__ import annotations

import argparse
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.commands.champions import print_announcement
from treadle.cli.output import print_lines
from treadle.cli.verb import Verb

if TYPE_CHECKING:
    from treadle.champions.ledger import History
    from treadle.rollout.trial import Trial

_SHOWN = 12  # characters of a digest
_LAST = 10  # days that are listed


def _add_rollout(parser: argparse.ArgumentParser) -> None:
    what = "name a run the challenger; say how it does; make it champion if it is better; end it"
    parser.add_argument("action", choices=list(_ACTIONS), help=what)
    parser.add_argument("run_folder", type=Path, nargs="?", metavar="RUN", help="with start: the challenger's folder")
    parser.add_argument("--log", type=Path, metavar="PATH", help="with status and promote: folder of serving.log")
    parser.add_argument("--model", metavar="NAME", help="of models/NAME.jsonl, where there are several")
    alpha = "chance of a false verdict, over all days on which one looks (default: 0.05)"
    parser.add_argument("--alpha", type=float, default=0.05, metavar="SHARE", help=alpha)
    labels = "share of a day's labels that must be there for it to count (default: 0.95)"
    parser.add_argument("--min-labels", type=float, default=0.95, metavar="SHARE", help=labels)
    by = "evidence of the shadow or of the canary (default: where the challenger answered last)"
    parser.add_argument("--by", choices=["shadow", "canary"], help=by)
    why = parser.add_mutually_exclusive_group()
    override = "with promote: promote it although the evidence does not say so; the reason is recorded"
    why.add_argument("--override", metavar="REASON", help=override)
    why.add_argument("--reason", metavar="TEXT", help="with promote and stop: why; it is recorded")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="how to print a status")


def _rollout(options: argparse.Namespace) -> int:
    _check(options)
    return _ACTIONS[options.action](options)


def _check(options: argparse.Namespace) -> None:
    from treadle.errors import TreadleError

    if (options.run_folder is not None) != (options.action == "start"):
        fix = (
            "name the challenger's run"
            if options.action == "start"
            else "the ledger knows the challenger; leave RUN out"
        )
        raise TreadleError(f"rollout {options.action}: {fix}")
    if options.log is None and options.action in ("status", "promote"):
        raise TreadleError(f"rollout {options.action}: --log names the folder of serving.log, which holds the evidence")
    for name, value in (("--alpha", options.alpha), ("--min-labels", options.min_labels)):
        if not 0 < value <= (0.5 if name == "--alpha" else 1):
            raise TreadleError(f"{name} must be above 0 and at most {0.5 if name == '--alpha' else 1}; found {value:g}")
    if options.override is not None and not options.override.strip():
        raise TreadleError("--override needs a written reason, which is recorded")


def _start(options: argparse.Namespace) -> int:
    from treadle.pipeline.provenance import describe_git
    from treadle.rollout.trial import start

    root = Path.cwd()
    history = start(options.run_folder, git=describe_git(root), now=datetime.now(tz=UTC), root=root)
    _print_last(history)
    return 0


def _judge(options: argparse.Namespace) -> Trial:
    from treadle.rollout.trial import find_model, judge

    root, now = Path.cwd(), datetime.now(tz=UTC).replace(tzinfo=None)
    history = find_model(options.model, root=root)
    alpha, min_share = options.alpha, options.min_labels
    return judge(history, log=options.log, alpha=alpha, min_share=min_share, root=root, kind=options.by, now=now)


def _status(options: argparse.Namespace) -> int:
    trial = _judge(options)
    if options.format == "json":
        print_lines(json.dumps(trial.evidence.to_plain(), indent=2))
    else:
        _print_trial(trial)
    return 0


def _print_trial(trial: Trial) -> None:
    evidence = trial.evidence
    print_lines(f"champion {evidence.champion[:_SHOWN]}  challenger {evidence.challenger[:_SHOWN]}  {evidence.kind}")
    for day in evidence.days[-_LAST:]:
        print_lines(f"{day.day}  {day.num_rows:>9,} rows  {day.gain:+.4g}")
    for note in evidence.notes:
        print_lines(note)
    print_lines(evidence.sentence)


def _promote(options: argparse.Namespace) -> int:
    from treadle.gate.promote import promote
    from treadle.pipeline.provenance import describe_git

    root, trial = Path.cwd(), _judge(options)
    _print_trial(trial)
    print_lines(trial.sentence)
    if not trial.promotes and options.override is None:
        print_lines("nothing was recorded; --override REASON promotes it nevertheless")
        return 1
    reason = options.override or options.reason
    history = promote(trial, reason=reason, git=describe_git(root), now=datetime.now(tz=UTC), root=root)
    _print_last(history)
    print_announcement(history)
    return 0


def _stop(options: argparse.Namespace) -> int:
    from treadle.pipeline.provenance import describe_git
    from treadle.rollout.trial import find_model, stop

    root = Path.cwd()
    history = find_model(options.model, root=root)
    git, now = describe_git(root), datetime.now(tz=UTC)
    _print_last(stop(history, reason=options.reason, git=git, now=now, root=root))
    return 0


def _print_last(history: History) -> None:
    last = history.decisions[-1]
    print_lines(f"{last.action}: {last.evidence['sentence']}")
    print_lines(f"champion of {history.name}: {last.run} (bundle {last.bundle[:_SHOWN]})")
    print_lines(f"recorded in {history.path.relative_to(Path.cwd())}; commit it")


_ACTIONS = {"start": _start, "status": _status, "promote": _promote, "stop": _stop}

VERBS = (Verb("rollout", "Try a challenger in use against the champion, and decide.", _add_rollout, _rollout),)
