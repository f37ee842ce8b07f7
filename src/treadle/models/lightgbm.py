"""LightGBM: gradient boosting of trees that grow leaf by leaf."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from treadle.disk import write_text
from treadle.json_files import read_limited
from treadle.models.boosting import Boosting, explaining_file, explaining_rows
from treadle.models.estimator import NotNegative, Training, Whole, import_library
from treadle.models.lightgbm_text import check_trees, strip_trees
from treadle.models.matrix import join_inputs, read_labels
from treadle.schema import Batch, Count, Positive

if TYPE_CHECKING:
    import lightgbm

_PARAMETERS = {"quantile": "alpha", "huber": "alpha", "tweedie": "tweedie_variance_power"}
MAX_BYTES = 1 << 30  # of the trees of a bundle


@dataclass(kw_only=True, eq=False, repr=False)
class LightGBM(Boosting):
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

    UNDIRECTED = ("quantile", "quantiles")
    LIBRARY = "lightgbm"
    EXTRA = "boosting"
    FILE = "trees.txt"

    learning_rate: Positive
    num_leaves: Annotated[int, Field(ge=2)]
    max_depth: Annotated[int, Field(ge=-1)]
    min_data_in_leaf: Annotated[int, Field(ge=0)]
    min_sum_hessian_in_leaf: NotNegative
    feature_fraction: Whole
    bagging_fraction: Whole
    bagging_freq: Annotated[int, Field(ge=0)]
    lambda_l1: NotNegative
    lambda_l2: NotNegative
    min_gain_to_split: NotNegative
    max_bin: Annotated[int, Field(ge=2)]
    extra_trees: bool
    cat_smooth: NotNegative
    cat_l2: NotNegative
    max_cat_threshold: Count
    min_data_per_group: Count

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Add trees round by round."""
        library = _import()
        settings = self._list_settings(training)
        data = self._make_dataset(library, train, settings)
        with explaining_rows("LightGBM", library.basic.LightGBMError):
            booster = library.Booster(settings, data)
            booster.add_valid(self._make_dataset(library, valid, settings, reference=data), "valid")
            self.rounds.train(
                add=lambda _: bool(booster.update()),  # whether no split gains anything
                show=lambda: (_read(booster.eval_train), _read(booster.eval_valid)),
                watch=training.watch,
            )
        self._set_trees(booster.model_to_string(num_iteration=self.rounds.best))

    def _list_settings(self, training: Training) -> dict[str, Any]:
        objective = training.objective
        settings = {
            **self.arguments,
            "objective": objective.key,  # LightGBM has the same names
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
        if directions := self.list_directions(training):
            settings["monotone_constraints"] = directions
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

    def _sum_trees(self, numeric: Tensor, ids: Tensor) -> Tensor:
        found = self.booster.predict(join_inputs(numeric, ids).numpy(), raw_score=True, num_threads=1)
        return torch.as_tensor(found)

    def save(self, file: Path) -> None:
        """Write LightGBM's text of the trees."""
        write_text(file, self.text)

    def load(self, file: Path) -> None:
        """Read the text, once it is known that each number in it is one that LightGBM could have written."""
        with explaining_file(file, _import().basic.LightGBMError):
            text = read_limited(file, max_bytes=MAX_BYTES).decode("ascii")
            check_trees(text, num_numeric=self.num_numeric, num_ids=self.num_categories, num_outputs=self.num_outputs)
            self._set_trees(text)

    def _set_trees(self, text: str) -> None:
        self.text = strip_trees(text)
        self.booster = _import().Booster(model_str=self.text)


def _import() -> ModuleType:
    return import_library(LightGBM.LIBRARY, extra=LightGBM.EXTRA)


def _read(evaluate: Any) -> Tensor:
    """The predictions that LightGBM holds of its own rows, float64 `[B]` or `[B, K]`."""
    found = []

    def take(predictions: Any, _: Any) -> tuple[str, float, bool]:
        found.append(torch.from_numpy(predictions.copy()))
        return "", 0.0, True

    evaluate(take)
    return found[0]
