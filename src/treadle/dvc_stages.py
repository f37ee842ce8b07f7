"""dvc.yaml: whether DVC's stages depend on all that Treadle reads, so that `dvc repro` sees every edit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from treadle.experiment.imports import import_graph
from treadle.experiment.locations import Place, read_marks
from treadle.experiment.modules import TREADLE, find_module
from treadle.experiment.problems import ConfigError, Problem
from treadle.experiment.resolved import FILE as RESOLVED
from treadle.experiment.stages import CODE, STAGES, list_data_files, list_target_modules

FILE = "dvc.yaml"


@dataclass(frozen=True)
class _DvcStage:
    """A stage of dvc.yaml that runs a verb of Treadle."""

    name: str
    deps: tuple[Path, ...]  # absolute
    params: tuple[str, ...]  # keys of resolved.yaml


def require_seen(values: dict[str, Any], *, root: Path) -> None:
    """Refuse what an experiment reads and DVC would not see change: own code, data files, keys of resolved.yaml.

    Args:
        values: of a resolved.yaml.
        root: the project; without a dvc.yaml nothing is wrong.

    Raises:
        ConfigError: with every dependency that dvc.yaml lacks.
    """
    stages = _read_stages(root)
    problems = [*_find_code(values, stages, root), *_find_data(values, stages, root)]
    problems += [problem for stage in STAGES for problem in _find_keys(stages, stage.name, root)]
    if problems:
        raise ConfigError(problems)


def _find_code(values: dict[str, Any], stages: dict[str, _DvcStage], root: Path) -> Iterator[Problem]:
    if "compose" in stages:
        targets = (name for stage in STAGES for name in list_target_modules(values, stage))
        modules = sorted(filter(_is_own_work, import_graph(filter(_is_own_work, targets))))
        files = [(name, module.file) for name in modules if (module := find_module(name)) and module.file]
        unseen = [(name, file) for name, file in files if not _is_below(file, stages["compose"].deps)]
        for place in dict.fromkeys(_outermost(name, file) for name, file in unseen):
            yield _complain(stages["compose"], place, "code of this experiment", root)


def _is_own_work(module: str) -> bool:
    return module.partition(".")[0] != TREADLE


def _outermost(name: str, file: Path) -> Path:
    """The folder of the package that a module lies in; of a module by itself the file."""
    depth = name.count(".") - (file.name != "__init__.py")
    return file if depth < 0 else file.parents[depth]


def _find_data(values: dict[str, Any], stages: dict[str, _DvcStage], root: Path) -> Iterator[Problem]:
    first = STAGES[0].name
    if first in stages:
        unseen = {file for file in list_data_files(values, root) if not _is_below(file, stages[first].deps)}
        for folder in sorted({file.parent for file in unseen}):
            files = [file for file in unseen if file.parent == folder]
            yield _complain(stages[first], files[0] if len(files) == 1 else folder, "data of this experiment", root)


def _complain(stage: _DvcStage, path: Path, what: str, root: Path) -> Problem:
    name = os.path.relpath(path, root)
    rule = f"{name!r} is {what}, and DVC's stage {stage.name!r} does not depend on it: an edit would go unseen"
    return Problem("", rule, f"add {name} to the deps of {stage.name}", _locate(stage, "deps", root))


def _find_keys(stages: dict[str, _DvcStage], verb: str, root: Path) -> Iterator[Problem]:
    if verb not in stages:
        return
    stage, wanted = stages[verb], next(stage for stage in STAGES if stage.name == verb)
    for key in (*wanted.slices, f"{CODE}.{verb}"):
        if not any(key == given or key.startswith(f"{given}.") for given in stage.params):
            rule = f"{RESOLVED}'s {key!r} changes what stage {verb!r} gives, and is none of its params"
            yield Problem("", rule, f"add {key} to the params of {stage.name}", _locate(stage, "params", root))


def _is_below(file: Path, folders: Iterable[Path]) -> bool:
    """By the paths as they are written, and by what links lead to."""
    written = Path(os.path.abspath(file))  # noqa: PTH100 - `resolve` follows links, which DVC makes
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
            for verb in re.findall(r"\btreadle\s+([a-z]+)", str(stage.get("cmd"))):
                found[verb] = _read_stage(str(name), stage, root)
    return found


def _read_stage(name: str, stage: dict[str, Any], root: Path) -> _DvcStage:
    base = root / str(stage.get("wdir", "."))
    deps = [os.path.abspath(base / str(dep)) for dep in _list_names(stage.get("deps"))]  # noqa: PTH100 - as above
    return _DvcStage(name, tuple(map(Path, deps)), tuple(_list_params(stage.get("params"))))


def _list_names(node: Any) -> Iterator[str]:
    """The entries of a list: a name, or a mapping of it to details."""
    for entry in node if isinstance(node, list) else ():
        yield from entry if isinstance(entry, dict) else [str(entry)]


def _list_params(node: Any) -> Iterator[str]:
    """The keys of resolved.yaml; all of them where the file alone is named."""
    every = [key for stage in STAGES for key in (*stage.slices, f"{CODE}.{stage.name}")]
    for entry in node if isinstance(node, list) else ():
        if isinstance(entry, dict) and RESOLVED in entry:
            yield from map(str, entry[RESOLVED] or every)
