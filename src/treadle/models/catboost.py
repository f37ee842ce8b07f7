"""CatBoost: gradient boosting of symmetric trees, with categories as statistics of the target in order."""

from __future__ import annotations

import json
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from treadle.disk import write_text
from treadle.json_files import read_json, require_readable
from treadle.models.boosting import Boosting, explaining_file, explaining_rows
from treadle.models.catboost_json import check_trees
from treadle.models.estimator import NotNegative, Training, Whole, import_library
from treadle.models.matrix import read_labels
from treadle.models.rounds import Rounds
from treadle.schema import Batch, Positive
from treadle.tasks import TRAITS

if TYPE_CHECKING:
    import catboost

_OBJECTIVES = {  # with the place of the loss's parameter, where it has one
    "binary": "Logloss",
    "multiclass": "MultiClass",
    "regression": "RMSE",
    "quantile": "Quantile:alpha={}",
    "huber": "Huber:delta={}",
    "poisson": "Poisson",
    "tweedie": "Tweedie:variance_power={}",
}


@dataclass(kw_only=True, eq=False, repr=False)
class CatBoost(Boosting):
    """Gradient boosting of trees that ask the same question at each node of a depth.

    A category of few values is asked for by name. Of others the model reads how often it occurs, and how the target was
    in rows of it that came before, so that no row reads its own target. Missing numbers are smaller than any other.

    Source: "CatBoost: unbiased boosting with categorical features", NeurIPS 2018. Arguments have its names.

    Shape:
        numeric: `[B, N]`, NaN where missing; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
        max_rounds: maximum number of rounds, each of which adds a tree.
        early_stopping_rounds: rounds without a better validation score after which training stops; null: never.
        eval_period: rounds between two validations; an epoch of metrics.csv [rounds].
        learning_rate: factor of each tree's contribution.
        depth: depth of each tree, which has two to the power of it leaves.
        l2_leaf_reg: L2 penalty of the values of leaves.
        random_strength: size of the noise on the gain of a split.
        bootstrap_type: how rows are weighed at random for each tree.
        bagging_temperature: how unequal those weights are; 0: all the same. Only with Bayesian.
        subsample: fraction of rows that each tree is given. Only with Bernoulli and MVS.
        rsm: fraction of inputs that each split is given.
        border_count: maximum number of bounds that a number is split at.
        one_hot_max_size: maximum number of values of a category that is asked for by name.
        max_ctr_complexity: maximum number of categories that are read together.
        monotone: direction by column of a number: 1, the prediction does not fall where it rises; -1, it does not rise;
            null: none.
    """

    LIBRARY = "catboost"
    EXTRA = "catboost"
    FILE = "trees.json"

    learning_rate: Positive
    depth: Annotated[int, Field(ge=1, le=16)]
    l2_leaf_reg: NotNegative
    random_strength: NotNegative
    bootstrap_type: Literal["Bayesian", "Bernoulli", "MVS", "No"]
    bagging_temperature: NotNegative | None
    subsample: Whole | None
    rsm: Whole
    border_count: Annotated[int, Field(ge=1, le=65535)]
    one_hot_max_size: Annotated[int, Field(ge=1, le=255)]
    max_ctr_complexity: Annotated[int, Field(ge=1, le=8)]

    def __post_init__(self) -> None:
        super().__post_init__()
        count = max(self.cardinalities, default=0)
        self._names = np.array([str(i).encode() for i in range(count)], dtype=object)  # of ids

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Add trees round by round; CatBoost shows what they predict as to a metric of the user's."""
        library = _import()
        steps = _Steps(self.rounds, training)
        settings = self._list_settings(training)
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message=".*numba")  # would only make a metric in Python faster
            booster = library.CatBoost({**settings, "eval_metric": _Shown(steps)})
            data, judged = (self._make_pool(library, rows) for rows in (train, valid))
            with explaining_rows("CatBoost", library.CatBoostError):
                booster.fit(data, eval_set=[data, judged], callbacks=[steps])
        if steps.error is not None:
            raise steps.error
        booster.shrink(self.rounds.best)
        with TemporaryDirectory() as folder:  # it writes JSON to a file alone
            file = Path(folder, self.FILE)
            booster.save_model(str(file), format="json")
            values = json.loads(file.read_text(encoding="utf-8"))
        self._set_trees({**values, "model_info": {}})  # which names the moment and the machine

    def _list_settings(self, training: Training) -> dict[str, Any]:
        objective = training.objective
        settings: dict[str, Any] = {
            **{name: value for name, value in self.arguments.items() if value is not None},
            "iterations": self.rounds.maximum,
            "loss_function": _OBJECTIVES[objective.key].format(objective.parameter),
            "random_seed": training.seed,
            "thread_count": training.threads,
            "use_best_model": False,
            "allow_writing_files": False,
            "logging_level": "Silent",
        }
        if self.num_outputs > 1:
            settings["classes_count"] = self.num_outputs
        if directions := self.list_directions(training):
            settings["monotone_constraints"] = directions
        return settings

    def _make_pool(self, library: ModuleType, rows: Batch) -> catboost.Pool:
        labels = read_labels(rows, num_outputs=self.num_outputs)
        made: catboost.Pool = library.Pool(
            self._join(library, rows.numeric, rows.ids), label=labels, weight=rows.weight.numpy()
        )
        return made

    def _join(self, library: ModuleType, numeric: Tensor, ids: Tensor) -> catboost.FeaturesData:
        made: catboost.FeaturesData = library.FeaturesData(
            num_feature_data=np.ascontiguousarray(numeric.numpy()) if self.num_numeric else None,
            cat_feature_data=self._names[ids.numpy()] if self.num_categories else None,
        )
        return made

    def _sum_trees(self, numeric: Tensor, ids: Tensor) -> Tensor:
        pool = _import().Pool(self._join(_import(), numeric, ids))
        return torch.as_tensor(self.booster.predict(pool, prediction_type="RawFormulaVal", thread_count=1))

    def save(self, file: Path) -> None:
        """Write CatBoost's JSON of the trees."""
        require_readable(self.text.encode(), file)
        write_text(file, self.text)

    def load(self, file: Path) -> None:
        """Read the JSON, once it is known that CatBoost could have written it."""
        values = read_json(file)
        with explaining_file(file, _import().CatBoostError):
            check_trees(
                values, num_numeric=self.num_numeric, num_categories=self.num_categories, num_outputs=self.num_outputs
            )
            self._set_trees(values)

    def _set_trees(self, values: Any) -> None:
        self.text = json.dumps(values, separators=(",", ":"))
        booster: catboost.CatBoost = _import().CatBoost()
        with TemporaryDirectory() as folder:
            file = Path(folder, self.FILE)
            file.write_text(self.text, encoding="utf-8")
            booster.load_model(str(file), format="json")
        self.booster = booster


