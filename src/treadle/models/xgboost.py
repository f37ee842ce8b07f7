"""XGBoost: gradient boosting of trees that grow level by level, with penalised leaves."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import torch
from pydantic import Field
from torch import Tensor

from treadle.disk import write_text
from treadle.errors import TreadleError
from treadle.json_files import read_json, require_readable
from treadle.models.estimator import NotNegative, Training, Whole, import_library
from treadle.models.matrix import join_inputs, list_directions, read_labels
from treadle.models.rounds import Rounds
from treadle.models.xgboost_json import check_trees
from treadle.schema import Batch, Count, Positive

if TYPE_CHECKING:
    import xgboost

_OBJECTIVES = {
    "quantile": "reg:quantileerror",
    "huber": "reg:pseudohubererror",
    "poisson": "count:poisson",
    "tweedie": "reg:tweedie",
}
_DEFAULTS = {"binary": "binary:logistic", "multiclass": "multi:softprob", "regression": "reg:squarederror"}
_PARAMETERS = {"quantile": "quantile_alpha", "huber": "huber_slope", "tweedie": "tweedie_variance_power"}


class XGBoost:
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

    OBJECTIVES = ("default", "quantile", "huber", "poisson", "tweedie", "quantiles")
    UNDIRECTED = ("quantile", "quantiles")
    RAW_INPUTS = True
    REFITS = True
    LIBRARY = "xgboost"
    EXTRA = "xgboost"
    FILE = "trees.json"

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
        max_depth: Annotated[int, Field(ge=0)],
        max_leaves: Annotated[int, Field(ge=0)],
        grow_policy: Literal["depthwise", "lossguide"],
        min_child_weight: NotNegative,
        gamma: NotNegative,
        subsample: Whole,
        colsample_bytree: Whole,
        colsample_bynode: Whole,
        reg_lambda: NotNegative,
        reg_alpha: NotNegative,
        max_bin: Annotated[int, Field(ge=2)],
        max_cat_to_onehot: Count,
        max_cat_threshold: Count,
        monotone: Mapping[str, Literal[-1, 1]] | None,
    ) -> None:
        self.num_numeric = num_numeric
        self.cardinalities = list(cardinalities)
        self.num_outputs = num_outputs
        self.rounds = Rounds(max_rounds, eval_period, early_stopping_rounds)
        self.monotone = monotone
        self.max_bin = max_bin
        self.booster: xgboost.Booster | None = None
        self.settings = {
            "learning_rate": learning_rate,
            "max_depth": max_depth,
            "max_leaves": max_leaves,
            "grow_policy": grow_policy,
            "min_child_weight": min_child_weight,
            "gamma": gamma,
            "subsample": subsample,
            "colsample_bytree": colsample_bytree,
            "colsample_bynode": colsample_bynode,
            "reg_lambda": reg_lambda,
            "reg_alpha": reg_alpha,
            "max_bin": max_bin,
            "max_cat_to_onehot": max_cat_to_onehot,
            "max_cat_threshold": max_cat_threshold,
        }

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Add trees round by round."""
        library = _import()
        settings = self._list_settings(training)
        try:
            data = self._make_matrix(library, train, threads=training.threads)
            judged = self._make_matrix(library, valid, threads=training.threads, reference=data)
            booster = library.Booster(settings, [data, judged])
            self.rounds.train(
                add=lambda index: bool(booster.update(data, index)),  # which it does not tell
                show=lambda: (torch.from_numpy(booster.predict(data)), torch.from_numpy(booster.predict(judged))),
                watch=training.watch,
            )
        except library.core.XGBoostError as error:
            reason = str(error).strip().splitlines()[0]
            raise TreadleError(f"model: XGBoost cannot be trained on these rows: {reason}") from error
        self._set_trees(json.loads(booster[: self.rounds.best].save_raw("json")))

    def restart(self) -> None:
        """Forget the trees; the next `fit` adds as many rounds as were best."""
        self.rounds.restart()
        self.booster = None

    def _list_settings(self, training: Training) -> dict[str, Any]:
        objective = training.objective
        settings: dict[str, Any] = {
            **self.settings,
            "objective": _OBJECTIVES.get(objective.name) or _DEFAULTS[objective.task],
            "tree_method": "hist",
            "seed": training.seed,
            "nthread": training.threads,
            "verbosity": 0,
        }
        if self.num_outputs > 1:
            settings["num_class"] = self.num_outputs
        if objective.parameter is not None:
            settings[_PARAMETERS[objective.name]] = objective.parameter
        if self.monotone:
            directions = list_directions(
                self.monotone, numeric_columns=training.numeric_columns, num_ids=len(self.cardinalities)
            )
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

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Sum of the trees, on one thread."""
        assert self.booster is not None, "it is fitted, or loaded"
        if not len(numeric):
            return numeric.new_empty(0, self.num_outputs)
        found = self.booster.inplace_predict(join_inputs(numeric, ids).numpy(), predict_type="margin")
        return torch.from_numpy(found).reshape(len(numeric), self.num_outputs)

    def save(self, file: Path) -> None:
        """Write XGBoost's JSON of the trees."""
        require_readable(self.text.encode(), file)
        write_text(file, self.text)

    def load(self, file: Path) -> None:
        """Read the JSON, once it is known that XGBoost could have written it."""
        values = read_json(file)
        try:
            check_trees(
                values, num_numeric=self.num_numeric, vocabularies=self.cardinalities, num_outputs=self.num_outputs
            )
            self._set_trees(values)
        except (ValueError, TypeError, LookupError, OverflowError, _import().core.XGBoostError) as error:
            raise TreadleError(f"{file} holds no trees that can be read: {str(error).splitlines()[0]}") from error

    def _set_trees(self, values: Any) -> None:
        self.text = json.dumps(values, separators=(",", ":"))
        self.booster = _import().Booster({"nthread": 1}, model_file=bytearray(self.text, "ascii"))


def _import() -> ModuleType:
    return import_library("xgboost", extra="xgboost")
