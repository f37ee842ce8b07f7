"""Augmentation: rows of a batch mixed with each other while training. The configuration names one in `augmentation`.

It is built with the column that each input comes from, and is called with each batch, in a step's turn. Its random
numbers are torch's own, which training seeds anew for each epoch. Where several processes share a batch, each mixes
the rows that it has.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.distributions import Beta

from treadle.schema import Batch, Positive


class MixedBatch(NamedTuple):
    """A batch in which each row has a partner, another row, whose target counts as well."""

    numeric: Tensor  # [B, N] float32, mixed
    ids: Tensor  # [B, C] int64, mixed
    target: Tensor  # [B] the row's own
    weight: Tensor  # [B] the row's own
    partner_target: Tensor  # [B]
    partner_weight: Tensor  # [B]
    share: Tensor  # [] of the loss that the row's own target makes; the partner's makes the rest


Augment = Callable[[Batch], Batch | MixedBatch]


class NoAugmentation:
    """Batches as they are.

    Args:
        numeric_columns: the column that each number comes from.
        id_columns: the column that each id comes from.
    """

    def __init__(self, *, numeric_columns: Sequence[str], id_columns: Sequence[str]) -> None:
        """Take what every augmentation takes."""


class Mixup:
    """Each row becomes a weighted mean of itself and of a partner, and its loss the mean of both targets' losses.

    Ids have no mean: a row takes those of its partner, column by column, with the partner's share as probability.
    For a squared error this is the same as to mix the targets; for a log loss, too.

    Args:
        numeric_columns: the column that each number comes from.
        id_columns: the column that each id comes from.
        alpha: the share of a batch's rows is drawn from Beta(alpha, alpha): near 0 they stay nearly as they are.

    Source: "mixup: Beyond Empirical Risk Minimization", arXiv 1710.09412.
    """

    def __init__(self, *, numeric_columns: Sequence[str], id_columns: Sequence[str], alpha: Positive) -> None:
        self.cells = _Cells(numeric_columns, id_columns)
        self.shares = _make_shares(alpha)

    def __call__(self, batch: Batch) -> MixedBatch:
        """Mix."""
        share, partner = self.shares.sample(), _draw_partner(batch)
        numeric = share * batch.numeric + (1 - share) * partner.numeric
        _, ids = self.cells.swap(batch, partner, share=share)
        return MixedBatch(numeric, ids, batch.target, batch.weight, partner.target, partner.weight, share)


class CutMix:
    """Each cell of a row is its own or that of a partner, and the row's loss the mean of both targets' losses.

    A cell is what a column gave: its bins, or the mark that it is missing, go with its number, and its ids, too.

    Args:
        numeric_columns: the column that each number comes from.
        id_columns: the column that each id comes from.
        alpha: the share of a batch's cells that stay is drawn from Beta(alpha, alpha); 1: each share alike.

    Source: "SAINT: Improved Neural Networks for Tabular Data", arXiv 2106.01342, after "CutMix", arXiv 1905.04899.
    """

    def __init__(self, *, numeric_columns: Sequence[str], id_columns: Sequence[str], alpha: Positive) -> None:
        self.cells = _Cells(numeric_columns, id_columns)
        self.shares = _make_shares(alpha)

    def __call__(self, batch: Batch) -> MixedBatch:
        """Mix."""
        share, partner = self.shares.sample(), _draw_partner(batch)
        numeric, ids = self.cells.swap(batch, partner, share=share)
        return MixedBatch(numeric, ids, batch.target, batch.weight, partner.target, partner.weight, share)


class _Cells:
    """Which inputs come from the same column, and change hands together."""

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


def _draw_partner(batch: Batch) -> Batch:
    """The batch in another order."""
    order = torch.randperm(len(batch.target), device=batch.target.device)
    return Batch(*(tensor.index_select(0, order) for tensor in batch))
