"""Rows whose label is not certain: each is written once for each class, and weighs as much as the class is likely.

So a sum of weighted losses is the loss that is to be expected, for any loss, and for any model that takes weights.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

import polars as pl
import torch

from treadle.schema import BINARY_CLASSES, Batch


def spread_labels(rows: Batch, shares: pl.Series, *, classes: Sequence[str]) -> Batch:
    """The rows, each as often as it has classes of a share above 0, one after the other.

    Args:
        rows: `[B]`.
        shares: `[B]` share of each class, as a field of its name.
        classes: of a multiclass task, in the order of the targets; a share of another class is left out.
    """
    table = shares.struct.unnest()
    columns = [torch.from_numpy(table.get_column(name).to_numpy(writable=True)) for name in classes or BINARY_CLASSES]
    by_class = torch.stack(columns, dim=1).float()
    places, targets = by_class.nonzero(as_tuple=True)
    weight = rows.weight[places] * by_class[places, targets]
    return Batch(rows.numeric[places], rows.ids[places], targets.to(rows.target.dtype), weight, rows.pixels[places])


def cut_evenly(parts: Iterable[Batch], size: int) -> Iterator[Batch]:
    """The same rows in the same order, so many at a time; fewer at the end."""
    left: list[Batch] = []
    count = 0
    for part in parts:
        if not left and len(part.target) == size:
            yield part
            continue
        left.append(part)
        count += len(part.target)
        if count >= size:
            rows = _join(left)
            whole = count - count % size
            yield from (Batch(*piece) for piece in zip(*(values[:whole].split(size) for values in rows), strict=True))
            left = [Batch(*(values[whole:] for values in rows))] if count > whole else []
            count -= whole
    if left:
        yield _join(left)


def _join(parts: Sequence[Batch]) -> Batch:
    return Batch(*(torch.cat(values) for values in zip(*parts, strict=True)))
