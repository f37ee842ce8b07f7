"""The engine that `sweep.engine` names."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from treadle.experiment import spec
from treadle.experiment.imports import SourceFile
from treadle.sweeps.engines.cluster import Jobs
from treadle.sweeps.engines.engine import Engine
from treadle.sweeps.engines.local import Pool
from treadle.sweeps.sweep import Sweep


def choose_engine(sweep: Sweep, *, paths: Sequence[str], sources: Mapping[str, SourceFile]) -> Engine:
    """The engine for the trials of a sweep.

    Args:
        sweep: what runs.
        paths: for `sys.path` of the workers.
        sources: of the modules that trials import.

    Raises:
        TreadleError: this machine cannot reach it.
    """
    match sweep.settings.engine:
        case spec.SlurmEngine() as settings:
            from treadle.sweeps.engines.slurm import Slurm

            return Jobs(Slurm(settings, folder=sweep.folder), sweep.folder, paths)
        case spec.RayEngine() as settings:
            from treadle.sweeps.engines.ray import Ray

            return Jobs(Ray(settings), sweep.folder, paths)
        case _:
            return Pool(paths=paths, sources=sources)
