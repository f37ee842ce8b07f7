"""Verbs of sweeps: many runs of one experiment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb

if TYPE_CHECKING:
    from treadle.sweeps.declare import Sweep
    from treadle.sweeps.ledger import Trial

FAILED = 1  # exit code: some trials have no result


def run_many(overrides: Sequence[str], *, evaluate: str | None) -> int:
    """Run or resume the sweep that overrides declare; 1 where a trial failed.

    Args:
        overrides: in Hydra's grammar, sweeps included.
        evaluate: which runs are evaluated on the test split at the end: `best`, `all`, or None.
    """
    from treadle.sweeps.declare import declare

    return _drive(declare(overrides, root=Path.cwd()), retry=False, evaluate=evaluate)


def check_many(overrides: Sequence[str]) -> None:
    """Check every trial of a sweep, and run none."""
    from treadle.sweeps.declare import declare

    sweep = declare(overrides, root=Path.cwd())
    settings = len(list(sweep.space.list_grid())) if sweep.is_grid else sweep.max_settings
    print_lines(f"{sweep.name}: OK, {settings} settings by {sweep.settings.sampler}, {len(sweep.seeds)} seeds each")


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="folder of a sweep, under sweeps/")
    parser.add_argument("--retry", action="store_true", help="run failed trials again, too")


def _resume(options: argparse.Namespace) -> int:
    from treadle.sweeps.declare import read

    return _drive(read(options.sweep.resolve(), root=Path.cwd()), retry=options.retry, evaluate=None)


def _drive(sweep: Sweep, *, retry: bool, evaluate: str | None) -> int:
    from treadle.console import Console
    from treadle.sweeps.drive import run_sweep
    from treadle.sweeps.ledger import BAD
    from treadle.sweeps.views import Progress, print_answer

    console = Console(width=160)
    print_lines(f"sweep    {sweep.folder.relative_to(Path.cwd())}")
    with Progress(sweep, console) as progress:
        drive = run_sweep(sweep, root=Path.cwd(), tell=progress.update, retry=retry)
    if drive.stops:
        raise KeyboardInterrupt
    rows = drive.rank()
    print_answer(sweep, drive.ledger, rows, console)
    for row in rows[: 1 if evaluate == "best" else None] if evaluate is not None else ():
        for number in row.trials:
            _evaluate(sweep, drive.ledger.trials[number])
    return FAILED if any(trial.state in BAD for trial in drive.ledger.trials.values()) else 0


def _evaluate(sweep: Sweep, trial: Trial) -> None:
    from treadle.pipeline import run

    resolved = sweep.space.freeze(trial.setting, seed=trial.seed)
    current = run(resolved, root=Path.cwd(), upto="evaluate", notify=lambda _: None)
    print_lines(f"evaluated {current.folder.path.relative_to(Path.cwd())}")


def show_sweep(folder: Path, *, page: Path | None) -> None:
    """Print the answer of a sweep as far as it is known, be it running or finished, and write its page."""
    from treadle.console import Console
    from treadle.sweeps.answer import rank
    from treadle.sweeps.declare import read
    from treadle.sweeps.ledger import Ledger
    from treadle.sweeps.views import print_answer

    sweep = read(folder.resolve(), root=Path.cwd())
    ledger = Ledger(sweep.folder, is_driven=False)
    rows = rank(list(ledger.trials.values()), higher_is_better=sweep.objectives[0].higher_is_better)
    print_answer(sweep, ledger, rows, Console(width=160))
    if page is not None:
        from treadle.sweeps.page import write_page

        write_page(sweep, ledger, page, root=Path.cwd())
        print_lines(f"page     {page}")


def _add_adopt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument(
        "--as", dest="name", required=True, metavar="NAME", help="of the experiment, in conf/experiment"
    )


def _adopt(options: argparse.Namespace) -> None:
    from treadle.runs.adopt import adopt

    for file in adopt(options.run, name=options.name, root=Path.cwd()):
        print_lines(f"wrote    {file.relative_to(Path.cwd())}")


VERBS = (
    Verb("resume", "Resume a sweep that was interrupted; what is done is not repeated.", _add_resume, _resume),
    Verb("adopt", "Make the choices of a run an experiment of conf/, and select it for DVC.", _add_adopt, _adopt),
)
