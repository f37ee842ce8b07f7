"""The stage `baseline`: fit the baselines on the same rows and inputs as the model.

The prior, a linear model and gradient boosting depend on data and features alone, so runs share them.
"""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
import polars as pl
import torch
from torch import Tensor
from torch.nn import functional as nnf

from treadle.bundle import to_prediction
from treadle.errors import TreadleError
from treadle.evaluation.linear_fit import fit_linear
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment
from treadle.features.base import narrow
from treadle.features.featurizer import Featurizer, Inputs
from treadle.features.stored import load_rows
from treadle.features.target import measure_target, scale_target
from treadle.features.transforms import Standardize
from treadle.json_files import read_json, write_json
from treadle.models.linear import Linear
from treadle.models.offset import Offsets
from treadle.schema import Batch, Task
from treadle.tasks import TRAITS
from treadle.tensor_files import save_whole

if TYPE_CHECKING:
    import lightgbm


# Of LightGBM, where it is not the task's own name.
_OBJECTIVES: dict[Task, str] = {"count": "poisson", "multilabel": "binary"}
_BOOSTING_SEED = 0  # of the rows from which LightGBM takes the bounds of its bins


@dataclass(frozen=True)
class Sizes:
    """What a baseline is fitted to."""

    task: Task
    num_numeric: int
    cardinalities: list[int]  # number of ids of each id column
    num_classes: int  # of a multiclass task, or of several labels; else 0
    is_raw: bool = False  # whether numbers come as they are, missing ones as NaN
    kept: list[int] | slice = field(default_factory=lambda: slice(None))  # which ids: tokens of texts are no categories
    offsets: Offsets | None = None  # which numbers are added to a model's output; `num_numeric` is of the others


class Fitted(Protocol):
    """Something that predicts from the same inputs as the model."""

    def predict(self, inputs: Inputs) -> Tensor:
        """`[B]` probabilities or values, or `[B, K]` probabilities."""


class Baseline(Fitted, Protocol):
    """Something fitted on the training split."""

    @classmethod
    def fit(cls, rows: Batch, sizes: Sizes) -> Self:
        """Fit on the training split as `featurize` wrote it, targets in their own units."""

    def save(self, path: Path) -> None:
        """Write the fitted state to a file."""

    @classmethod
    def load(cls, path: Path, sizes: Sizes) -> Self:
        """Read what `save` wrote."""


def fit_baselines(experiment: Experiment, *, folder: RunFolder) -> None:
    """Fit the baselines of `evaluation.baselines` on `folder.features`, and write them to `folder.baselines`.

    Raises:
        TreadleError: gradient boosting is asked for, and LightGBM is not installed.
    """
    torch.set_num_threads(1)
    out = folder.baselines
    out.mkdir(parents=True, exist_ok=True)
    if not experiment.evaluation.baselines:
        return
    sizes = _read_sizes(experiment, folder)
    rows = load_rows(folder.features / "train")
    rows = rows._replace(ids=rows.ids[:, sizes.kept])
    if sizes.offsets is not None:
        rows = sizes.offsets.to_rates(rows)
    for name in experiment.evaluation.baselines:
        KINDS[name].fit(rows, sizes).save(out / name)


def load_baselines(experiment: Experiment, *, folder: RunFolder) -> dict[str, Fitted]:
    """The baselines that `fit_baselines` wrote, by name."""
    sizes = _read_sizes(experiment, folder)
    names = experiment.evaluation.baselines
    return {name: _OfModelInputs(KINDS[name].load(folder.baselines / name, sizes), sizes) for name in names}


def predict_baselines(experiment: Experiment, parts: Iterable[pl.DataFrame], *, folder: RunFolder) -> dict[str, Tensor]:
    """Predictions of each baseline, by name.

    Args:
        experiment: names the baselines.
        parts: of the rows, some at a time.
        folder: of the run.
    """
    if not experiment.evaluation.baselines:
        return {}
    featurizer = Featurizer.load(folder.features, spec=experiment.features, targets=experiment.targets)
    baselines = load_baselines(experiment, folder=folder)
    predicted: dict[str, list[Tensor]] = {name: [] for name in baselines}
    for part in parts:
        inputs = featurizer(part)
        for name, fitted in baselines.items():
            predicted[name].append(torch.as_tensor(fitted.predict(inputs)))
    return {name: torch.cat(values) for name, values in predicted.items()}


def _read_sizes(experiment: Experiment, folder: RunFolder) -> Sizes:
    inputs = json.loads((folder.features / "inputs.json").read_text(encoding="utf-8"))
    tokens = {place for start, length, _ in inputs.get("texts", []) for place in range(start, start + length)}
    cardinalities = inputs["cardinalities"]
    kept = [place for place in range(len(cardinalities)) if place not in tokens]
    places, num_numeric = inputs.get("offsets", []), len(inputs["numeric"])
    return Sizes(
        experiment.data.answer,
        num_numeric - len(places),
        [cardinalities[place] for place in kept],
        len(inputs["classes"]),
        experiment.features.is_raw,
        kept if tokens else slice(None),
        Offsets(num_numeric=num_numeric, places=places) if places else None,
    )


