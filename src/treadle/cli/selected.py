"""What a command line selects, composed and checked."""

from __future__ import annotations

import gc
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.output import print_lines

if TYPE_CHECKING:
    from treadle.check.file_heads import Absent
    from treadle.config.compose import Composed
    from treadle.experiment.resolved import Resolved
    from treadle.experiment.spec import AnyExperiment
    from treadle.problems import Place


def find_own_packages(root: Path) -> None:
    """The project's own packages can be targets; they come last, so that they hide no installed library."""
    for folder in (root / "src", root):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))


@contextmanager
def without_collector() -> Iterator[None]:
    """Composing allocates much and frees little: the garbage collector would take a sixth of the time."""
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def compose_selected(overrides: Sequence[str], *, selection: Path | None = None) -> Composed:
    """Compose the selection of a params.yaml, where one is given, with overrides on top."""
    from treadle.config.compose import compose

    selected = read_selected(selection)
    return compose(overrides=[*selected, *overrides], root=Path.cwd(), places=selected)


def resolve_selected(overrides: Sequence[str], *, selection: Path | None = None, absent: Absent = "refuse") -> Resolved:
    """Compose and check; `absent`: what happens where a table has no files."""
    with without_collector():
        from treadle.check.resolve import resolve

        selected = read_selected(selection)
        return resolve(overrides=[*selected, *overrides], root=Path.cwd(), places=selected, absent=absent)


def read_selected(selection: Path | None) -> dict[str, Place]:
    """The overrides of a params.yaml, each with its place; none where no file is given."""
    if selection is None:
        return {}
    from treadle.config.selection import read_selection

    return read_selection(selection, root=Path.cwd())


def require_seen(experiment: AnyExperiment, *, selection: Path | None) -> None:
    """Where it is DVC's selection that is composed, DVC must see every edit."""
    if selection is not None:
        from treadle.check.dvc_stages import require_seen

        require_seen(experiment, root=Path.cwd())


def print_model_choice(experiment: AnyExperiment) -> None:
    """Where a rule chose the model: which one, and why; and what features it takes, where they are made for it."""
    from treadle.experiment.spec import Experiment
    from treadle.model_choice.raw_inputs import describe_raw_inputs

    if experiment.model_choice is not None:
        print_lines(f"{'model':<10} {experiment.model_choice}")
    features = describe_raw_inputs(experiment) if isinstance(experiment, Experiment) else None
    if features is not None:
        print_lines(f"{'features':<10} {features}")
