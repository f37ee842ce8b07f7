"""Verbs that run stages of the pipeline."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.selected import compose_selected, print_model_choice, resolve_selected, without_collector
from treadle.cli.verb import Verb, add_overrides
from treadle.experiment.stages import STAGES

if TYPE_CHECKING:
    from treadle.experiment.resolved import Resolved
    from treadle.pipeline import Run
    from treadle.problems import Place

LAST = STAGES[-1].name


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("-m", "--multirun", action="store_true", help="a sweep: train each combination of values")
    help_text = "of a sweep: also evaluate the best run, or all, on the test split"
    parser.add_argument("--evaluate", choices=["best", "all"], help=help_text)
    help_text = "of a sweep: write it to this file as a sweep of W&B, whose agents train by Treadle, and run nothing"
    parser.add_argument("--to-wandb", type=Path, metavar="FILE", help=help_text)
    help_text = "run again what that run was, with the overrides on top; conf/ is not read, but for options of groups"
    parser.add_argument("--like", type=Path, metavar="RUN", help=help_text)
    _add_overrides(parser)


def _add_overrides(parser: argparse.ArgumentParser) -> None:
    add_overrides(parser)
    parser.add_argument("--cfg", choices=["job"], help="print the composed configuration and stop")
    parser.add_argument("--why", action="store_true", help="print what would run, and why, and stop")


def _run(options: argparse.Namespace) -> int | None:
    _require_fitting(options)
    if options.like is not None:
        _run_like(options)
        return None
    if options.multirun:
        from treadle.cli.commands.sweeps import define_for_wandb, plan_many, run_many

        if options.to_wandb is not None:
            define_for_wandb(options.overrides, evaluate=options.evaluate, file=options.to_wandb)
            return None
        if options.why:
            plan_many(options.overrides)
            return None
        return run_many(options.overrides, evaluate=options.evaluate)
    if not _print_intent(options, upto=LAST):
        _run_upto(LAST, options.overrides)
    return None


def _require_fitting(options: argparse.Namespace) -> None:
    """Refuse options that exclude each other.

    Raises:
        TreadleError: two of them do.
    """
    from treadle.errors import TreadleError

    if options.evaluate is not None and not options.multirun:
        raise TreadleError("--evaluate chooses among the runs of a sweep: add -m; a single run is evaluated anyway")
    if options.to_wandb is not None and not options.multirun:
        raise TreadleError("--to-wandb writes the definition of a sweep: add -m")
    if options.like is not None and options.multirun:
        raise TreadleError("--like runs one experiment, and -m many: give one of them")
    if options.cfg is not None and options.multirun:
        raise TreadleError("--cfg prints one configuration, and -m runs many: give one of them, or -m --why")


def _run_like(options: argparse.Namespace) -> None:
    """Run again what a run was; where a stage runs, print why."""
    from treadle.runs.rerun import read_again

    with without_collector():
        again = read_again(options.like, options.overrides, root=Path.cwd())
    if options.cfg is not None:
        print_lines(again.resolved.dump().rstrip())
        return
    _print_plan(again.resolved, folder=None, upto=LAST, changed_only=not options.why)
    if options.why:
        return
    from treadle.pipeline import run

    with _naming_places(again.composed.locate):
        current = run(again.resolved, root=Path.cwd(), upto=LAST, notify=print_lines, overrides=again.overrides)
    _print_result(current, upto=LAST, overrides=again.overrides or ())


def _add_stage(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--folder", type=Path, help="run this stage alone in that folder, by its resolved.yaml")
    parser.add_argument("--resolved", type=Path, metavar="FILE", help="another resolved.yaml for --folder")
    _add_overrides(parser)


def _run_stage(options: argparse.Namespace) -> None:
    from treadle.errors import TreadleError

    if options.folder is None and options.resolved is not None:
        raise TreadleError(
            f"--resolved names the configuration of a folder: add --folder, such as --folder artifacts; without both, "
            f"`treadle {options.verb}` composes its own configuration, and runs in a folder under runs/"
        )
    if options.folder is not None and options.overrides:
        raise TreadleError("overrides and --folder exclude each other: a folder's resolved.yaml is already composed")
    if _print_intent(options, upto=options.verb):
        return
    if options.folder is None:
        _run_upto(options.verb, options.overrides)
    else:
        _run_alone(options)


def _run_upto(stage: str, overrides: Sequence[str]) -> None:
    """Run a stage after those that it depends on, in a run folder of their own."""
    resolved = resolve_selected(overrides)
    print_model_choice(resolved.experiment)
    from treadle.pipeline import run

    with _naming_places(lambda key: compose_selected(overrides).locate(key)):
        current = run(resolved, root=Path.cwd(), upto=stage, notify=print_lines, overrides=overrides)
    _print_result(current, upto=stage, overrides=overrides)


def _run_alone(options: argparse.Namespace) -> None:
    """Run one stage in a folder, as DVC does."""
    from treadle.config.locations import find_place
    from treadle.experiment.run_folder import RunFolder
    from treadle.pipeline import run_stage

    folder = RunFolder(options.folder)
    file = options.resolved if options.resolved is not None else folder.resolved
    with _naming_places(lambda key: find_place(file, key)):
        current = run_stage(options.verb, resolved_file=file, folder=folder, root=Path.cwd(), notify=print_lines)
    _print_result(current, upto=options.verb, overrides=())


@contextmanager
def _naming_places(locate: Callable[[str], Place]) -> Iterator[None]:
    """A target that fails when it is built is reported with the place where the configuration names it."""
    from treadle.targets.build import BuildError

    try:
        yield
    except BuildError as error:
        raise error.at(str(locate(f"{error.key}._target_"))) from error


def _print_result(current: Run, *, upto: str, overrides: Sequence[str]) -> None:
    path = current.folder.path
    path = path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
    if set(current.states.values()) == {"unchanged"}:
        print_lines(f"unchanged  {path}")
    elif upto == LAST:
        from treadle.console import Console
        from treadle.experiment.run_folder import RunFolder
        from treadle.runs.summary import print_summary

        folder, records, console = RunFolder(path), current.record_folder, Console(width=120)
        records = folder if records is current.folder else records
        print_summary(current.experiment, folder, records=records, overrides=overrides, console=console)
    else:
        print_lines(f"{upto:<10} {path}")


def _print_intent(options: argparse.Namespace, *, upto: str) -> bool:
    """Where only the configuration (--cfg) or the plan (--why) is asked for, print it; false where it is not."""
    if options.cfg is None and not options.why:
        return False
    folder = getattr(options, "folder", None)
    resolved = resolve_selected(options.overrides) if folder is None else _read_next(options.resolved)
    if options.cfg is not None:
        print_lines(resolved.dump().rstrip())
    else:
        _print_plan(resolved, folder=folder, upto=upto)
    return True


def _print_plan(resolved: Resolved, *, folder: Path | None, upto: str, changed_only: bool = False) -> None:
    from treadle.pipeline import plan_run, plan_stage

    if folder is None:
        planned = plan_run(resolved, root=Path.cwd(), upto=upto)
    else:
        planned = [plan_stage(upto, resolved=resolved, folder=folder, root=Path.cwd())]
    for stage in (stage for stage in planned if stage.state == "would run" or not changed_only):
        print_lines(f"{stage.stage:<10} {stage.state}: {', '.join(stage.reasons)}")


def _read_next(resolved_file: Path | None) -> Resolved:
    """The configuration by which DVC would run a stage: the given resolved.yaml, else what `dvc repro` composes."""
    from treadle.config.selection import FILE
    from treadle.experiment.resolved import read

    if resolved_file is not None:
        return read(resolved_file)
    return resolve_selected([], selection=Path(FILE))


VERBS = (
    Verb("run", f"Run every stage: {', '.join(stage.name for stage in STAGES)}.", _add_run, _run),
    *(
        Verb(stage.name, f"{stage.purpose} (After the stages that it depends on.)", _add_stage, _run_stage)
        for stage in STAGES
    ),
)
