"""Which rows to label: those of which the model is least sure, and which differ from one another.

Source: Settles, "Active Learning Literature Survey", 2009 (margin, entropy, query by committee); Gonzalez, "Clustering
to minimize the maximum intercluster distance", 1985 (farthest first).
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.schema import Task
from treadle.tasks import TRAITS

Criterion = Literal["margin", "entropy", "disagreement"]
POOL = 10  # candidates for each row that is chosen: the least sure, among which the rows are to differ


def score_rows(members: Tensor, *, task: Task, by: Criterion) -> Tensor:
    """How unsure the model is of each row, `[B]` float64; higher is less sure.

    Args:
        members: predictions of each member, `[M, B]` probabilities or values, or `[M, B, K]` probabilities of K classes
            or labels.
        task: of the model.
        by: margin, between the two likeliest classes; entropy of the mean prediction; or disagreement of the members:
            the mean divergence from their mean (Jensen and Shannon), of a regression their variance. Of several labels
            the mean over them.

    Raises:
        TreadleError: a regression has no margin or entropy; a model without members does not disagree.
    """
    if by == "disagreement" and len(members) < 2:  # noqa: PLR2004 - one has nobody to disagree with
        raise TreadleError(
            "--by disagreement: the model has one member; take model=blend, ensemble or tabm, or --by margin"
        )
    traits = TRAITS[task]
    if traits.is_value:
        if by != "disagreement":
            raise TreadleError(f"--by {by}: a regression has no classes; take --by disagreement")
        return members.double().var(dim=0, unbiased=False)
    shares = members.double()
    if traits.activation == "sigmoid":
        shares = torch.stack([1 - shares, shares], dim=-1)
    scores = _score_shares(shares, by=by)
    return scores.mean(dim=1) if scores.dim() == 2 else scores  # noqa: PLR2004 - of labels


def _score_shares(shares: Tensor, *, by: Criterion) -> Tensor:
    """How unsure members are whose shares of the classes stand in the last dimension, the members in the first."""
    mean = shares.mean(dim=0)
    if by == "margin":
        first, second = mean.topk(2, dim=-1).values.unbind(dim=-1)
        return 1 - (first - second)
    entropy = _measure_entropy(mean)
    return entropy if by == "entropy" else entropy - _measure_entropy(shares).mean(dim=0)


def _measure_entropy(shares: Tensor) -> Tensor:
    entropy: Tensor = torch.special.entr(shares).sum(dim=-1)
    return entropy


def choose_rows(scores: Tensor, *, numeric: Tensor, ids: Tensor, budget: int) -> list[int]:
    """Positions of the rows to label, the most telling first; no number is drawn at random.

    The first is the least sure. Each further one is that whose distance to the nearest chosen row, times its score, is
    largest, among the `POOL * budget` least sure. The distance is Euclidean over numbers in units of their deviation;
    each id that differs counts 1.

    Args:
        scores: of each row `[B]`.
        numeric: numbers of the rows `[B, N]`, NaN where missing, which counts as the mean.
        ids: ids of the rows `[B, C]`.
        budget: how many are chosen; all of them where there are fewer.
    """
    pool = torch.argsort(scores, descending=True, stable=True)[: POOL * budget]
    if not len(pool):
        return []
    numbers = numeric[pool].double()
    mean = numbers.nanmean(dim=0)
    numbers = torch.where(numbers.isnan(), mean, numbers).nan_to_num(0.0) - mean.nan_to_num(0.0)
    numbers = numbers / numbers.square().mean(dim=0).sqrt().clamp(min=1e-12)
    codes, weights = ids[pool], scores[pool].clamp(min=0)
    nearest = torch.full((len(pool),), torch.inf, dtype=torch.float64)
    chosen = [0]
    while len(chosen) < min(budget, len(pool)):
        last = chosen[-1]
        apart = (numbers - numbers[last]).square().sum(dim=1) + (codes != codes[last]).sum(dim=1)
        nearest = torch.minimum(nearest, apart.sqrt())
        gains = nearest * weights
        gains[chosen] = -1.0
        chosen.append(int(gains.argmax()))
    return [int(pool[place]) for place in chosen]
