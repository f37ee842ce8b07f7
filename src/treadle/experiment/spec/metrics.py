"""Key `metrics`: metrics of the user's own, by name."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from treadle.experiment.spec.base import Spec, check_target


def _check_function(node: dict[str, Any]) -> dict[str, Any]:
    return check_target(node)


# Not `Target`: that offers every component whose arguments fit, and any function of two tensors would.
MetricFunction = Annotated[dict[str, Any], AfterValidator(_check_function)]
MetricName = Annotated[str, Field(pattern=r"^[A-Za-z][A-Za-z0-9_]*$", max_length=60)]


class OwnMetric(Spec):
    """A metric of your own, of the validation split after each epoch and of the test split."""

    function: MetricFunction
    """Class of torchmetrics, or function of predictions and targets; a `_target_`."""
    direction: Literal["max", "min"]
    """Whether more is better (max) or less (min)."""
