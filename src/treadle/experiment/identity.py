"""What identifies a run: the values, the code and the data of its stages."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

from treadle.errors import TreadleError
from treadle.experiment.files import list_below, list_files
from treadle.experiment.fingerprint import digest, fingerprint_code, fingerprint_files
from treadle.experiment.libraries import list_code
from treadle.experiment.resolved import Resolved
from treadle.experiment.run_folder import CACHE
from treadle.experiment.spec import AnyExperiment, Experiment, LearnerExperiment, get_split_column, is_blend
from treadle.experiment.stages import STAGES, Stage, Values, identify_data, list_stages, name_member_code, take_slice
from treadle.keys import find_targets
from treadle.remote import is_remote

_DIVIDING = ("split", "sample")  # keys of `data` that divide the examples, and make none


def fingerprint_stages(values: Values) -> dict[str, str]:
    """The code of each stage: its module, the classes that its slices name, and what they import.

    Of a blend also that of the stages of its members, where it is another.
    """
    code = {stage.name: fingerprint_code(list_modules(values, stage)) for stage in list_stages(values)}
    for name, member in _list_members(values):
        own = {stage.name: fingerprint_code(list_modules(member, stage)) for stage in STAGES}
        code |= {name_member_code(stage, name): found for stage, found in own.items() if found != code[stage]}
    return code


def _list_members(values: Values) -> Iterator[tuple[str, Values]]:
    """The values of each member of a blend."""
    members = values["model"]["members"] if is_blend(values.get("model")) else {}
    for name, given in members.items():
        yield name, {**values, **{key: value for key, value in given.items() if value is not None}}


def list_modules(values: Values, stage: Stage) -> list[str]:
    """Where the code of a stage begins: its own module, and those of the classes that its slices name."""
    return [stage.module, *list_target_modules(values, stage)]


def list_target_modules(values: Values, stage: Stage) -> list[str]:
    """The modules of the classes and functions that a stage's slices name, and of the adapters that train them."""
    return list_code(node["_target_"] for _, node in find_targets(take_slice(values, stage)))


def sign_stages(resolved: Resolved, *, root: Path, remember: bool = True) -> dict[str, str]:
    """The signature of each stage: its slices, its code, and the signatures of what it reads.

    Args:
        resolved: the frozen experiment.
        root: the project; paths of tables are relative to it.
        remember: whether new hashes of data files are written beside the cache of stages.

    Raises:
        TreadleError: a table, or a path of `depends`, has no file.
    """
    signatures: dict[str, str] = {}
    for stage in list_stages(resolved.values):
        reads = [signatures[name] for name in stage.reads] or [fingerprint_data(resolved, root=root, remember=remember)]
        parts = {"slices": take_slice(resolved.values, stage), "code": resolved.code[stage.name], "reads": reads}
        signatures[stage.name] = digest(json.dumps(parts, sort_keys=True))
    return signatures


def sign_unsplit(resolved: Resolved, *, root: Path) -> str:
    """The signature of the examples before they are split: that of `prepare`, whatever the split, and the sample of it.

    Raises:
        TreadleError: as `list_data_files`.
    """
    assert isinstance(resolved.experiment, Experiment), "a learner has no examples"
    parts = {
        "data": {key: value for key, value in identify_data(resolved.values["data"]).items() if key not in _DIVIDING},
        "column": get_split_column(resolved.experiment.data.split),
        "code": resolved.code[STAGES[0].name],
        "reads": fingerprint_data(resolved, root=root, remember=False),
    }
    return digest(json.dumps(parts, sort_keys=True))


def fingerprint_data(resolved: Resolved, *, root: Path, remember: bool = True) -> str:
    """Hash of the contents of all data files.

    Raises:
        TreadleError: as `list_data_files`.
    """
    memory = root / CACHE / "files.json"
    return fingerprint_files(list_data_files(resolved, root), root=root, memory=memory, remember=remember)


def list_data_files(resolved: Resolved, root: Path) -> Iterator[Path]:
    """The files of every table; of a learner those that it depends on.

    Raises:
        TreadleError: a table, or a path of `depends`, has none.
    """
    for key, path, files in _list_data(resolved.experiment, root):
        if not files:
            own = ", `treadle prepare` lets prepare_data write its own" if key.startswith("depends.") else ""
            raise TreadleError(f"{key}: no file at {path!r} in {root}; `dvc pull` fetches versioned data{own}")
        yield from files


def list_present_files(experiment: AnyExperiment, root: Path) -> list[Path]:
    """The same, of what is there."""
    return [file for _, _, files in _list_data(experiment, root) for file in files]


def _list_data(experiment: AnyExperiment, root: Path) -> Iterator[tuple[str, str, list[Path]]]:
    """Each path with its key and its files."""
    if isinstance(experiment, LearnerExperiment):
        for index, path in enumerate(experiment.depends):
            yield f"depends.{index}", path, list_below(path, root=root)
        return
    for name, table in experiment.data.tables.items():
        yield f"data.tables.{name}.path", table.path, list_files(table.path, root=root)
        for column, spec in table.columns.items():
            if spec.folder is not None and not is_remote(spec.folder):
                yield f"data.tables.{name}.columns.{column}.folder", spec.folder, list_below(spec.folder, root=root)


def name_run(resolved: Resolved, signatures: Mapping[str, str]) -> str:
    """`<name>-<id>`: the same id for whatever gives the same result."""
    return f"{resolved.experiment.name}-{signatures[STAGES[-1].name][:8]}"