class _Steps:
    """What CatBoost calls after each round: shows predictions every few rounds, and says when it is enough."""

    def __init__(self, rounds: Rounds, training: Training) -> None:
        self.rounds, self.objective, self.watch = rounds, training.objective, training.watch
        self.count = 1  # of rounds, the current one included
        # Of this round: the training rows as they are learned from, shuffled and in order; then again, as any rows are
        # predicted; then the validation rows.
        self.shown: list[Tensor] = []
        self.error: BaseException | None = None  # CatBoost would train on, and forget it

    def take(self, outputs: Sequence[np.ndarray]) -> None:
        """Keep the outputs of a split, `num_outputs` arrays `[B]`, which CatBoost reuses."""
        try:
            self._take(outputs)
        except BaseException as error:  # noqa: BLE001 - such as Ctrl-C; it is raised after the training
            self.error = self.error or error

    def _take(self, outputs: Sequence[np.ndarray]) -> None:
        if self.rounds.is_due(self.count):
            values = torch.from_numpy(np.array(outputs, dtype=np.float64))
            self.shown.append(self._predict(values))

    def _predict(self, outputs: Tensor) -> Tensor:
        """From `[num_outputs, B]` to what `Watch` takes."""
        activation = TRAITS[self.objective.task].activation
        if activation == "softmax":
            return outputs.T.softmax(dim=1)
        if activation == "sigmoid":
            return outputs[0].sigmoid()
        return outputs[0].exp() if self.objective.link == "log" else outputs[0]

    def after_iteration(self, info: Any) -> bool:
        """Whether training goes on."""
        try:
            return self.error is None and self._go_on(info)
        except BaseException as error:  # noqa: BLE001 - such as a trial that is pruned; it is raised after the training
            self.error = error
            return False

    def _go_on(self, info: Any) -> bool:
        goes_on = True
        if self.rounds.is_due(self.count):
            _, train, valid = self.shown
            goes_on = self.rounds.score(self.watch, info.iteration, train=train, valid=valid)
        self.count, self.shown = info.iteration + 1, []
        return goes_on


class _Shown:
    """A metric in CatBoost's eyes: it hands the outputs on, and scores nothing."""

    def __init__(self, steps: _Steps) -> None:
        self.steps = steps

    def __deepcopy__(self, memo: Any) -> _Shown:
        """CatBoost copies its settings; the outputs go where they were to go."""
        return self

    def is_max_optimal(self) -> bool:
        return True

    def evaluate(self, approxes: Sequence[np.ndarray], target: Any, weight: Any) -> tuple[float, float]:  # noqa: ARG002
        self.steps.take(approxes)
        return 0.0, 1.0

    def get_final_error(self, error: float, weight: float) -> float:  # noqa: ARG002
        return error


def _import() -> ModuleType:
    return import_library(CatBoost.LIBRARY, extra=CatBoost.EXTRA)
