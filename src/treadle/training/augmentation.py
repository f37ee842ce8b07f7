"""Augmentation: rows of a training batch are mixed with each other. The configuration names one in `augmentation`.

It is built with the column that each input comes from, and called with each batch before its step. It draws from
torch's generator, which training seeds for each epoch. Of a batch that several processes share, each mixes its own
rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Beta

from treadle.schema import Batch, ImageSpan, Positive, list_inputs
from treadle.training.image_augmentation import paste_rectangles


class MixedBatch(NamedTuple):
    """A batch in which each row is mixed with another one, its partner, whose target counts as well."""

    numeric: Tensor  # [B, N] float32, mixed
    ids: Tensor  # [B, C] int64, mixed
    target: Tensor  # [B] the row's own
    weight: Tensor  # [B] the row's own
    pixels: Tensor  # [B, P] float32, mixed
    partner_target: Tensor  # [B]
    partner_weight: Tensor  # [B]
    share: Tensor  # [] lambda: weight of the loss for the row's own target; the partner's has the rest

    @property
    def inputs(self) -> tuple[Tensor, ...]:
        """What a network is called with."""
        return list_inputs(self.numeric, self.ids, self.pixels)

    @property
    def own(self) -> Batch:
        """With the rows' own targets."""
        return Batch(self.numeric, self.ids, self.target, self.weight, self.pixels)

    @property
    def partner(self) -> Batch:
        """With those of their partners."""
        return Batch(self.numeric, self.ids, self.partner_target, self.partner_weight, self.pixels)


Augment = Callable[[Batch], Batch | MixedBatch]


class NoAugmentation:
    """Batches as they are.

    Args:
        numeric_columns: the column that each number comes from.
        id_columns: the column that each id comes from.
        images: where the images of a row are among its pixels.
    """

    def __init__(
        self, *, numeric_columns: Sequence[str], id_columns: Sequence[str], images: Sequence[ImageSpan]
    ) -> None:
        """Accept the arguments of every augmentation."""


class Mixup:
    """Each row becomes a convex combination of itself and a partner, as does its loss for both targets.

    Ids cannot be averaged: each column's id is the partner's with probability 1 - lambda. For log loss and, up to
    a constant, squared error this equals mixing the targets.

    Args:
        numeric_columns: the column that each number comes from.
        id_columns: the column that each id comes from.
        images: where the images of a row are among its pixels.
        alpha: lambda, a row's own weight, is drawn from Beta(alpha, alpha) for each batch; near 0: hardly mixed.

    Source: "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.
    """

    def __init__(
        self,
        *,
        numeric_columns: Sequence[str],
        id_columns: Sequence[str],
        images: Sequence[ImageSpan],  # noqa: ARG002 - every pixel is mixed alike
        alpha: Positive,
    ) -> None:
        self.cells = _Cells(numeric_columns, id_columns)
        self.shares = _make_shares(alpha)

    def __call__(self, batch: Batch) -> MixedBatch:
        """Mix."""
        share, partner = self.shares.sample(), _draw_partner(batch)
        numeric = share * batch.numeric + (1 - share) * partner.numeric
        pixels = share * batch.pixels + (1 - share) * partner.pixels
        _, ids = self.cells.swap(batch, partner, share=share)
        return _make_mixed(batch, partner, numeric, ids, pixels, share=share)


class CutMix:
    """Each value of a row is its own or its partner's; its loss is weighted accordingly over both targets.

    All inputs that come from one column (its bins, its missing indicator, its ids) are replaced together. Of an image a
    rectangle is replaced, whose area is 1 - lambda.

    Args:
        numeric_columns: the column that each number comes from.
        id_columns: the column that each id comes from.
        images: where the images of a row are among its pixels.
        alpha: lambda, the probability of a row's own value, is drawn from Beta(alpha, alpha) for each batch.

    Source: "SAINT: Improved Neural Networks for Tabular Data", arXiv 2106.01342, after "CutMix", arXiv 1905.04899.
    """

    def __init__(
        self,
        *,
        numeric_columns: Sequence[str],
        id_columns: Sequence[str],
        images: Sequence[ImageSpan],
        alpha: Positive,
    ) -> None:
        self.cells = _Cells(numeric_columns, id_columns)
        self.images = list(images)
        self.shares = _make_shares(alpha)

    def __call__(self, batch: Batch) -> MixedBatch:
        """Mix."""
        share, partner = self.shares.sample(), _draw_partner(batch)
        numeric, ids = self.cells.swap(batch, partner, share=share)
        pixels = paste_rectangles(batch.pixels, partner.pixels, images=self.images, share=share)
        return _make_mixed(batch, partner, numeric, ids, pixels, share=share)


class _Cells:
    """Which inputs come from the same column and are swapped together."""

    def __init__(self, numeric_columns: Sequence[str], id_columns: Sequence[str]) -> None:
        place = {name: index for index, name in enumerate(dict.fromkeys([*numeric_columns, *id_columns]))}
        self.num_cells = len(place)
        self.of_numbers = torch.tensor([place[name] for name in numeric_columns], dtype=torch.int64)
        self.of_ids = torch.tensor([place[name] for name in id_columns], dtype=torch.int64)

    def swap(self, batch: Batch, partner: Batch, *, share: Tensor) -> tuple[Tensor, Tensor]:
        """Numbers and ids, each cell of `batch` with the probability `share`, else of `partner`."""
        device = batch.numeric.device
        own = torch.rand(len(batch.target), self.num_cells, device=device) < share
        of_numbers, of_ids = self.of_numbers.to(device), self.of_ids.to(device)
        numeric = torch.where(own[:, of_numbers], batch.numeric, partner.numeric)
        return numeric, torch.where(own[:, of_ids], batch.ids, partner.ids)


def _make_shares(alpha: float) -> Beta:
    return Beta(alpha, alpha, validate_args=False)


def _make_mixed(
    batch: Batch, partner: Batch, numeric: Tensor, ids: Tensor, pixels: Tensor, *, share: Tensor
) -> MixedBatch:
    own = (batch.target, batch.weight)
    return MixedBatch(numeric, ids, *own, pixels, partner.target, partner.weight, share)


def _draw_partner(batch: Batch) -> Batch:
    """The batch in another order."""
    order = torch.randperm(len(batch.target), device=batch.target.device)
    return Batch(*(tensor.index_select(0, order) for tensor in batch))
