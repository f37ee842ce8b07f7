"""Constants of classes of other libraries: `read_constant` gives them as it gives those in a source of Treadle.

scikit-learn: the classes that `model` takes. Of each, what its file may hold can be held against it
(`models/scikit_learn.py`), it takes weights of rows, and its predictions are probabilities or values. A class that the
table does not name is refused; a `blend` takes the place of scikit-learn's own stacks and votes.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

_LOSS = "loss"
_CLASSES, _VALUES, _AMOUNTS = ("binary", "multiclass", "multilabel"), ("regression",), ("regression", "count")
_TREE = ("sklearn.tree._tree.Tree",)

# Arguments that Treadle sets where a class takes them, each with what sets it.
GIVEN_BY = {
    "random_state": "seed",
    "n_jobs": "trainer.threads",
    "class_weight": "loss.class_weights",
    "loss": "the group loss",
    "quantile": "the group loss",
    "early_stopping": "the valid split, by schedule.monitor and n_iter_no_change",
    "validation_fraction": "the valid split of data.split",
    "scoring": "schedule.monitor",
    "warm_start": "Treadle, which adds rounds until the valid split says stop",
    "categorical_features": "the group features, of which categories come as codes",
    "oob_score": "the valid split of data.split",
}


def _describe(
    *,
    tasks: tuple[str, ...],
    objectives: dict[str, dict[str, Any]],
    categories: str,
    takes_missing: bool = False,
    rounds: str | None = None,
    threads: str | None = None,
    trusted: tuple[str, ...] = (),
) -> dict[str, Any]:
    """The constants of a class of scikit-learn.

    Args:
        tasks: tasks that it is for.
        objectives: losses that it can minimise, each with the arguments that say so; `$` stands for the parameter.
        categories: codes: one input for each categorical column; one_hot: one for each category.
        takes_missing: whether it takes numbers as they are, and missing ones.
        rounds: argument that counts what it adds one by one, such as trees.
        threads: argument for the number of threads.
        trusted: types of its file beyond those that skops knows to be harmless.
    """
    return {
        "ADAPTER": "treadle.models.scikit_learn.ScikitLearn",
        "LIBRARY": "skops",
        "EXTRA": "sklearn",
        "TASKS": tasks,
        "OBJECTIVES": tuple(objectives),
        "SETTINGS": objectives,
        "CATEGORIES": categories,
        "RAW_INPUTS": takes_missing,
        "REFITS": True,
        "ROUNDS": rounds,
        "THREADS": threads,
        "TRUSTED": trusted,
        "MONOTONE": "monotonic_cst" if takes_missing else None,
        "UNDIRECTED": ("quantile",) if takes_missing else None,
        "GIVEN_BY": GIVEN_BY,
    }


def _describe_pair(classifier: str, regressor: str, **shared: Any) -> dict[str, dict[str, Any]]:
    """A class of trees for classes, and its twin for values."""
    return {
        classifier: _describe(tasks=_CLASSES, objectives={"default": {}}, **shared),
        regressor: _describe(tasks=_VALUES, objectives={"default": {}}, **shared),
    }


_FOREST: dict[str, Any] = {
    "categories": "codes",
    "takes_missing": True,
    "rounds": "n_estimators",
    "threads": "n_jobs",
    "trusted": _TREE,
}
_HISTOGRAMS: dict[str, Any] = {
    "categories": "codes",
    "takes_missing": True,
    "rounds": "max_iter",
    "trusted": ("sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",),
}

CONSTANTS: dict[str, dict[str, Any]] = {
    "sklearn.ensemble.HistGradientBoostingClassifier": _describe(
        tasks=_CLASSES, objectives={"default": {_LOSS: "log_loss"}}, **_HISTOGRAMS
    ),
    "sklearn.ensemble.HistGradientBoostingRegressor": _describe(
        tasks=_AMOUNTS,
        objectives={
            "default": {_LOSS: "squared_error"},
            "quantile": {_LOSS: "quantile", "quantile": "$"},
            "poisson": {_LOSS: "poisson"},
        },
        **_HISTOGRAMS,
    ),
    **_describe_pair("sklearn.ensemble.RandomForestClassifier", "sklearn.ensemble.RandomForestRegressor", **_FOREST),
    **_describe_pair("sklearn.ensemble.ExtraTreesClassifier", "sklearn.ensemble.ExtraTreesRegressor", **_FOREST),
    **_describe_pair(
        "sklearn.tree.DecisionTreeClassifier",
        "sklearn.tree.DecisionTreeRegressor",
        **{**_FOREST, "rounds": None, "threads": None},
    ),
    "sklearn.linear_model.LogisticRegression": _describe(
        tasks=_CLASSES, objectives={"default": {}}, categories="one_hot"
    ),
    "sklearn.linear_model.SGDClassifier": _describe(
        tasks=_CLASSES, objectives={"default": {_LOSS: "log_loss"}}, categories="one_hot"
    ),
    "sklearn.naive_bayes.GaussianNB": _describe(tasks=_CLASSES, objectives={"default": {}}, categories="one_hot"),
    "sklearn.linear_model.Ridge": _describe(tasks=_VALUES, objectives={"default": {}}, categories="one_hot"),
    "sklearn.linear_model.ElasticNet": _describe(tasks=_VALUES, objectives={"default": {}}, categories="one_hot"),
    "sklearn.linear_model.BayesianRidge": _describe(tasks=_VALUES, objectives={"default": {}}, categories="one_hot"),
    "sklearn.linear_model.SGDRegressor": _describe(
        tasks=_VALUES,
        objectives={"default": {_LOSS: "squared_error"}, "huber": {_LOSS: "huber", "epsilon": "$"}},
        categories="one_hot",
    ),
    "sklearn.linear_model.QuantileRegressor": _describe(
        tasks=_VALUES, objectives={"quantile": {"quantile": "$"}}, categories="one_hot"
    ),
    "sklearn.linear_model.PoissonRegressor": _describe(
        tasks=_AMOUNTS, objectives={"poisson": {}}, categories="one_hot"
    ),
}


def list_code(targets: Iterable[str]) -> list[str]:
    """The modules of some targets, and of the adapters that train them."""
    named = set(targets)
    adapters = {CONSTANTS[path]["ADAPTER"] for path in named & CONSTANTS.keys()}
    return sorted({path.rpartition(".")[0] for path in named | adapters})
