"""Verbs of sweeps: many runs of one experiment."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.selected import find_own_packages, read_selected, require_seen
from treadle.cli.verb import Verb

if TYPE_CHECKING:
    from treadle.sweeps.answer import Row
    from treadle.sweeps.ledger import Ledger, Trial
    from treadle.sweeps.sweep import Sweep

FAILED = 1  # exit code: some trials have no result


def run_many(overrides: Sequence[str], *, evaluate: str | None) -> int:
    """Run or resume the sweep that overrides declare; 1 where a trial failed.

    Args:
        overrides: in Hydra's grammar, sweeps included.
        evaluate: which runs are evaluated on the test split at the end: `best`, `all`, or None.
    """
    from treadle.sweeps.declare import declare

    return _drive(declare(overrides, root=Path.cwd()), retry=False, evaluate=evaluate)


def plan_many(overrides: Sequence[str]) -> None:
    """Print what each trial of a sweep would run, as if it ran alone; of a search the trials are not known before."""
    from treadle.pipeline import plan_runs
    from treadle.sweeps.declare import declare
    from treadle.sweeps.views import describe_setting

    sweep = declare(overrides, root=Path.cwd())
    print_lines(_summarize(sweep))
    if not sweep.is_grid:
        print_lines(f"{sweep.settings.sampler} suggests each setting from the results of those before: none is known")
        return
    trials = [(setting, each) for setting in sweep.list_grid() for each in sweep.list_replicates(sweep.seeds)]
    frozen = (sweep.space.freeze(each.add_to(setting), seed=each.seed) for setting, each in trials)
    for (setting, replicate), stages in zip(trials, plan_runs(frozen, root=Path.cwd(), upto="train"), strict=True):
        runs = ", ".join(stage.stage for stage in stages if stage.state == "would run")
        print_lines(
            f"{describe_setting(setting)} {replicate}: {f'would run {runs}' if runs else 'nothing to run'}".lstrip()
        )


def define_for_wandb(overrides: Sequence[str], *, evaluate: str | None, file: Path) -> None:
    """Write a sweep as a definition for W&B's agents, and say how it is started.

    Args:
        overrides: in Hydra's grammar, sweeps included.
        evaluate: `all`: each run is evaluated on the test split, too; None: none is.
        file: to write.

    Raises:
        TreadleError: the best run is to be evaluated, which no agent knows.
    """
    from treadle.errors import TreadleError
    from treadle.sweeps.declare import declare
    from treadle.sweeps.wandb_definition import write_definition

    if evaluate == "best":
        raise TreadleError("--evaluate best: an agent of W&B does not know which run is; evaluate it by its overrides")
    sweep = declare(overrides, root=Path.cwd())
    write_definition(sweep, file, verb="run" if evaluate == "all" else "train")
    print_lines(f"wrote    {file}", f"next     wandb sweep {file}")


def check_many(overrides: Sequence[str], *, selection: Path | None) -> str:
    """Check every trial of a sweep, and run none; gives a line about it.

    Args:
        overrides: in Hydra's grammar, sweeps included.
        selection: a params.yaml, which they come on top of.
    """
    from treadle.sweeps.declare import declare

    selected = read_selected(selection)
    sweep = declare([*selected, *overrides], root=Path.cwd(), places=selected)
    for corner in sweep.space.list_corners() if selection is not None else ():
        require_seen(sweep.space.check(corner, seed=sweep.seeds[0]), selection=selection)
    return f"{sweep.name}: OK, {_summarize(sweep)}"


def _summarize(sweep: Sweep) -> str:
    settings, seeds = _count(sweep.count_settings(), "setting"), _count(len(sweep.seeds), "seed")
    folds = f" on {_count(len(sweep.folds), 'fold')}" if sweep.folds else ""
    return f"{settings} by {sweep.settings.sampler}, {seeds} each{folds}"


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _add_resume(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("sweep", type=Path, metavar="SWEEP", help="folder of a sweep, under sweeps/")
    parser.add_argument("--retry", action="store_true", help="run failed trials again, too")


def _resume(options: argparse.Namespace) -> int:
    sweep = _read(options.sweep)
    find_own_packages(sweep.root)
    return _drive(sweep, retry=options.retry, evaluate=None)


def _read(folder: Path) -> Sweep:
    """A sweep of this project or of another."""
    from treadle.sweeps.declaration import read

    return read(folder.resolve(), root=folder.resolve().parent.parent)


def _drive(sweep: Sweep, *, retry: bool, evaluate: str | None) -> int:
    from treadle.config.locations import show_path
    from treadle.console import Console
    from treadle.sweeps.drive import run_sweep
    from treadle.sweeps.ledger import BAD
    from treadle.sweeps.views import Progress, print_answer

    console = Console(width=160)
    print_lines(f"sweep    {show_path(sweep.folder, Path.cwd())}")
    with Progress(sweep, console) as progress:
        drive = run_sweep(sweep, root=sweep.root, tell=progress.update, retry=retry)
    if drive.stops:
        raise KeyboardInterrupt
    rows = drive.plan.rank()
    print_answer(sweep, drive.ledger, rows, console)
    if sweep.folds and rows:
        _pool_folds(sweep, drive.ledger, rows[0])
    for row in rows[: 1 if evaluate == "best" else None] if evaluate is not None else ():
        for number in row.trials:
            _evaluate(sweep, drive.ledger.trials[number])
    return FAILED if any(trial.state in BAD for trial in drive.ledger.trials.values()) else 0


def _pool_folds(sweep: Sweep, ledger: Ledger, best: Row) -> None:
    from treadle.config.locations import show_path
    from treadle.sweeps.out_of_fold import FOLDER, write_out_of_fold

    pooled = write_out_of_fold(sweep, ledger, best)
    print_lines(f"pooled   {pooled.describe()}\n         {show_path(sweep.folder / FOLDER, Path.cwd())}")


def _evaluate(sweep: Sweep, trial: Trial) -> None:
    from treadle.config.locations import show_path
    from treadle.pipeline import run

    resolved = sweep.space.freeze(trial.replicate.add_to(trial.setting), seed=trial.seed)
    current = run(resolved, root=sweep.root, upto="evaluate", notify=lambda _: None)
    print_lines(f"evaluated {show_path(current.folder.path, Path.cwd())}")


def show_sweep(folder: Path, *, page: Path | None, num_recorded: int) -> None:
    """Print the answer of a sweep as far as it is known, be it running or finished.

    Args:
        folder: of the sweep.
        page: where its page is written.
        num_recorded: how many settings, the best first, become experiments of DVC by the first of their runs.
    """
    from treadle.console import Console
    from treadle.sweeps.answer import rank
    from treadle.sweeps.ledger import Ledger
    from treadle.sweeps.out_of_fold import read_out_of_fold
    from treadle.sweeps.views import print_answer

    sweep = _read(folder)
    ledger = Ledger(sweep.folder, is_driven=False)
    rows = rank(list(ledger.trials.values()), higher_is_better=sweep.objectives[0].higher_is_better)
    print_answer(sweep, ledger, rows, Console(width=160))
    if (pooled := read_out_of_fold(sweep, rows)) is not None:
        print_lines(f"pooled   {pooled.describe()}")
    if page is not None:
        from treadle.sweeps.page import write_page

        write_page(sweep, ledger, page, root=sweep.root)
        print_lines(f"page     {page}")
    for row in rows[:num_recorded]:
        _record(ledger.trials[row.trials[0]].run, root=sweep.root)


def _record(run: str, *, root: Path) -> None:
    """Record a run of a sweep as an experiment of DVC, under its own name."""
    from treadle.errors import TreadleError
    from treadle.experiment.run_folder import RUNS
    from treadle.runs.dvc_experiments import is_recorded, record

    if is_recorded(run, root=root):
        print_lines(f"recorded {run}, before")
    elif record(root / RUNS / run, name=run, root=root):
        print_lines(f"recorded {run} as an experiment of DVC: `dvc exp show`")
    else:
        raise TreadleError(f"{root} has no commit with dvc.yaml and params.yaml, below which DVC keeps experiments")


def _add_adopt(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run", type=Path, metavar="RUN", help="a run's folder")
    parser.add_argument(
        "--as", dest="name", required=True, metavar="NAME", help="of the experiment, in conf/experiment"
    )


def _adopt(options: argparse.Namespace) -> None:
    from treadle.runs.adopt import adopt
    from treadle.runs.dvc_experiments import record, require_free

    root = Path.cwd()
    require_free(options.name, root=root)
    for file in adopt(options.run, name=options.name, root=root):
        print_lines(f"wrote    {file.relative_to(root)}")
    if record(options.run, name=options.name, root=root):
        print_lines(f"recorded {options.name} as an experiment of DVC: `dvc exp show`")


VERBS = (
    Verb("resume", "Resume a sweep that was interrupted; what is done is not repeated.", _add_resume, _resume),
    Verb("adopt", "Make the choices of a run an experiment of conf/, and select it for DVC.", _add_adopt, _adopt),
)
