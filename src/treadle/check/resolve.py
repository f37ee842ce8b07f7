"""Resolve: compose, check, and add the fingerprints of the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from treadle.check.checks import check
from treadle.check.file_heads import Absent
from treadle.config.compose import compose
from treadle.experiment.identity import fingerprint_stages
from treadle.experiment.resolved import Resolved
from treadle.experiment.stages import NO_PART_OF_A_RUN
from treadle.problems import Place


def resolve(
    *, overrides: Sequence[str], root: Path, places: Mapping[str, Place] | None = None, absent: Absent = "refuse"
) -> Resolved:
    """Compose, check, and add the code.

    Raises:
        ConfigError: with every problem at once.
    """
    composed = compose(overrides=overrides, root=root, places=places)
    records = {"question": composed.question, **dict.fromkeys(NO_PART_OF_A_RUN)}
    experiment = check(composed, absent=absent).model_copy(update=records)
    return Resolved(experiment, fingerprint_stages(experiment.model_dump(mode="json")))
