"""The model of a bundle, a network or an estimator: built for given inputs, with its output as predictions."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn

from treadle.errors import TreadleError
from treadle.models.estimator import Estimator
from treadle.models.labels import add_labels
from treadle.models.levels import add_levels
from treadle.models.offset import add_offsets
from treadle.schema import MEDIAN, ImageSpan, Link, Task, TokenSpan, list_inputs
from treadle.targets.build import build
from treadle.targets.readers import find_reader
from treadle.targets.signatures import read_constant, takes_argument
from treadle.tasks import TRAITS

Model = nn.Module | Estimator

# What a bundle may build, unless its reader allows more: classes alone, no function that reads or writes.
TARGETS = (
    "treadle.models.",
    "treadle.features.transforms.",
    "treadle.features.raw.",
    "treadle.features.categories.",
    "treadle.features.exposure.",
    "treadle.features.image_encoders.",
    "treadle.features.images.",
    "treadle.features.sentences.",
    "treadle.features.texts.",
    "treadle.features.tokens.",
)


def build_model(
    model: dict[str, Any],
    *,
    targets: Sequence[str],
    num_numeric: int,
    cardinalities: Sequence[int],
    num_classes: int,
    labels: Sequence[str] = (),
    texts: Sequence[TokenSpan] = (),
    images: Sequence[ImageSpan] = (),
    offsets: Sequence[int] = (),
    levels: Sequence[float] = (),
) -> Model:
    """The model of a configuration for given inputs; one output, or one a class, a label or a level.

    Args:
        model: the node of the configuration.
        targets: prefixes of the classes that may be built.
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each input of ids.
        num_classes: of a multiclass task, or its number of labels; else 0.
        labels: the names of several labels; else none.
        texts: which inputs of ids are the tokens of one text.
        images: where the images of a row are among its pixels.
        offsets: which numeric inputs are added to the output.
        levels: of the quantiles of a regression that predicts several.

    Raises:
        TreadleError: it is no model, or there are texts or images and it reads none.
    """
    for name, spans, such in (("texts", texts, "TextTransformer"), ("images", images, "ImageResNet")):
        path = find_reader(model)["_target_"]
        if spans and not takes_argument(path, name):
            raise TreadleError(f"model: {path} reads no {name}; choose a network that does, such as {such}")
    adapter = read_constant(model["_target_"], "ADAPTER")
    is_estimator = read_constant(model["_target_"], "OBJECTIVES") is not None  # which is asked for each label, or level
    built = build(
        model if adapter is None else {"_target_": adapter, "path": model["_target_"], "estimator": model},
        key="model",
        targets=targets if adapter is None else [*targets, f"{model['_target_'].partition('.')[0]}."],
        num_numeric=num_numeric - len(offsets),
        cardinalities=list(cardinalities),
        num_outputs=1 if is_estimator and (labels or levels) else max(1, num_classes, len(levels)),
        texts=list(texts),
        images=list(images),
    )
    if not isinstance(built, nn.Module | Estimator):
        raise TreadleError(
            f"model: must be a torch.nn.Module, or an estimator with fit, save and load; found {type(built).__name__}"
        )
    several = add_levels(add_labels(built, labels=labels), levels=levels)
    return add_offsets(several, num_numeric=num_numeric, places=offsets)


@torch.no_grad()
def measure_width(network: nn.Module, num_numeric: int, num_ids: int, num_pixels: int) -> int:
    """The most numbers that one of its modules gives for a row; its members and tokens count."""
    widths = [1]

    def measure(_module: nn.Module, _arguments: Any, output: Any) -> None:
        if isinstance(output, Tensor):
            widths.append(output.numel())

    hooks = [module.register_forward_hook(measure) for module in network.modules()]
    try:
        ids, pixels = torch.zeros(1, num_ids, dtype=torch.int64), torch.zeros(1, num_pixels, dtype=torch.uint8)
        network(*list_inputs(torch.zeros(1, num_numeric), ids, pixels))
    finally:
        for hook in hooks:
            hook.remove()
    return max(widths)


def to_prediction(output: Tensor, *, task: Task, link: Link) -> Tensor:
    """Output of a model `[B, out]` or `[B, k, out]` (k members) to `[B]`, or `[B, K]` for K classes, labels, quantiles.

    Members are averaged as probabilities, not as logits; of values as predictions, not as their logarithms.

    Args:
        output: of the model.
        task: of the experiment.
        link: of a value, whether the output is the prediction or its logarithm.
    """
    activation = TRAITS[task].activation
    if activation == "softmax":
        shares = output.float().softmax(dim=-1)
        return shares.mean(dim=1) if shares.dim() == 3 else shares  # noqa: PLR2004
    values = output.float()
    if output.shape[-1] == 1:  # else quantiles, or labels
        values = values.squeeze(-1)
    if activation == "sigmoid":
        values = values.sigmoid()
    elif link == "log":
        values = values.exp()
    return values.mean(dim=1) if output.dim() == 3 else values  # noqa: PLR2004


def take_point(prediction: Tensor, levels: Sequence[float]) -> Tensor:
    """`[B]` the median of quantiles `[B, Q]`; of one value, of classes or labels the prediction itself."""
    return prediction[:, list(levels).index(MEDIAN)] if levels else prediction
