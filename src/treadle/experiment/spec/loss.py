"""Group `loss`: what training minimises."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from treadle.experiment.spec.base import Spec, Target
from treadle.schema import Positive


def _find_tag(value: Any) -> str:
    return "by_class" if isinstance(value, dict) else "word"


ClassWeights = Annotated[
    Annotated[Literal["balanced"], Tag("word")] | Annotated[dict[str, Positive], Tag("by_class")],
    Discriminator(_find_tag),
]


def _is_absent(teacher: object) -> bool:
    return teacher is None  # a resolved.yaml without one is as it was before there were any


class Loss(Spec):
    """What training minimises. Evaluation metrics and baselines do not depend on it."""

    # The default is for a project whose conf/ chooses no loss; a test holds it equal to conf/loss/default.yaml.
    function: Target = {"_target_": "treadle.training.losses.TaskLoss"}
    """Loss function of a row; a `_target_`."""
    class_weights: ClassWeights | None = None
    """Weight of each class in the loss: balanced (inverse to its frequency), or by class; null: all the same."""
    teacher: str | None = Field(default=None, exclude_if=_is_absent)
    """Run, folder of a bundle, or champion whose predictions are learned (knowledge distillation); null: none."""
