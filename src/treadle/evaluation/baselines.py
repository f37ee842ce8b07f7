"""What a model must beat: the prior, a linear model, gradient boosting; trained on the same rows and inputs."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as nnf

from treadle.bundle import to_prediction
from treadle.features.featurizer import Inputs
from treadle.models.linear import Linear
from treadle.schema import Batch, Task, TreadleError

Predict = Callable[[Inputs], Tensor]  # [B] probability or value, or [B, K] probabilities

_LINEAR_STEPS = 100
_LINEAR_PENALTY = 1e-5  # of the squared weights: keeps one-hot columns from running away


def fit_baseline(
    name: str, rows: Batch, *, task: Task, num_classes: int, cardinalities: list[int], seed: int
) -> Predict:
    """Fit one baseline on the training split.

    Args:
        name: `prior`, `linear` or `gradient_boosting`.
        rows: the training split as `featurize` wrote it, targets in their own units.
        task: of the experiment.
        num_classes: of a multiclass task, else 0.
        cardinalities: number of ids of each id column.
        seed: of gradient boosting; the others draw nothing.
    """
    if name == "prior":
        return _fit_prior(rows, task=task, num_classes=num_classes)
    if name == "linear":
        return _fit_linear(rows, task=task, num_classes=num_classes, cardinalities=cardinalities)
    return _fit_boosting(rows, task=task, num_classes=num_classes, seed=seed)


def _fit_prior(rows: Batch, *, task: Task, num_classes: int) -> Predict:
    """The weighted mean of the target, or the share of each class, whatever the row."""
    weight = rows.weight / rows.weight.sum()
    if task == "multiclass":
        shares = torch.zeros(num_classes).index_add(0, rows.target, weight)
        return lambda inputs: shares.expand(len(inputs.numeric), num_classes)
    mean = (rows.target.double() * weight).sum().float()
    return lambda inputs: mean.expand(len(inputs.numeric))


def _fit_linear(rows: Batch, *, task: Task, num_classes: int, cardinalities: list[int]) -> Predict:
    """Treadle's linear model, fitted to convergence by L-BFGS on all rows at once."""
    mean, scale = (
        (rows.target.mean(), rows.target.std()) if task == "regression" else (torch.tensor(0.0), torch.tensor(1.0))
    )
    scale = scale if scale > 0 else torch.tensor(1.0)
    model = Linear(num_numeric=rows.numeric.shape[1], cardinalities=cardinalities, num_outputs=max(1, num_classes))
    weight = rows.weight / rows.weight.sum()
    optimizer = torch.optim.LBFGS(model.parameters(), max_iter=_LINEAR_STEPS, line_search_fn="strong_wolfe")

    def evaluate() -> Tensor:
        optimizer.zero_grad()
        output = model(rows.numeric, rows.ids)
        if task == "multiclass":
            each = nnf.cross_entropy(output, rows.target, reduction="none")
        elif task == "binary":
            each = nnf.binary_cross_entropy_with_logits(output[:, 0], rows.target, reduction="none")
        else:
            each = (output[:, 0] - (rows.target - mean) / scale).square()
        penalty = sum((p.square().sum() for p in model.parameters()), torch.tensor(0.0))
        loss = (each * weight).sum() + _LINEAR_PENALTY * penalty
        loss.backward()
        return loss

    optimizer.step(evaluate)

    @torch.no_grad()
    def predict(inputs: Inputs) -> Tensor:
        return to_prediction(model(*inputs), task=task) * scale + mean

    return predict


def _fit_boosting(rows: Batch, *, task: Task, num_classes: int, seed: int) -> Predict:
    """LightGBM with its default settings (100 trees of 31 leaves); id columns are categories to it."""
    try:
        import lightgbm  # optional
    except ImportError as error:
        raise TreadleError(
            "evaluation.baselines: gradient_boosting needs LightGBM, which is not installed; "
            "`pip install treadle[boosting]`, or leave it out of the list"
        ) from error
    first = rows.numeric.shape[1]
    objective = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}[task]
    settings = {"objective": objective, "seed": seed, "verbose": -1, "num_threads": 1, "deterministic": True}
    if task == "multiclass":
        settings["num_class"] = num_classes
    data = lightgbm.Dataset(
        _to_matrix(Inputs(rows.numeric, rows.ids)),
        label=rows.target.numpy(),
        weight=rows.weight.numpy(),
        categorical_feature=list(range(first, first + rows.ids.shape[1])),
    )
    booster = lightgbm.train(settings, data)
    return lambda inputs: torch.from_numpy(np.asarray(booster.predict(_to_matrix(inputs)), dtype=np.float32))


def _to_matrix(inputs: Inputs) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return torch.cat([inputs.numeric, inputs.ids.float()], dim=1).numpy()
