"""The stages of a turn as data: what each reads, runs and writes; and from that, what identifies a run."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.errors import TreadleError
from treadle.experiment.files import list_files
from treadle.experiment.fingerprint import digest, fingerprint_code, fingerprint_files


@dataclass(frozen=True)
class Stage:
    """One step of the turn."""

    name: str
    module: str  # its code: this module and what it imports
    slices: tuple[str, ...]  # keys of the experiment that can change its result
    reads: tuple[str, ...]  # the stages whose results it reads; none: the data
    outs: tuple[str, ...]  # what it writes in the run folder
    scratch: tuple[str, ...] = ()  # what it keeps there until its outputs are safe


STAGES = (
    Stage("prepare", "treadle.data.prepare", ("data",), (), ("examples",)),
    Stage("featurize", "treadle.features.featurize", ("features",), ("prepare",), ("features",)),
    Stage(
        "train",
        "treadle.training.train",
        (
            "seed",
            "model",
            "schedule",
            "loss",
            "augmentation",
            "trainer",
        ),
        ("featurize",),
        ("model", "bundle", "metrics.csv"),
        ("checkpoints",),
    ),
    Stage("baseline", "treadle.evaluation.baselines", ("evaluation.baselines",), ("featurize",), ("baselines",)),
    Stage("evaluate", "treadle.evaluation.evaluate", ("evaluation",), ("train", "baseline"), ("evaluation",)),
)

# Keys that cannot change a result: under which name, what is allowed, what is recorded. Tests hold that every key of an
# experiment is either in a stage's slices or here, and that those here change no number.
#
# Where training runs is in the slice of `train`: processes share the rows of a step and draw their own dropout, and a
# GPU rounds in another way than a CPU. The kind and the number of devices count (`auto` is settled when the experiment
# is composed), their make does not: two processors, or two GPUs, may differ in the last digits under one identity, as
# may two versions of torch; `environment.json` records them.
WITHOUT_EFFECT = ("name", "targets", "model_choice", "question", "tracker")

CODE = "code"  # key of resolved.yaml: the fingerprint of each stage's code


def get_stage(name: str) -> Stage:
    """The stage of that name."""
    return next(stage for stage in STAGES if stage.name == name)


def list_needed(upto: str) -> list[Stage]:
    """The stage of that name after all that it depends on, in the order in which they run."""
    needed = {upto}
    for stage in reversed(STAGES):
        if stage.name in needed:
            needed.update(stage.reads)
    return [stage for stage in STAGES if stage.name in needed]


def take_slice(values: dict[str, Any], stage: Stage) -> dict[str, Any]:
    """The part of an experiment that the stage depends on, by dotted key."""
    return {key: _get(values, key) for key in stage.slices}


def _get(values: Any, key: str) -> Any:
    for part in key.split("."):
        values = values[part]
    return values


def fingerprint_stages(values: dict[str, Any]) -> dict[str, str]:
    """The code of each stage: its module, the classes that its slices name, and what they import."""
    return {stage.name: fingerprint_code(list_modules(values, stage)) for stage in STAGES}


def list_modules(values: dict[str, Any], stage: Stage) -> list[str]:
    """Where the code of a stage begins: its own module, and those of the classes that its slices name."""
    return [stage.module, *list_target_modules(values, stage)]


def list_target_modules(values: dict[str, Any], stage: Stage) -> list[str]:
    """The modules of the classes and functions that a stage's slices name."""
    return sorted({target.rpartition(".")[0] for target in _list_targets(take_slice(values, stage))})


def _list_targets(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield node["_target_"]
        for value in node.values():
            yield from _list_targets(value)
    elif isinstance(node, list):
        for value in node:
            yield from _list_targets(value)


def sign_stages(values: dict[str, Any], *, root: Path, memory: Path, remember: bool = True) -> dict[str, str]:
    """The signature of each stage: its slices, its code, and the signature of what it reads.

    Args:
        values: the experiment with its `code`.
        root: the project; paths of tables are relative to it.
        memory: where hashes of data files are remembered.
        remember: whether new hashes are written there.
    """
    signatures: dict[str, str] = {}
    for stage in STAGES:
        reads = [signatures[name] for name in stage.reads] or [
            fingerprint_files(list_data_files(values, root), root=root, memory=memory, remember=remember)
        ]
        parts = {"slices": take_slice(values, stage), "code": values[CODE][stage.name], "reads": reads}
        signatures[stage.name] = digest(json.dumps(parts, sort_keys=True))
    return signatures


def list_data_files(values: dict[str, Any], root: Path) -> Iterator[Path]:
    """The files of every table.

    Raises:
        TreadleError: a table has none.
    """
    for name, table in values["data"]["tables"].items():
        files = list_files(table["path"], root=root)
        if not files:
            raise TreadleError(
                f"data.tables.{name}.path: no file at {table['path']!r} in {root}; `dvc pull` fetches versioned data"
            )
        yield from files


def name_run(values: dict[str, Any], signatures: dict[str, str]) -> str:
    """`<name>-<id>`: the same for whatever gives the same result."""
    return f"{values['name']}-{signatures[STAGES[-1].name][:8]}"
