"""Verbs that read finished runs."""

from __future__ import annotations

import argparse
from pathlib import Path

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb


def _add_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "runs", nargs="*", type=Path, metavar="RUN", help="run folders, or one sweep (default: all under runs/)"
    )
    parser.add_argument("--html", type=Path, metavar="FILE", help="write one self-contained page with curves")
    parser.add_argument(
        "--to-dvc", type=_count, metavar="N", help="record the best N settings of a sweep as experiments of DVC"
    )


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"a whole number from 1 on, found {text!r}")
    return int(text)


def _compare(options: argparse.Namespace) -> None:
    from treadle.console import Console
    from treadle.errors import TreadleError
    from treadle.experiment.run_folder import RUNS
    from treadle.runs import comparison_views as views
    from treadle.runs.compare import compare_runs
    from treadle.runs.read import find_runs, read_run
    from treadle.sweeps import FILE

    if len(options.runs) == 1 and (options.runs[0] / FILE).is_file():
        from treadle.cli.commands.sweeps import show_sweep

        show_sweep(options.runs[0], page=options.html, num_recorded=options.to_dvc or 0)
        return
    if options.to_dvc is not None:
        raise TreadleError("--to-dvc records the best settings of a sweep; give one sweep, or `treadle adopt` a run")
    folders = find_runs(options.runs or [Path(RUNS)])
    if not folders:
        raise TreadleError("no finished run found; `treadle run` makes one")
    comparison = compare_runs([read_run(folder) for folder in folders])
    views.print_comparison(comparison, Console(width=160))
    if options.html is not None:
        views.write_page(comparison, options.html)
        print_lines(f"page     {options.html}")


def _add_diff(parser: argparse.ArgumentParser) -> None:
    side = "a selection ('model=mlp seed=1'), a params.yaml, a run's folder, a resolved.yaml, a git revision"
    parser.add_argument("before", metavar="A", help=side)
    parser.add_argument("after", metavar="B", nargs="?", help="likewise; without it: the selection of params.yaml")


def _diff(options: argparse.Namespace) -> None:
    from treadle.config.selection import FILE
    from treadle.console import Console
    from treadle.runs import diff

    root = Path.cwd()
    default = FILE if (root / FILE).is_file() else ""
    sides = (options.before, default if options.after is None else options.after)
    before, after = (diff.read_side(text, root=root) for text in sides)
    diff.print_difference(before, after, Console(width=120))


def _add_verify(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("runs", nargs="*", type=Path, metavar="RUN", help="run folders (default: all, and the cache)")


def _verify(options: argparse.Namespace) -> int:
    from treadle.pipeline import verify

    findings = list(verify(options.runs, root=Path.cwd()))
    for finding in findings:
        print_lines("\n".join([f"{finding.state:<10} {finding.where}", *(f"  {detail}" for detail in finding.details)]))
    return int(any(finding.state == "damaged" for finding in findings))


VERBS = (
    Verb("compare", "Compare the metrics and the configurations of finished runs.", _add_compare, _compare),
    Verb("diff", "Show how two selections, runs or revisions differ, and which stages run again.", _add_diff, _diff),
    Verb("verify", "Check every stored result for damage; exit code 1 where one is damaged.", _add_verify, _verify),
)
