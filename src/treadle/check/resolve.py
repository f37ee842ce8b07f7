"""Resolve: compose, check, and add the fingerprints of the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.check.checks import check
from treadle.check.file_heads import Absent
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.experiment.stages import CODE, fingerprint_stages
from treadle.problems import Place


def resolve(
    *, overrides: Sequence[str], root: Path, places: Mapping[str, Place] | None = None, absent: Absent = "refuse"
) -> tuple[Experiment, dict[str, Any]]:
    """Compose, check, and add the code: the typed experiment and the values of resolved.yaml.

    Raises:
        ConfigError: with every problem at once.
    """
    composed = compose(overrides=overrides, root=root, places=places)
    experiment = check(composed, absent=absent).model_copy(update={"question": composed.question})
    values = experiment.model_dump(mode="json")
    return experiment, {**values, CODE: fingerprint_stages(values)}
