"""A declared sweep: its space, its settings, its replicates, and what it looks at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from treadle.experiment import spec
from treadle.sweeps.axes import Replicate
from treadle.sweeps.space import Space

SWEEPS = "sweeps"  # of a project: the folders of its sweeps
_MAX_TRIALS = 50  # settings that a search tries where nothing says how many


@dataclass(frozen=True)
class Objective:
    """A validation metric that a sweep looks at."""

    name: str
    column: str  # its name in metrics.csv
    higher_is_better: bool


@dataclass(frozen=True)
class Sweep:
    """A declared sweep."""

    folder: Path
    space: Space
    settings: spec.Sweep
    seeds: tuple[int, ...]
    folds: tuple[int, ...]  # empty: they are not swept
    objectives: tuple[Objective, ...]
    code: Mapping[str, str]  # module: fingerprint

    @property
    def name(self) -> str:
        """`<name>-<id>`."""
        return self.folder.name

    @property
    def root(self) -> Path:
        """The project that it belongs to."""
        return self.folder.parent.parent

    @property
    def columns(self) -> list[str]:
        """The objectives, as metrics.csv names them."""
        return [objective.column for objective in self.objectives]

    def get_trial_folder(self, number: int) -> Path:
        """Where a trial's frozen experiment and its log are; its results are in a run folder."""
        return self.folder / "trials" / f"{number:04}"

    def list_replicates(self, seeds: Sequence[int]) -> list[Replicate]:
        """Each fold with each of the seeds."""
        return [Replicate(seed, fold) for seed in seeds for fold in self.folds or (None,)]

    @property
    def moves_split(self) -> bool:
        """Whether trials differ in how the examples are split."""
        return bool(self.folds) or any(axis.key.lstrip("+").startswith("data.split") for axis in self.space.axes)

    @property
    def is_grid(self) -> bool:
        """Whether its settings are known from the start."""
        return self.settings.sampler == "grid"

    @property
    def max_settings(self) -> int | None:
        """How many settings it tries; None: all of a grid."""
        if self.is_grid:
            return self.settings.max_trials
        return int(min(self.settings.max_trials or _MAX_TRIALS, self.space.count_settings()))

    def list_grid(self) -> list[dict[str, str]]:
        """The settings of a grid, as far as `max_trials` goes."""
        return list(islice(self.space.list_grid(), self.max_settings))

    def count_settings(self) -> int:
        """How many settings it tries at most."""
        return len(self.list_grid()) if self.is_grid else self.max_settings or 0
