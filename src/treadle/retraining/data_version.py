"""The newest version of the data by DVC, before a decision and its check: fetched, or made of what lies there now."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from treadle.config.compose import Composed
from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.spec.retrain import DataVersion
from treadle.keys import get
from treadle.pipeline.locks import try_lock
from treadle.retraining.ledger import name_lock

_COMMANDS = {"pull": ["pull"], "update": ["update"], "commit": ["commit", "--force"]}


def take_newest(composed: Composed, *, root: Path) -> dict[str, Any] | None:
    """Bring the data of an experiment to their newest version, as `take_version`, and say which it is.

    None where `retrain.version` is null, or is no such section, which the check tells; or another process decides about
    the model just now, and takes it.
    """
    try:
        settings = DataVersion.model_validate(get(composed.values, "retrain.version"))
    except ValidationError:
        return None
    with try_lock(name_lock(str(composed.values.get("name")), root=root)) as is_free:
        return take_version(settings, root=root) if is_free else None


def take_version(settings: DataVersion, *, root: Path) -> dict[str, Any]:
    """Bring the data to their newest version, and say which it is: of each output its path and its hash.

    Args:
        settings: which data, and where a new version comes from.
        root: the project.

    Raises:
        TreadleError: DVC fails, or the file is none of its own.
    """
    _run_dvc([*_COMMANDS[settings.by], settings.file], root=root)
    file = root / settings.file
    try:
        outputs = yaml.safe_load(read_text(file))["outs"]
        found = {str(output["path"]): str(output[output.get("hash", "md5")]) for output in outputs}
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        fix = "`dvc add DATA`, or `dvc import-url`, writes one"
        raise TreadleError(f"retrain.version.file: {file} is no .dvc file: {error}; {fix}") from error
    return {"file": settings.file, "outputs": found}


def _run_dvc(words: Sequence[str], *, root: Path) -> None:
    command = [sys.executable, "-m", "dvc", *words]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - DVC alone
    if done.returncode:
        said = [line.strip() for line in done.stderr.splitlines()]
        errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
        why = errors[0] if errors else f"exit code {done.returncode}"
        raise TreadleError(f"retrain.version: `dvc {' '.join(words)}` failed: {why}")
