"""Where a result comes from: commit, local changes, time, versions, machine."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import datetime
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from treadle.disk import write_json, write_text
from treadle.experiment.run_folder import RunFolder

_PACKAGES = (
    "treadle",
    "torch",
    "pytorch-lightning",
    "torchmetrics",
    "polars",
    "numpy",
    "hydra-core",
    "omegaconf",
    "dvc",
    "wandb",
    "tabm",
    "rtdl_num_embeddings",
    "lightgbm",
    "xgboost",
    "xgboost-cpu",
    "catboost",
    "scikit-learn",
    "skops",
)


def describe_provenance(root: Path, *, now: datetime) -> dict[str, Any]:
    """Plain values: git commit and whether the tree differs from it, time, package versions, hardware."""
    return {
        "git": describe_git(root),
        "time": now.isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "packages": {name: found for name in _PACKAGES if (found := _find_version(name)) is not None},
        "machine": {
            "system": platform.platform(),
            "processor": platform.processor() or platform.machine(),
            "num_cores": os.cpu_count(),
            "gpus": _list_gpus(),
        },
    }


def read_changes(root: Path) -> str:
    """The difference of the tracked files to the commit, as a patch; empty outside of git."""
    return _git(root, "diff", "HEAD") or ""


def write_provenance(folder: RunFolder, *, root: Path, now: datetime) -> dict[str, Any]:
    """Record `environment.json` and `changes.diff` in a run folder."""
    described = describe_provenance(root, now=now)
    write_json(folder.environment, described)
    write_text(folder.changes, read_changes(root))
    return described


def describe_git(root: Path) -> dict[str, Any]:
    """The commit, and whether tracked files differ from it; null outside of a repository."""
    commit = _git(root, "rev-parse", "HEAD")
    if commit is None:
        return {"commit": None, "changed": None}
    changed = _git(root, "status", "--porcelain", "--untracked-files=no")
    return {"commit": commit.strip(), "changed": bool(changed)}


def _git(root: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", *arguments], cwd=root, capture_output=True, check=False)  # noqa: S603, S607 - git, with fixed arguments
    except FileNotFoundError:
        return None
    return done.stdout.decode(errors="backslashreplace") if done.returncode == 0 else None


@cache  # what is imported stays as it is
def _find_version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _list_gpus() -> list[str]:
    torch = sys.modules.get("torch")  # not imported for this alone
    if torch is None or not torch.cuda.is_available():
        return []
    return [torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())]