@dataclass(frozen=True)
class _OfModelInputs:
    """A baseline that is asked with all inputs of the model."""

    baseline: Fitted
    sizes: Sizes

    def predict(self, inputs: Inputs) -> Tensor:
        """Predict from those that it was fitted to; of a rate, times the exposure."""
        offsets = self.sizes.offsets
        given = inputs._replace(ids=inputs.ids[:, self.sizes.kept])
        if offsets is None:
            return self.baseline.predict(given)
        rates = self.baseline.predict(given._replace(numeric=offsets.leave(inputs.numeric)))
        return rates * offsets.take(inputs.numeric).exp()


@dataclass(frozen=True)
class Prior:
    """The weighted mean of the target, or the share of each class, whatever the row."""

    shares: Tensor  # `[]`, or `[K]`

    @classmethod
    def fit(cls, rows: Batch, sizes: Sizes) -> Self:
        """Average the targets by weight."""
        weight = rows.weight.double()
        if sizes.task == "multiclass":
            sums = torch.zeros(sizes.num_classes, dtype=torch.float64).index_add(0, rows.target, weight)
            return cls((sums / weight.sum()).float())
        if sizes.task == "multilabel":
            return cls((weight @ rows.target.double() / weight.sum()).float())
        mean = (rows.target.double() * weight).sum() / weight.sum()
        return cls(mean if TRAITS[sizes.task].is_value else mean.float())

    def predict(self, inputs: Inputs) -> Tensor:
        """The same for every row."""
        return self.shares.expand(len(inputs.numeric), *self.shares.shape)

    def save(self, path: Path) -> None:
        """Write the shares."""
        save_whole(self.shares, path)

    @classmethod
    def load(cls, path: Path, sizes: Sizes) -> Self:  # noqa: ARG003 - the shares hold the sizes
        """Read the shares."""
        return cls(torch.load(path, weights_only=True))


@dataclass(frozen=True)
class LinearFit:
    """Treadle's linear model, fitted to convergence by L-BFGS on all rows at once.

    Numbers that come as they are it standardises by itself; missing ones count as the mean.
    """

    model: Linear
    numbers: Standardize | None  # None: the features have scaled them
    task: Task
    mean: float  # of the target of a value, which is fitted in deviations
    scale: float

    @classmethod
    def fit(cls, rows: Batch, sizes: Sizes) -> Self:
        """Minimise the weighted loss of the task with a penalty: that of a count is a Poisson regression."""
        rows, mean, scale = _scale(rows, task=sizes.task)
        numbers = _make_standard(sizes)
        if numbers is not None:
            numbers.fit(rows.numeric.double())
        fitted = cls(_make_linear(sizes), numbers, sizes.task, mean, scale)
        rows = rows._replace(numeric=fitted.read_numbers(rows.numeric))
        fit_linear(fitted.model, rows, fitted.compute_losses)
        return fitted

    def compute_losses(self, rows: Batch) -> Tensor:
        """The loss of each row, `[B]`, whose target is scaled."""
        output: Tensor = self.model(rows.numeric, rows.ids)
        if self.task == "multiclass":
            return nnf.cross_entropy(output, rows.target, reduction="none")
        if self.task == "binary":
            return nnf.binary_cross_entropy_with_logits(output[:, 0], rows.target, reduction="none")
        if self.task == "multilabel":  # the sum: each label is fitted as it would be alone
            return nnf.binary_cross_entropy_with_logits(output, rows.target, reduction="none").sum(dim=1)
        if self.task == "count":
            return nnf.poisson_nll_loss(output[:, 0], rows.target, log_input=True, full=False, reduction="none")
        errors: Tensor = output[:, 0] - rows.target
        return errors.square()

    @torch.no_grad()
    def predict(self, inputs: Inputs) -> Tensor:
        """In the target's own units."""
        output = to_prediction(
            self.model(self.read_numbers(inputs.numeric), inputs.ids), task=self.task, link=TRAITS[self.task].link
        )
        return _unscale(output, task=self.task, mean=self.mean, scale=self.scale)

    def read_numbers(self, numeric: Tensor) -> Tensor:
        """The numbers `[B, N]` as the linear model takes them."""
        return numeric if self.numbers is None else narrow(self.numbers(numeric.double()).nan_to_num(0.0))

    def save(self, path: Path) -> None:
        """Write the weights."""
        state = {"weights": self.model.state_dict(), "mean": self.mean, "scale": self.scale}
        save_whole(state if self.numbers is None else {**state, "numbers": self.numbers.state_dict()}, path)

    @classmethod
    def load(cls, path: Path, sizes: Sizes) -> Self:
        """Read the weights."""
        state = torch.load(path, weights_only=True)
        model = _make_linear(sizes)
        model.load_state_dict(state["weights"])
        numbers = _make_standard(sizes)
        if numbers is not None:
            numbers.load_state_dict(state["numbers"])
        return cls(model, numbers, sizes.task, state["mean"], state["scale"])


