"""Loss and metrics of predictions of the validation split, by which an epoch, a round or a member is chosen."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from treadle.bundle import take_point
from treadle.metrics.compute import compute_metrics
from treadle.metrics.own import Measure, compute_own
from treadle.metrics.registry import EPSILON
from treadle.schema import Link, Task
from treadle.tasks import TRAITS
from treadle.training.losses import Loss, TaskLoss
from treadle.training.scaling import Scaling, find_levels, find_link

# Of metrics while training: `evaluation.threshold` and `evaluation.calibration_bins` may change without a new training.
THRESHOLD, NUM_BINS = 0.5, 15


def compute_scores(
    prediction: Tensor,
    target: Tensor,
    weight: Tensor,
    *,
    loss: Loss,
    task: Task,
    scaling: Scaling,
    own: Mapping[str, Measure],
) -> dict[str, float]:
    """`loss`, every metric of the task, and the user's own.

    Args:
        prediction: `[B]`, or `[B, K]` for K classes, labels or quantiles; values on the scale of the targets.
        target: `[B]`, scaled; `[B, L]` of L labels.
        weight: `[B]`; of the loss alone.
        loss: of each row.
        task: of the experiment.
        scaling: of the target.
        own: metrics of the user's.
    """
    found = float(compute_prediction_loss(prediction, target, weight, loss=loss, task=task))
    if TRAITS[task].is_value:
        prediction = take_point(prediction, find_levels(loss))
        prediction, target = (v.cpu().double() * scaling.scale + scaling.mean for v in (prediction, target))
    metrics = compute_metrics(task=task, prediction=prediction, target=target, threshold=THRESHOLD, num_bins=NUM_BINS)
    return {"loss": found, **metrics, **compute_own(own, task=task, prediction=prediction, target=target)}


def compute_prediction_loss(prediction: Tensor, target: Tensor, weight: Tensor, *, loss: Loss, task: Task) -> Tensor:
    """The mean loss of a prediction as the bundle makes it (of an ensemble: the mean), by which is chosen."""
    if isinstance(loss, TaskLoss):
        each = loss.of_prediction(prediction, target)
    else:
        each = loss(_to_output(prediction, task=task, link=find_link(loss)), target)
    return (each * weight).sum() / weight.sum()


def _to_output(prediction: Tensor, *, task: Task, link: Link) -> Tensor:
    """The output `[B, out]` that a network would have for this prediction."""
    activation = TRAITS[task].activation
    if activation == "softmax":
        return prediction.clamp(EPSILON, 1).log()
    if activation == "sigmoid":
        prediction = prediction.clamp(EPSILON, 1 - EPSILON).logit()
    elif link == "log":
        prediction = prediction.clamp(min=EPSILON).log()
    return prediction if prediction.dim() == 2 else prediction[:, None]  # noqa: PLR2004 - quantiles, labels
