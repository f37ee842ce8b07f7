"""dvc.lock and data.dvc, read as plain YAML: what DVC's stages were last made from."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import yaml

from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.resolved import Resolved
from treadle.experiment.stages import STAGES, Values, get_stage

LOCK = "dvc.lock"
DATA = "data.dvc"  # names the version of the data, in git


def read_stages(root: Path) -> dict[str, Any]:
    """The stages of dvc.lock by name; none where nothing ran yet.

    Raises:
        TreadleError: the file is not a lock, for instance while a merge is not resolved.
    """
    lock = _read(root / LOCK) if (root / LOCK).is_file() else {}
    stages: dict[str, Any] = lock.get("stages") or {}
    return stages


def read_slice(name: str, *, stage: dict[str, Any], resolved: Resolved, root: Path) -> Values | None:
    """What a stage was made from, by dotted key; None where it is kept nowhere any more.

    The lock knows the file of its slices by digest. The text is what the stage would be made from now, the file in the
    project, or that in DVC's cache, where one of them has that digest.

    Args:
        name: of the stage.
        stage: what the lock holds of it.
        resolved: the experiment by which it would run now.
        root: the project.
    """
    deps = [dep for dep in stage.get("deps", []) if dep["path"].endswith(f"/{name}.yaml")]
    if not deps:
        return None
    wanted = str(deps[0].get("md5"))
    now = resolved.dump_slice(get_stage(name, resolved.values)).encode()
    files = (root / deps[0]["path"], root / ".dvc" / "cache" / "files" / "md5" / wanted[:2] / wanted[2:])
    for text in (now, *(file.read_bytes() for file in files if file.is_file())):
        if hashlib.md5(text, usedforsecurity=False).hexdigest() == wanted:
            found: Values = yaml.load(text, Loader=yaml.CSafeLoader)
            return found
    return None


def read_outputs(stage: dict[str, Any]) -> list[str]:
    """The paths that a stage wrote."""
    return [out["path"] for out in stage.get("outs", [])]


def read_used_data(stages: dict[str, Any]) -> str | None:
    """The version of the data that the first stage read, as data.dvc names it."""
    first = stages.get(STAGES[0].name, {})
    deps = [dep for dep in first.get("deps", []) if f"{dep['path']}.dvc" == DATA]
    return deps[0].get("md5") if deps else None


def read_version(text: str | None) -> str | None:
    """The version of the data in the text of a data.dvc; None where there is none."""
    outs = (yaml.load(text, Loader=yaml.CSafeLoader) or {}).get("outs") if text else None
    return outs[0].get("md5") if outs else None


def read_data_version(root: Path) -> str | None:
    """The version of the data that the working tree names."""
    file = root / DATA
    return read_version(read_text(file)) if file.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(read_text(path), Loader=yaml.CSafeLoader)
    except yaml.YAMLError as error:
        raise TreadleError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise TreadleError(f"{path} is not a lock of DVC; `dvc repro` writes it")
    return values
