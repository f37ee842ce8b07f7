"""Resolve: compose, check, and add the fingerprints of the code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from treadle.check.checks import check
from treadle.check.file_heads import Absent
from treadle.config.compose import compose
from treadle.experiment.identity import fingerprint_stages
from treadle.experiment.resolved import Resolved
from treadle.experiment.spec import AnyExperiment
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
    return freeze(check(composed, absent=absent), question=composed.question)


def freeze(experiment: AnyExperiment, *, question: str | None) -> Resolved:
    """A checked experiment without what is no part of a run, and with the code."""
    frozen = experiment.model_copy(update={"question": question, **dict.fromkeys(NO_PART_OF_A_RUN)})
    return Resolved(frozen, fingerprint_stages(frozen.model_dump(mode="json")))
