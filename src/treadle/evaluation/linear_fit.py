"""Fit the linear baseline by L-BFGS on all rows at once, with a penalty that few rows choose by cross-validation.

Columns in bins and categories have hundreds of weights, which a few hundred rows do not hold: without a penalty the
linear model is worse than guessing, and nothing to be compared with.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from treadle.models.linear import Linear
from treadle.schema import Batch

_STEPS = 100
_PENALTY = 1e-5  # of the squared weights: keeps the weights of one-hot columns finite
_PENALTIES = (10.0, 1.0, 0.1, 0.01, 1e-3, 1e-4, _PENALTY)  # falling; with the first all but the bias is near 0
_MANY_ROWS = 10_000  # from which they hold the weights themselves
_FOLDS = 3
_SEED = 0  # of the folds

Losses = Callable[[Batch], Tensor]  # of each row, `[B]`, by the model as it is


def fit_linear(model: Linear, rows: Batch, compute_losses: Losses) -> None:
    """Minimise the weighted loss with a penalty, in place; the model is as it was made, its weights 0."""
    begin = _copy_state(model)
    penalty = _choose_penalty(model, rows, compute_losses) if len(rows.target) < _MANY_ROWS else _PENALTY
    model.load_state_dict(begin)
    _minimise(model, rows, compute_losses, penalty=penalty)


def _choose_penalty(model: Linear, rows: Batch, compute_losses: Losses) -> float:
    """The largest penalty after which a smaller one does not lower the loss of the rows left out."""
    counted = rows.weight.nonzero()[:, 0]  # of a fold whose rows all weigh 0 no loss is defined
    order = counted[torch.randperm(len(counted), generator=torch.Generator().manual_seed(_SEED))]
    folds = [order[fold::_FOLDS] for fold in range(_FOLDS)]
    states = [_copy_state(model) for _ in folds]  # of each fold: the next penalty begins with its weights
    best, least = _PENALTIES[0], torch.inf
    for penalty in _PENALTIES:
        loss = 0.0
        for fold, left_out in enumerate(folds):
            kept = torch.cat([other for place, other in enumerate(folds) if place != fold])
            model.load_state_dict(states[fold])
            _minimise(model, _take(rows, kept), compute_losses, penalty=penalty)
            states[fold] = _copy_state(model)
            loss += _sum_losses(_take(rows, left_out), compute_losses)
        if not loss < least:
            break
        best, least = penalty, loss
    return best


def _minimise(model: Linear, rows: Batch, compute_losses: Losses, *, penalty: float) -> None:
    parameters = dict(model.named_parameters())
    optimizer = torch.optim.LBFGS(parameters.values(), max_iter=_STEPS, line_search_fn="strong_wolfe")
    weight = rows.weight / rows.weight.sum()
    shares = {name: _PENALTY / penalty if name == "bias" else 1.0 for name in parameters}  # the bias stays free

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        squares = sum((shares[name] * p.square().sum() for name, p in parameters.items()), torch.tensor(0.0))
        loss = (compute_losses(rows) * weight).sum() + penalty * squares
        loss.backward()
        return loss

    optimizer.step(evaluate)


@torch.no_grad()
def _sum_losses(rows: Batch, compute_losses: Losses) -> float:
    return float((compute_losses(rows) * rows.weight).sum())


def _take(rows: Batch, places: Tensor) -> Batch:
    return Batch(*(values[places] for values in rows))


def _copy_state(model: Linear) -> dict[str, Tensor]:
    return {name: values.clone() for name, values in model.state_dict().items()}
