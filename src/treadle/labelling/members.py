"""What each member of a model predicts: of a blend, of an ensemble, or of networks that are trained side by side."""

from __future__ import annotations

import polars as pl
import torch
from torch import Tensor

from treadle.bundle import BlendBundle, Bundle, Predictor, to_prediction
from treadle.schema import list_inputs

_BRIGHTEST = 255  # of a pixel
_BY_MEMBER = 3  # dimensions of outputs `[B, k, out]`


@torch.no_grad()
def predict_members(bundle: Predictor, frame: pl.DataFrame) -> Tensor:
    """Predictions `[M, B]`, or `[M, B, K]` for K classes; of a model without members M is 1.

    Args:
        bundle: what predicts.
        frame: conformed rows.
    """
    if isinstance(bundle, BlendBundle):
        return torch.stack([bundle.take_point(member.compute(frame)) for member in bundle.members.values()])
    assert isinstance(bundle, Bundle)
    inputs = bundle.featurizer(frame)
    parts = zip(*(values.split(bundle.rows_at_once) for values in inputs), strict=True)
    outputs = torch.cat([bundle.model(*list_inputs(*part)) for part in parts])
    members = outputs.unbind(dim=1) if outputs.dim() == _BY_MEMBER else [outputs]
    link = bundle.card.target.link
    predicted = (to_prediction(member, task=bundle.task, link=link) for member in members)
    return torch.stack([bundle.take_point(values) for values in predicted])


def read_inputs(bundle: Predictor, frame: pl.DataFrame) -> tuple[Tensor, Tensor]:
    """Numbers `[B, N]` and ids `[B, C]` as the model is given them; of a blend those of its first member.

    Pixels count as numbers, from 0 to 1.
    """
    one = next(iter(bundle.members.values())) if isinstance(bundle, BlendBundle) else bundle
    assert isinstance(one, Bundle)
    inputs = one.featurizer(frame)
    return torch.cat([inputs.numeric, inputs.pixels / _BRIGHTEST], dim=1), inputs.ids
