"""XGBoost: gradient boosting of trees that grow level by level, with penalised leaves."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from treadle.disk import write_text
from treadle.json_files import read_json, require_readable
from treadle.models.boosting import Boosting, explaining_file, explaining_rows
from treadle.models.estimator import NotNegative, Training, Whole, import_library
from treadle.models.matrix import join_inputs, read_labels
from treadle.models.xgboost_json import check_trees
from treadle.schema import Batch, Count, Positive

if TYPE_CHECKING:
    import xgboost

_OBJECTIVES = {
    "binary": "binary:logistic",
    "multiclass": "multi:softprob",
    "regression": "reg:squarederror",
    "quantile": "reg:quantileerror",
    "huber": "reg:pseudohubererror",
    "poisson": "count:poisson",
    "tweedie": "reg:tweedie",
}
_PARAMETERS = {"quantile": "quantile_alpha", "huber": "huber_slope", "tweedie": "tweedie_variance_power"}


@dataclass(kw_only=True, eq=False, repr=False)
class XGBoost(Boosting):
    """Gradient boosting of trees, each leaf's value penalised.

    Categories and missing numbers need no encoding: a split sends a set of categories to one side, and missing numbers
    to the side that they fit better. Huber's loss is minimised in its smooth form.

    Source: "XGBoost: A Scalable Tree Boosting System", KDD 2016. Arguments have its names.

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
        max_depth: maximum depth of a tree; 0: no limit.
        max_leaves: maximum number of leaves of a tree; 0: no limit.
        grow_policy: whether the next split is that of the lowest depth, or that of the largest gain.
        min_child_weight: minimum sum of the second derivatives of the loss in a leaf.
        gamma: minimum gain of a split.
        subsample: fraction of rows that each tree is given.
        colsample_bytree: fraction of inputs that each tree is given.
        colsample_bynode: fraction of the tree's inputs that each split is given.
        reg_lambda: L2 penalty of the values of leaves.
        reg_alpha: L1 penalty of the values of leaves.
        max_bin: maximum number of bins of a number.
        max_cat_to_onehot: number of categories from which a split takes a set of them, below it a single one.
        max_cat_threshold: maximum number of categories that a split considers.
        monotone: direction by column of a number: 1, the prediction does not fall where it rises; -1, it does not rise;
            null: none.
    """

    UNDIRECTED = ("quantile", "quantiles")
    LIBRARY = "xgboost"
    EXTRA = "xgboost"
    FILE = "trees.json"

    learning_rate: Positive
    max_depth: Annotated[int, Field(ge=0)]
    max_leaves: Annotated[int, Field(ge=0)]
    grow_policy: Literal["depthwise", "lossguide"]
    min_child_weight: NotNegative
    gamma: NotNegative
    subsample: Whole
    colsample_bytree: Whole
    colsample_bynode: Whole
    reg_lambda: NotNegative
    reg_alpha: NotNegative
    max_bin: Annotated[int, Field(ge=2)]
    max_cat_to_onehot: Count
    max_cat_threshold: Count

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Add trees round by round."""
        library = _import()
        settings = self._list_settings(training)
        with explaining_rows("XGBoost", library.core.XGBoostError):
            data = self._make_matrix(library, train, threads=training.threads)
            judged = self._make_matrix(library, valid, threads=training.threads, reference=data)
            booster = library.Booster(settings, [data, judged])
            self.rounds.train(
                add=lambda index: bool(booster.update(data, index)),  # which it does not tell
                show=lambda: (torch.from_numpy(booster.predict(data)), torch.from_numpy(booster.predict(judged))),
                watch=training.watch,
            )
        self._set_trees(json.loads(booster[: self.rounds.best].save_raw("json")))

    def _list_settings(self, training: Training) -> dict[str, Any]:
        objective = training.objective
        settings: dict[str, Any] = {
            **self.arguments,
            "objective": _OBJECTIVES[objective.key],
            "tree_method": "hist",
            "seed": training.seed,
            "nthread": training.threads,
            "verbosity": 0,
        }
        if self.num_outputs > 1:
            settings["num_class"] = self.num_outputs
        if objective.parameter is not None:
            settings[_PARAMETERS[objective.name]] = objective.parameter
        if directions := self.list_directions(training):
            settings["monotone_constraints"] = tuple(directions)
        return settings

    def _make_matrix(
        self, library: ModuleType, rows: Batch, *, threads: int, reference: xgboost.QuantileDMatrix | None = None
    ) -> xgboost.QuantileDMatrix:
        made: xgboost.QuantileDMatrix = library.QuantileDMatrix(
            join_inputs(rows.numeric, rows.ids).numpy(),
            label=read_labels(rows, num_outputs=self.num_outputs),
            weight=rows.weight.numpy(),
            feature_types=[*["q"] * self.num_numeric, *["c"] * len(self.cardinalities)],
            enable_categorical=True,
            max_bin=self.max_bin,
            nthread=threads,
            ref=reference,
        )
        return made

    def _sum_trees(self, numeric: Tensor, ids: Tensor) -> Tensor:
        found = self.booster.inplace_predict(join_inputs(numeric, ids).numpy(), predict_type="margin")
        return torch.from_numpy(found)

    def save(self, file: Path) -> None:
        """Write XGBoost's JSON of the trees."""
        require_readable(self.text.encode(), file)
        write_text(file, self.text)

    def load(self, file: Path) -> None:
        """Read the JSON, once it is known that XGBoost could have written it."""
        values = read_json(file)
        with explaining_file(file, _import().core.XGBoostError):
            check_trees(
                values, num_numeric=self.num_numeric, vocabularies=self.cardinalities, num_outputs=self.num_outputs
            )
            self._set_trees(values)

    def _set_trees(self, values: Any) -> None:
        self.text = json.dumps(values, separators=(",", ":"))
        self.booster = _import().Booster({"nthread": 1}, model_file=bytearray(self.text, "ascii"))


def _import() -> ModuleType:
    return import_library(XGBoost.LIBRARY, extra=XGBoost.EXTRA)
