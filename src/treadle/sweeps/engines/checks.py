"""What can be wrong with the engine of a sweep before it is asked for anything."""

from __future__ import annotations

from collections.abc import Iterator
from importlib.util import find_spec

from treadle.experiment import spec
from treadle.experiment.durations import parse_duration
from treadle.problems import Problem

_LIBRARIES = {"slurm": "submitit", "ray": "ray"}


def find_engine_problems(experiment: spec.AnyExperiment) -> Iterator[Problem]:
    """The problems of `sweep.engine`, also together with `trainer` and `sweep.workers`."""
    assert experiment.sweep is not None
    engine = experiment.sweep.engine
    if isinstance(engine, spec.LocalEngine):
        return
    library = _LIBRARIES[engine.by]
    if find_spec(library) is None:
        rule = f"{engine.by!r} needs {library}, which is not installed"
        yield Problem("sweep.engine.by", rule, f"pip install 'treadle[{engine.by}]'")
    if engine.gpus and experiment.trainer.accelerator != "gpu":
        rule = f"{engine.gpus:g} GPUs are asked for each trial, and it trains on the {experiment.trainer.accelerator}"
        yield Problem("sweep.engine.gpus", rule, "add trainer=gpu")
    if isinstance(engine, spec.SlurmEngine):
        yield from _find_slurm_problems(engine, experiment.sweep)


def _find_slurm_problems(engine: spec.SlurmEngine, sweep: spec.Sweep) -> Iterator[Problem]:
    if sweep.workers == "auto":
        rule = "'auto' counts what this machine has, which says nothing about a queue"
        yield Problem("sweep.workers", rule, "say how many jobs at once, such as sweep.workers=8")
    if parse_duration(engine.time).total_seconds() < 60:  # noqa: PLR2004 - a minute
        yield Problem("sweep.engine.time", f"SLURM counts minutes, and {engine.time!r} is less than one", "write 1m")
