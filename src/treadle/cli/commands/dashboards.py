"""The verb that describes dashboards."""

from __future__ import annotations

import argparse
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines
from treadle.cli.selected import compose_selected, without_collector
from treadle.cli.verb import Verb, add_overrides

if TYPE_CHECKING:
    from treadle.dashboards.subject import Subject


def _add_dashboard(parser: argparse.ArgumentParser) -> None:
    help_text = "folder of a sweep, or name of an experiment (default: what the overrides compose)"
    parser.add_argument("subject", nargs="?", metavar="SWEEP|EXPERIMENT", help=help_text)
    add_overrides(parser)
    help_text = "write the specification to this file; without it, save to the W&B server of this machine's account"
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help=help_text)


def _dashboard(options: argparse.Namespace) -> None:
    from treadle.config.locations import show_path

    subject = _read_subject(options)
    views = _import_views()
    file = options.output
    if file is None:
        from treadle.tracking import find_account

        account = find_account()
        if account is not None:
            saved = views.save_views(subject, account)
            print_lines(f"workspace  {saved.workspace}", f"report     {saved.report}")
            return
        file = subject.place.with_suffix(".offline.json")
        print_lines("offline    no account for W&B here: `wandb login`, then the same command saves it")
    views.write_views(subject, file)
    print_lines(f"wrote      {show_path(file, Path.cwd())}")


def _import_views() -> ModuleType:
    """The module that needs the extra.

    Raises:
        TreadleError: it is not installed.
    """
    from treadle.errors import TreadleError

    try:
        from treadle.dashboards import views
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "wandb_workspaces":
            raise
        raise TreadleError("a dashboard needs W&B's library for them: pip install 'treadle[dashboards]'") from error
    return views


def _read_subject(options: argparse.Namespace) -> Subject:
    """A sweep by its folder, else an experiment by its name and the overrides.

    Raises:
        TreadleError: a sweep is given with overrides.
    """
    from treadle.dashboards.subject import describe_experiment, describe_sweep
    from treadle.errors import TreadleError

    first, overrides = options.subject, list(options.overrides)
    if first is not None and "=" in first:
        first, overrides = None, [first, *overrides]
    if first is not None and Path(first).is_dir():
        from treadle.cli.selected import find_own_packages
        from treadle.sweeps.declaration import read

        if overrides:
            raise TreadleError(f"{overrides[0]!r}: a sweep is declared already; leave the overrides out")
        folder = Path(first).resolve()
        sweep = read(folder, root=folder.parent.parent)
        find_own_packages(sweep.root)
        return describe_sweep(sweep)
    if first is not None:
        overrides = [f"experiment={first}", *overrides]
    from treadle.check.checks import check

    with without_collector():
        composed = compose_selected(overrides)
        experiment = check(composed, absent="pass").model_copy(update={"question": composed.question})
    return describe_experiment(experiment, root=Path.cwd())


VERBS = (
    Verb(
        "dashboard",
        "Make a W&B workspace and a report of a sweep or an experiment; the second time updates them.",
        _add_dashboard,
        _dashboard,
    ),
)
