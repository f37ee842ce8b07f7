"""dvc.lock and data.dvc, read as plain YAML: what DVC's stages were last made from."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import yaml

from treadle.experiment.changes import Values
from treadle.experiment.resolved import FILE
from treadle.experiment.stages import STAGES
from treadle.schema import TreadleError

LOCK = "dvc.lock"
DATA = "data.dvc"  # names the version of the data, in git


class _Loader(yaml.CSafeLoader):
    """DVC writes YAML 1.2, where a plain 1e-05 is a number."""


_Loader.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[-+]?\d+(\.\d*)?[eE][-+]?\d+$"), "-+0123456789")


def read_stages(root: Path) -> dict[str, Any]:
    """The stages of dvc.lock by name; none where nothing ran yet.

    Raises:
        TreadleError: the file is not a lock, for instance while a merge is not resolved.
    """
    lock = _read(root / LOCK) if (root / LOCK).is_file() else {}
    stages: dict[str, Any] = lock.get("stages") or {}
    return stages


def take_values(stages: dict[str, Any]) -> Values:
    """The values of resolved.yaml that the stages were made from, by dotted key."""
    taken = (stage.get("params", {}).get(FILE, {}) for stage in stages.values())
    return {key: value for values in taken for key, value in values.items()}


def read_outs(stage: dict[str, Any]) -> list[str]:
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
    return read_version(file.read_text(encoding="utf-8")) if file.is_file() else None


def _read(path: Path) -> dict[str, Any]:
    try:
        values = yaml.load(path.read_text(encoding="utf-8"), Loader=_Loader)  # noqa: S506 - a safe loader
    except yaml.YAMLError as error:
        raise TreadleError(f"{path} is not YAML: {error}") from error
    if not isinstance(values, dict):
        raise TreadleError(f"{path} is not a lock of DVC; `dvc repro` writes it")
    return values