def _make_standard(sizes: Sizes) -> Standardize | None:
    return Standardize(columns=[str(place) for place in range(sizes.num_numeric)]) if sizes.is_raw else None


def _make_linear(sizes: Sizes) -> Linear:
    outputs = max(1, sizes.num_classes)
    return Linear(num_numeric=sizes.num_numeric, cardinalities=sizes.cardinalities, num_outputs=outputs)


@dataclass(frozen=True)
class Boosting:
    """LightGBM with its default settings (100 trees of 31 leaves); id columns are categories to it.

    Of several labels a model for each.
    """

    boosters: list[lightgbm.Booster]
    task: Task
    mean: float  # as in the linear model: LightGBM stores labels in float32
    scale: float

    @classmethod
    def fit(cls, rows: Batch, sizes: Sizes) -> Self:
        """Train on one thread, so that the trees are the same everywhere."""
        lightgbm = _import_lightgbm()
        has_labels = sizes.task == "multilabel"
        settings = {
            "objective": _OBJECTIVES.get(sizes.task, sizes.task),
            "num_class": 1 if has_labels else max(1, sizes.num_classes),
            "seed": _BOOSTING_SEED,
            "verbose": -1,
            "num_threads": 1,
            "deterministic": True,
        }
        rows, mean, scale = _scale(rows, task=sizes.task)
        first = rows.numeric.shape[1]
        targets = rows.target.unbind(dim=1) if has_labels else [rows.target]
        data = lightgbm.Dataset(
            _to_matrix(rows.numeric, rows.ids),
            label=targets[0].contiguous().numpy(),
            weight=rows.weight.numpy(),
            categorical_feature=list(range(first, first + rows.ids.shape[1])),
        )
        boosters = [lightgbm.train(settings, data.set_label(target.contiguous().numpy())) for target in targets]
        return cls(boosters, sizes.task, mean, scale)

    def predict(self, inputs: Inputs) -> Tensor:
        """Probabilities, or values."""
        matrix = _to_matrix(inputs.numeric, inputs.ids)
        found = [torch.from_numpy(np.asarray(one.predict(matrix), dtype=np.float32)) for one in self.boosters]
        output = torch.stack(found, dim=1) if self.task == "multilabel" else found[0]
        return _unscale(output, task=self.task, mean=self.mean, scale=self.scale)

    def save(self, path: Path) -> None:
        """Write the trees as LightGBM's text."""
        trees = [booster.model_to_string() for booster in self.boosters]
        write_json({"trees": trees, "mean": self.mean, "scale": self.scale}, path)

    @classmethod
    def load(cls, path: Path, sizes: Sizes) -> Self:
        """Read the trees."""
        state = read_json(path)
        boosters = [_import_lightgbm().Booster(model_str=trees) for trees in state["trees"]]
        return cls(boosters, sizes.task, state["mean"], state["scale"])


def _scale(rows: Batch, *, task: Task) -> tuple[Batch, float, float]:
    """Values scaled as training scales them, weights around 1, and what values are moved and divided by."""
    mean, scale = 0.0, 1.0
    if TRAITS[task].is_value:
        mean, scale = measure_target(lambda: [rows.target])
    if TRAITS[task].link == "log":
        mean, scale = 0.0, mean or 1.0
    target = scale_target(rows.target, mean=mean, scale=scale)
    return rows._replace(target=target, weight=rows.weight / rows.weight.mean()), mean, scale


def _unscale(output: Tensor, *, task: Task, mean: float, scale: float) -> Tensor:
    """Predictions in the target's own units, in float64."""
    return output.double() * scale + mean if TRAITS[task].is_value else output


def _import_lightgbm() -> ModuleType:
    try:
        return importlib.import_module("lightgbm")  # optional
    except ImportError as error:
        raise TreadleError(
            "evaluation.baselines: gradient_boosting needs LightGBM, which is not installed; "
            "`pip install treadle[boosting]`, or leave it out of the list"
        ) from error


def _to_matrix(numeric: Tensor, ids: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    return torch.cat([numeric, ids.float()], dim=1).numpy()


KINDS: dict[str, type[Baseline]] = {"prior": Prior, "linear": LinearFit, "gradient_boosting": Boosting}
