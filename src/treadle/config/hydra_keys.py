"""Hydra's own keys (`hydra.run.dir`): Treadle only composes with Hydra, so nothing reads them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from treadle.config.locations import ConfigFile, read_marks, show_path
from treadle.config.overrides import key_of
from treadle.config.shipped import SHIPPED_CONF
from treadle.problems import Place, Problem

_OWN = re.compile(r"hydra($|[./])")
_ENTRY = re.compile(r"defaults\.\d+\.(override )?/?(hydra/[^@]*)")
_INSTEAD = {  # what does the same in Treadle
    r"hydra[./]sweeper": "choose sweep=grid, sweep=random or sweep=tpe, and limits such as sweep.max_trials",
    r"hydra\.launcher\.(partition|account|qos|setup)": r"sweep.engine.\1 does it, with sweep/engine=slurm",
    r"hydra\.launcher\.timeout_min": "sweep.engine.time does it, with sweep/engine=slurm",
    r"hydra\.launcher\.cpus_per_task": "sweep.engine.cpus does it, with sweep/engine=slurm",
    r"hydra\.launcher\.gpus_per_node": "sweep.engine.gpus does it, with sweep/engine=slurm",
    r"hydra\.launcher\.mem_gb": "sweep.engine.memory_gb does it, with sweep/engine=slurm",
    r"hydra\.launcher\.additional_parameters": "sweep.engine.options does it, with sweep/engine=slurm",
    r"hydra\.launcher\.ray": "the keys of sweep.engine do it, with sweep/engine=ray",
    r"hydra[./]launcher": "sweep/engine=slurm or sweep/engine=ray says where trials run, and sweep.workers how many",
    r"hydra[./](run|sweep|output_subdir|job\.chdir)": "a run's folder is runs/<name>-<id>: set `name`",
}


def find_hydra_overrides(overrides: Mapping[str, Place]) -> dict[str, Problem]:
    """The overrides of Hydra's own keys, each with its problem."""
    return {text: _refuse(key_of(text), place) for text, place in overrides.items() if _OWN.match(key_of(text))}


def find_hydra_keys(files: Sequence[ConfigFile], *, root: Path) -> Iterator[Problem]:
    """The problems of Hydra's own keys in the files of a composition."""
    for file in files:
        if file.package or file.path.is_relative_to(SHIPPED_CONF):
            continue
        for key, marks in read_marks(file.path).items():
            entry = _ENTRY.fullmatch(key)
            if key == "hydra" or entry is not None:
                place = Place(show_path(file.path, root), *marks.key)
                yield _refuse("hydra" if entry is None else entry[2], place)


def _refuse(key: str, place: Place) -> Problem:
    rule = f"nothing reads {key!r}: Treadle composes with Hydra, and does not run with it"
    matches = ((re.match(pattern, key), text) for pattern, text in _INSTEAD.items())
    instead = next((match.expand(text) for match, text in matches if match), "")
    return Problem(key, rule, "; ".join(part for part in ("remove it", instead) if part), place)
