"""dvc.yaml: whether DVC's stages depend on everything that Treadle reads, so that `dvc repro` detects every edit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import yaml

from treadle.config.locations import read_marks
from treadle.experiment.identity import list_present_files, list_target_modules
from treadle.experiment.imports import import_graph
from treadle.experiment.modules import TREADLE, find_module
from treadle.experiment.source_bundles import find_source, list_member_bundles, list_source_bundles
from treadle.experiment.spec import AnyExperiment
from treadle.experiment.stages import STAGES, list_stages
from treadle.problems import ConfigError, Place, Problem

FILE = "dvc.yaml"
_READERS = ("prepare", "train")  # of data: what begins the pipeline of a table, and of a learner


@dataclass(frozen=True)
class _DvcStage:
    """A stage of dvc.yaml that runs a verb of Treadle."""

    name: str
    verb: str
    deps: tuple[Path, ...]  # absolute
    slices: Path | None  # of `treadle compose`: the folder of --slices


def require_seen(experiment: AnyExperiment, *, root: Path) -> None:
    """Refuse what an experiment reads without a dependency in dvc.yaml: own code, data, bundles, values of conf/.

    Args:
        experiment: checked.
        root: the project; without a dvc.yaml there is no problem.

    Raises:
        ConfigError: with every dependency that dvc.yaml lacks.
    """
    stages = _read_stages(root)
    problems = [
        *_find_code(experiment, stages, root),
        *_find_data(experiment, stages, root),
        *_find_bundles(experiment, stages, root),
        *_find_slices(stages, root),
    ]
    if problems:
        raise ConfigError(problems)


def _find_code(experiment: AnyExperiment, stages: dict[str, _DvcStage], root: Path) -> Iterator[Problem]:
    if "compose" in stages:
        values = experiment.model_dump(mode="json")
        targets = (name for stage in list_stages(values) for name in list_target_modules(values, stage))
        modules = sorted(filter(_is_own_work, import_graph(filter(_is_own_work, targets))))
        files = [(name, module.file) for name in modules if (module := find_module(name)) and module.file]
        unseen = [(name, file) for name, file in files if not _is_below(file, stages["compose"].deps)]
        for place in dict.fromkeys(_outermost(name, file) for name, file in unseen):
            yield _report(stages["compose"], place, "code of this experiment", root)


def _is_own_work(module: str) -> bool:
    return module.partition(".")[0] != TREADLE


def _outermost(name: str, file: Path) -> Path:
    """The folder of the package that a module lies in; of a module by itself the file."""
    depth = name.count(".") - (file.name != "__init__.py")
    return file if depth < 0 else file.parents[depth]


def _find_data(experiment: AnyExperiment, stages: dict[str, _DvcStage], root: Path) -> Iterator[Problem]:
    """DVC's first stage that depends on the data; of a learner it may be `train`, where the file has no `prepare`."""
    first = next((stage.name for stage in STAGES if stage.name in stages), "")
    if first in _READERS:
        files = list_present_files(experiment, root)
        unseen = {file for file in files if not _is_below(file, stages[first].deps)}
        for folder in sorted({file.parent for file in unseen}):
            inside = [file for file in unseen if file.parent == folder]
            yield _report(stages[first], inside[0] if len(inside) == 1 else folder, "data of this experiment", root)


def _find_bundles(experiment: AnyExperiment, stages: dict[str, _DvcStage], root: Path) -> Iterator[Problem]:
    """Bundles that training reads: `compose` writes their digest into resolved.yaml."""
    for key, text in [*list_source_bundles(experiment), *list_member_bundles(experiment)]:
        bundle = find_source(text, root=root)
        if "compose" in stages and bundle is not None and not _is_below(bundle, stages["compose"].deps):
            found = _report(stages["compose"], bundle, f"the bundle of {key}", root)
            where = "; where DVC ignores its folder, as it does runs/, copy the bundle to one that it sees"
            yield replace(found, fix=f"{found.fix}{where}")


def _report(stage: _DvcStage, path: Path, what: str, root: Path) -> Problem:
    name = os.path.relpath(path, root)
    rule = f"{name!r} is {what}, and DVC's stage {stage.name!r} does not depend on it: DVC would not detect an edit"
    return Problem("", rule, f"add {name} to the deps of {stage.name}", _locate(stage, "deps", root))


def _find_slices(stages: dict[str, _DvcStage], root: Path) -> Iterator[Problem]:
    """A stage depends on the file that changes when it has to run again."""
    if "compose" not in stages:
        return
    compose = stages["compose"]
    if compose.slices is None:
        rule = f"stage {compose.name!r} does not write the files that the other stages depend on"
        fix = "add --slices FOLDER to its command, and FOLDER/<stage>.yaml to the deps of each stage"
        yield Problem("", rule, fix, _locate(compose, "cmd", root))
        return
    for stage in (stages[stage.name] for stage in STAGES if stage.name in stages):
        file = compose.slices / f"{stage.verb}.yaml"
        if not _is_below(file, stage.deps):
            yield _report(stage, file, "the configuration and the code of the stage", root)


def _is_below(file: Path, folders: Iterable[Path]) -> bool:
    """By the paths as they are written, and by what links lead to."""
    written = _place(Path.cwd(), str(file))
    return any(written.is_relative_to(folder) or file.resolve().is_relative_to(folder.resolve()) for folder in folders)


def _locate(stage: _DvcStage, part: str, root: Path) -> Place:
    marks = read_marks(root / FILE)
    found = marks.get(f"stages.{stage.name}.{part}") or marks.get(f"stages.{stage.name}")
    return Place(FILE, *(found.key if found is not None else (1, 1)))


# --- reading ------------------------------------------------------------------------------------------


def _read_stages(root: Path) -> dict[str, _DvcStage]:
    """By the verb that they run. A file that DVC itself would refuse is left to DVC."""
    try:
        content = yaml.load((root / FILE).read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except (OSError, UnicodeDecodeError, yaml.YAMLError):
        return {}
    stages = content.get("stages") if isinstance(content, dict) else None
    found = {}
    for name, stage in (stages if isinstance(stages, dict) else {}).items():
        if isinstance(stage, dict) and "${" not in str(stage):  # DVC fills it in
            for verb, options in re.findall(r"\btreadle\s+([a-z]+)([^&|;\n]*)", _join_commands(stage.get("cmd"))):
                found[verb] = _read_stage(str(name), verb, options, stage, root)
    return found


def _join_commands(commands: Any) -> str:
    """One command, or several in a list, a line each; a line that ends in a backslash goes on."""
    lines = commands if isinstance(commands, list) else [commands]
    return "\n".join(map(str, lines)).replace("\\\n", " ")


def _read_stage(name: str, verb: str, options: str, stage: dict[str, Any], root: Path) -> _DvcStage:
    base = root / str(stage.get("wdir", "."))
    folder = re.search(r"--slices[ =]+(?:'([^']+)'|\"([^\"]+)\"|(\S+))", options)
    slices = _place(base, next(filter(None, folder.groups()))) if folder is not None else None
    return _DvcStage(name, verb, tuple(_place(base, dep) for dep in _list_names(stage.get("deps"))), slices)


def _place(base: Path, path: str) -> Path:
    return Path(os.path.abspath(base / path))  # noqa: PTH100 - `resolve` follows links, which DVC makes


def _list_names(node: Any) -> Iterator[str]:
    """The entries of a list: a name, or a mapping of it to details."""
    for entry in node if isinstance(node, list) else ():
        yield from map(str, entry) if isinstance(entry, dict) else [str(entry)]
