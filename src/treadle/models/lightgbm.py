"""LightGBM: gradient boosting of trees that grow leaf by leaf."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from treadle.disk import write_text
from treadle.errors import TreadleError
from treadle.json_files import read_limited
from treadle.models.estimator import NotNegative, Training, Whole, import_library
from treadle.models.lightgbm_text import check_trees, strip_trees
from treadle.models.matrix import join_inputs, list_directions, read_labels
from treadle.models.rounds import Rounds
from treadle.schema import Batch, Count, Positive

if TYPE_CHECKING:
    import lightgbm

_OBJECTIVES = {"quantile": "quantile", "huber": "huber", "poisson": "poisson", "tweedie": "tweedie"}
_DEFAULTS = {"binary": "binary", "multiclass": "multiclass", "regression": "regression"}
_PARAMETERS = {"quantile": "alpha", "huber": "alpha", "tweedie": "tweedie_variance_power"}
MAX_BYTES = 1 << 30  # of the trees of a bundle


class LightGBM:
    """Gradient boosting of trees, each split at the leaf that gains most.

    Categories and missing numbers need no encoding: a split sends a set of categories to one side, and missing numbers
    to the side that they fit better.

    Source: "LightGBM: A Highly Efficient Gradient Boosting Decision Tree", NeurIPS 2017. Arguments have its names.

    Shape:
        numeric: `[B, N]`, NaN where missing; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        max_rounds: maximum number of rounds, each of which adds a tree for each output.
        early_stopping_rounds: rounds without a better validation score after which training stops; null: never.
        eval_period: rounds between two validations; an epoch of metrics.csv [rounds].
        learning_rate: factor of each tree's contribution.
        num_leaves: maximum number of leaves of a tree.
        max_depth: maximum depth of a tree; -1: no limit.
        min_data_in_leaf: minimum number of training rows of a leaf [rows].
        min_sum_hessian_in_leaf: minimum sum of the second derivatives of the loss in a leaf.
        feature_fraction: fraction of inputs that each tree is given.
        bagging_fraction: fraction of rows that each tree is given; 1: all.
        bagging_freq: rounds after which the rows are drawn anew; 0: never [rounds].
        lambda_l1: L1 penalty of the values of leaves.
        lambda_l2: L2 penalty of the values of leaves.
        min_gain_to_split: minimum gain of a split.
        max_bin: maximum number of bins of a number.
        extra_trees: whether thresholds are drawn at random.
        cat_smooth: smoothing of rare categories.
        cat_l2: L2 penalty of splits by category.
        max_cat_threshold: maximum number of categories on one side of a split.
        min_data_per_group: minimum number of training rows of a category [rows].
        monotone: direction by column of a number: 1, the prediction does not fall where it rises; -1, it does not rise;
            null: none.
    """

    OBJECTIVES = ("default", "quantile", "huber", "poisson", "tweedie", "quantiles")
    UNDIRECTED = ("quantile", "quantiles")
    RAW_INPUTS = True
    REFITS = True
    LIBRARY = "lightgbm"
    EXTRA = "boosting"
    FILE = "trees.txt"

    def __init__(
        self,
        *,
        num_numeric: int,
        cardinalities: Sequence[int],
        num_outputs: int,
        max_rounds: Count,
        early_stopping_rounds: Count | None,
        eval_period: Count,
        learning_rate: Positive,
        num_leaves: Annotated[int, Field(ge=2)],
        max_depth: Annotated[int, Field(ge=-1)],
        min_data_in_leaf: Annotated[int, Field(ge=0)],
        min_sum_hessian_in_leaf: NotNegative,
        feature_fraction: Whole,
        bagging_fraction: Whole,
        bagging_freq: Annotated[int, Field(ge=0)],
        lambda_l1: NotNegative,
        lambda_l2: NotNegative,
        min_gain_to_split: NotNegative,
        max_bin: Annotated[int, Field(ge=2)],
        extra_trees: bool,
        cat_smooth: NotNegative,
        cat_l2: NotNegative,
        max_cat_threshold: Count,
        min_data_per_group: Count,
        monotone: Mapping[str, Literal[-1, 1]] | None,
    ) -> None:
        self.num_numeric = num_numeric
        self.num_categories = len(cardinalities)
        self.num_outputs = num_outputs
        self.rounds = Rounds(max_rounds, eval_period, early_stopping_rounds)
        self.monotone = monotone
        self.booster: lightgbm.Booster | None = None
        self.settings = {
            "learning_rate": learning_rate,
            "num_leaves": num_leaves,
            "max_depth": max_depth,
            "min_data_in_leaf": min_data_in_leaf,
            "min_sum_hessian_in_leaf": min_sum_hessian_in_leaf,
            "feature_fraction": feature_fraction,
            "bagging_fraction": bagging_fraction,
            "bagging_freq": bagging_freq,
            "lambda_l1": lambda_l1,
            "lambda_l2": lambda_l2,
            "min_gain_to_split": min_gain_to_split,
            "max_bin": max_bin,
            "extra_trees": extra_trees,
            "cat_smooth": cat_smooth,
            "cat_l2": cat_l2,
            "max_cat_threshold": max_cat_threshold,
            "min_data_per_group": min_data_per_group,
        }

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Add trees round by round."""
        library = _import()
        settings = self._list_settings(training)
        data = self._make_dataset(library, train, settings)
        try:
            booster = library.Booster(settings, data)
            booster.add_valid(self._make_dataset(library, valid, settings, reference=data), "valid")
            self.rounds.train(
                add=lambda _: bool(booster.update()),  # whether no split gains anything
                show=lambda: (_read(booster.eval_train), _read(booster.eval_valid)),
                watch=training.watch,
            )
        except library.basic.LightGBMError as error:
            reason = str(error).splitlines()[0]
            raise TreadleError(f"model: LightGBM cannot be trained on these rows: {reason}") from error
        self._set_trees(booster.model_to_string(num_iteration=self.rounds.best))

    def restart(self) -> None:
        """Forget the trees; the next `fit` adds as many rounds as were best."""
        self.rounds.restart()
        self.booster = None

    def _list_settings(self, training: Training) -> dict[str, Any]:
        objective = training.objective
        settings = {
            **self.settings,
            "objective": _OBJECTIVES.get(objective.name) or _DEFAULTS[objective.task],
            "num_class": self.num_outputs,
            "metric": "none",
            "seed": training.seed,
            "num_threads": training.threads,
            "deterministic": True,
            "force_col_wise": True,  # else a measurement of time decides the order of sums
            "verbosity": -1,
        }
        if objective.parameter is not None:
            settings[_PARAMETERS[objective.name]] = objective.parameter
        if self.monotone:
            settings["monotone_constraints"] = list_directions(
                self.monotone, numeric_columns=training.numeric_columns, num_ids=self.num_categories
            )
        return settings

    def _make_dataset(
        self,
        library: ModuleType,
        rows: Batch,
        settings: Mapping[str, Any],
        *,
        reference: lightgbm.Dataset | None = None,
    ) -> lightgbm.Dataset:
        made: lightgbm.Dataset = library.Dataset(
            join_inputs(rows.numeric, rows.ids).numpy(),
            label=read_labels(rows, num_outputs=self.num_outputs),
            weight=rows.weight.numpy(),
            categorical_feature=list(range(self.num_numeric, self.num_numeric + self.num_categories)),
            params=dict(settings),
            reference=reference,
        )
        return made

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Sum of the trees, on one thread."""
        assert self.booster is not None, "it is fitted, or loaded"
        if not len(numeric):
            return numeric.new_empty(0, self.num_outputs)
        found = self.booster.predict(join_inputs(numeric, ids).numpy(), raw_score=True, num_threads=1)
        return torch.as_tensor(found, dtype=torch.float32).reshape(len(numeric), self.num_outputs)

    def save(self, file: Path) -> None:
        """Write LightGBM's text of the trees."""
        write_text(file, self.text)

    def load(self, file: Path) -> None:
        """Read the text, once it is known that each number in it is one that LightGBM could have written."""
        try:
            text = read_limited(file, max_bytes=MAX_BYTES).decode("ascii")
            check_trees(text, num_numeric=self.num_numeric, num_ids=self.num_categories, num_outputs=self.num_outputs)
            self._set_trees(text)
        except (ValueError, LookupError, OverflowError, _import().basic.LightGBMError) as error:
            raise TreadleError(f"{file} holds no trees that can be read: {str(error).splitlines()[0]}") from error

    def _set_trees(self, text: str) -> None:
        self.text = strip_trees(text)
        self.booster = _import().Booster(model_str=self.text)


def _import() -> ModuleType:
    return import_library("lightgbm", extra="boosting")


def _read(evaluate: Any) -> Tensor:
    """The predictions that LightGBM holds of its own rows, float64 `[B]` or `[B, K]`."""
    found = []

    def take(predictions: Any, _: Any) -> tuple[str, float, bool]:
        found.append(torch.from_numpy(predictions.copy()))
        return "", 0.0, True

    evaluate(take)
    return found[0]
