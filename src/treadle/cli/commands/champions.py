"""Verbs about the champion: whether a run may become it, promotion, the way back, and the history."""

from __future__ import annotations

import argparse
import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb
from treadle.printable import escape_lines

if TYPE_CHECKING:
    from treadle.champions.ledger import Decision, History
    from treadle.gate.decide import Verdict

_SHOWN = 12  # characters of a digest


def _add_gate(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, nargs="?", metavar="RUN", help="a run's folder (default: artifacts)")
    text = "what it is compared with: champion, NAME@champion, a run or bundle, wandb:ARTIFACT, or a git revision (DVC)"
    parser.add_argument("--champion", default="champion", metavar="REF", help=text)
    parser.add_argument("--format", choices=["text", "json"], default="text", help="how to print it")


def _gate(options: argparse.Namespace) -> int:
    from treadle.gate.decide import ask_gate

    verdict = ask_gate(options.run_folder or Path("artifacts"), champion=options.champion, root=Path.cwd())
    if options.format == "json":
        print_lines(json.dumps(verdict.to_plain(), indent=2))
    else:
        _print_verdict(verdict)
    return 0 if verdict.promotes else 1


def _print_verdict(verdict: Verdict) -> None:
    for finding in verdict.challenger.findings:
        outcome = finding.outcome
        state = outcome.state if outcome.state != "fail" else f"fail: {finding.severity}"
        print_lines(f"{state:<15} {finding.code}: {outcome.sentence}")
    print_lines(verdict.sentence)


def _add_promote(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder")
    why = parser.add_mutually_exclusive_group()
    why.add_argument("--reason", metavar="TEXT", help="why, where the gate agrees; it is recorded")
    text = "promote it although the gate refuses; the reason is recorded"
    why.add_argument("--override", metavar="REASON", help=text)


def _promote(options: argparse.Namespace) -> int:
    from treadle.champions.ledger import read_history
    from treadle.errors import TreadleError
    from treadle.gate.decide import ask_gate
    from treadle.gate.promote import promote
    from treadle.pipeline.provenance import describe_git

    if options.override is not None and not options.override.strip():
        raise TreadleError("--override needs a written reason, which is recorded")
    root = Path.cwd()
    verdict = ask_gate(options.run_folder, champion="champion", root=root)
    _print_verdict(verdict)
    is_champion = verdict.champion is not None and verdict.champion.bundle == verdict.challenger.bundle
    if is_champion and options.override is None:
        print_announcement(read_history(verdict.challenger.experiment.name, root=root))
        return 1
    if not verdict.promotes and options.override is None:
        print_lines("nothing was recorded; --override REASON promotes it nevertheless")
        return 1
    reason = options.override or options.reason
    history = promote(verdict, reason=reason, git=describe_git(root), now=datetime.now(tz=UTC), root=root)
    _print_champion(history)
    return 0


def _add_rollback(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model: of models/MODEL.jsonl")
    parser.add_argument("--reason", metavar="TEXT", help="why; it is recorded")


def _rollback(options: argparse.Namespace) -> None:
    from treadle.gate.promote import roll_back
    from treadle.pipeline.provenance import describe_git

    root = Path.cwd()
    now = datetime.now(tz=UTC)
    _print_champion(roll_back(options.model, reason=options.reason, git=describe_git(root), now=now, root=root))


def _print_champion(history: History) -> None:
    last = history.decisions[-1]
    print_lines(f"champion of {history.name}: {last.run} (bundle {last.bundle[:_SHOWN]})")
    print_lines(f"recorded in {history.path.relative_to(Path.cwd())}; commit it")
    print_announcement(history)


def print_announcement(history: History) -> None:
    """Tell the registry of W&B who is champion, where the experiment names one, and say so."""
    from treadle.gate.announce import announce

    if (collection := announce(history, root=Path.cwd())) is not None:
        print_lines(f"W&B: champion of {collection}")


def _add_log(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="MODEL", help="name of the model: of models/MODEL.jsonl")
    parser.add_argument("--format", choices=["text", "json"], default="text", help="how to print it")


def _log(options: argparse.Namespace) -> None:
    from dataclasses import asdict

    from treadle.champions.ledger import read_history
    from treadle.errors import TreadleError

    history = read_history(options.model, root=Path.cwd())
    if not history.decisions:
        raise TreadleError(f"nothing was decided about {options.model!r}; `treadle promote RUN` begins its ledger")
    if history.torn:
        sys.stderr.write(escape_lines(f"{history.path}: the last line is cut short and counts for nothing") + "\n")
    if options.format == "json":
        print_lines(json.dumps([asdict(decision) for decision in history.decisions], indent=2))
        return
    for decision in reversed(history.decisions):
        print_lines(_describe(decision))


def _describe(decision: Decision) -> str:
    head = f"{decision.time}  {decision.action:<8}  {decision.bundle[:_SHOWN]}  {decision.run}  {decision.who}"
    why = [str(decision.evidence.get("sentence", "")), f"reason: {decision.reason}" if decision.reason else ""]
    return "\n".join([head, *(f"  {line}" for line in why if line)])


VERBS = (
    Verb("gate", "Say whether a run may become champion; exit code 1 where it may not.", _add_gate, _gate),
    Verb("promote", "Make a run champion if the gate agrees, and record it in models/.", _add_promote, _promote),
    Verb("rollback", "Make the champion before the present one champion again.", _add_rollback, _rollback),
    Verb("log", "Show the history of a model's champions.", _add_log, _log),
)
