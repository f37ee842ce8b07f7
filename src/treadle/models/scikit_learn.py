"""Estimators of scikit-learn as models that train themselves; `experiment/libraries.py` has the classes."""

from __future__ import annotations

import copy
import importlib
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.models.estimator import Objective, Training, Watch, import_library
from treadle.models.matrix import join_inputs, list_directions, read_labels
from treadle.models.rounds import Rounds
from treadle.models.scikit_file import dump, read
from treadle.schema import Batch
from treadle.targets.signatures import read_constant
from treadle.tasks import TRAITS

EPOCHS = 20  # scores of a training by rounds
FEW_THREADS = 1  # of a prediction: a row waits for no other
LEAST = 2.0**-24  # probability, or rate, below which float32 has no logit that tells it from none

Matrix = Any  # a NumPy array or a sparse one of SciPy, `[B, inputs]` float64


class ScikitLearn:
    """An estimator of scikit-learn, which the key `model` names itself.

    Its seed, threads, weights of classes and loss are those of the experiment. One that adds trees one by one is shown
    to `watch` as it grows, and keeps the number of them that was best. The others are shown once, as they end.

    Shape:
        numeric: `[B, N]`, NaN where missing if the class takes that; ids: `[B, C]`.
        output: `[B, num_outputs]`.

    Args:
        path: dotted path of the class.
        estimator: the instance, not fitted.
        num_numeric: number of numeric inputs.
        cardinalities: number of distinct ids of each categorical input.
        num_outputs: output dimension: 1, or the number of classes.
    """

    FILE = "estimator.skops"

    def __init__(
        self, *, path: str, estimator: Any, num_numeric: int, cardinalities: Sequence[int], num_outputs: int
    ) -> None:
        self.path = path
        self.estimator = estimator
        self.num_numeric = num_numeric
        self.cardinalities = list(cardinalities)
        self.num_outputs = num_outputs
        self.gives_log = False
        self.is_restarted = False

    @property
    def num_inputs(self) -> int:
        """Columns of the matrix that the estimator is given."""
        is_one_hot = self._read("CATEGORIES") == "one_hot"
        return self.num_numeric + (sum(self.cardinalities) if is_one_hot else len(self.cardinalities))

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Train, by rounds where the class has them."""
        self._set(self._list_settings(training))
        objective, watch = training.objective, training.watch
        rows, judged = (self._join(batch.numeric, batch.ids) for batch in (train, valid))
        labels, weights = read_labels(train, num_outputs=self.num_outputs), _read_weights(train)
        if self.num_outputs == 1 and objective.task == "binary":
            labels = labels.astype(np.int64)

        def fit() -> None:
            with _limit(training.threads):
                try:
                    self.estimator.fit(rows, labels, sample_weight=weights)
                except ValueError as error:
                    reason = str(error).splitlines()[0]
                    raise TreadleError(f"model: {self.path} cannot be trained on these rows: {reason}") from error

        def show() -> tuple[Tensor, Tensor]:
            return self._show(rows, objective), self._show(judged, objective)

        self.gives_log = objective.link == "log"
        argument = self._read("ROUNDS")
        if argument is None:
            fit()
            train_shown, valid_shown = show()
            watch(rounds=1, train=train_shown, valid=valid_shown)
        else:
            self._grow(argument, fit=fit, show=show, watch=watch)
        self._set({**self._list_threads(FEW_THREADS), "warm_start": False})
        if hasattr(self.estimator, "_bin_mapper"):  # the file says what was learned, not by how many threads
            self.estimator._bin_mapper.n_threads = FEW_THREADS  # noqa: SLF001

    def _grow(self, argument: str, *, fit: Any, show: Any, watch: Watch) -> None:
        """Add rounds, a twentieth at once: each time the estimator goes on from where it was."""
        settings = self.estimator.get_params()
        maximum, patience = settings[argument], settings.get("n_iter_no_change")
        grown = Rounds(maximum, max(1, maximum // EPOCHS), patience, is_known=self.is_restarted)
        kept = self.estimator

        def add(index: int) -> bool:
            if grown.is_due(index + 1):
                self._set({argument: index + 1, "warm_start": True})
                fit()
            return False

        def keep_best(*, rounds: int, train: Tensor, valid: Tensor) -> int:
            nonlocal kept
            best = watch(rounds=rounds, train=train, valid=valid)
            if self.is_restarted or best == rounds:
                kept = copy.deepcopy(self.estimator)
            return best

        grown.train(add=add, show=show, watch=keep_best)
        self.estimator = kept

    def restart(self) -> None:
        """Forget what was learned; where there are rounds, the next `fit` adds as many as were best."""
        self.estimator = import_library("sklearn.base", extra="sklearn").clone(self.estimator)
        self.is_restarted = True

    def _list_settings(self, training: Training) -> dict[str, Any]:
        """The arguments that the experiment sets, as far as the class takes them."""
        objective = training.objective
        by_loss = self._read("SETTINGS")[objective.name]
        settings = {
            "random_state": training.seed,
            **self._list_threads(training.threads),
            "early_stopping": False,
            **{name: objective.parameter if value == "$" else value for name, value in by_loss.items()},
        }
        monotone = self.estimator.get_params().get("monotonic_cst")
        if isinstance(monotone, Mapping):
            settings["monotonic_cst"] = list_directions(
                monotone, numeric_columns=training.numeric_columns, num_ids=len(self.cardinalities)
            )
        return settings

    def _list_threads(self, threads: int) -> dict[str, int]:
        """The argument for the number of threads, where a class reads one."""
        argument = self._read("THREADS")
        return {} if argument is None else {argument: threads}

    def _set(self, settings: Mapping[str, Any]) -> None:
        taken = self.estimator.get_params(deep=False)
        self.estimator.set_params(**{name: value for name, value in settings.items() if name in taken})

    def _read(self, name: str) -> Any:
        return read_constant(self.path, name)

    def _join(self, numeric: Tensor, ids: Tensor) -> Matrix:
        """Inputs of some rows; of linear models a column for each category, sparse where the class takes that."""
        if self._read("CATEGORIES") == "codes" or not self.cardinalities:
            return join_inputs(numeric, ids).double().numpy()
        starts = np.cumsum([0, *self.cardinalities[:-1]])
        columns = (ids.numpy() + starts).astype(np.int32)
        num_rows, width = len(ids), sum(self.cardinalities)
        if not self.estimator.__sklearn_tags__().input_tags.sparse:
            dense = np.zeros((num_rows, width))
            np.put_along_axis(dense, columns.astype(np.int64), 1.0, axis=1)
            return np.concatenate([numeric.double().numpy(), dense], axis=1)
        sparse = import_library("scipy.sparse", extra="sklearn")
        bounds = np.arange(0, columns.size + 1, columns.shape[1])
        encoded = sparse.csr_array((np.ones(columns.size), columns.ravel(), bounds), shape=(num_rows, width))
        joined = sparse.hstack([sparse.csr_array(numeric.double().numpy()), encoded], format="csr")
        joined.indices, joined.indptr = joined.indices.astype(np.int32), joined.indptr.astype(np.int32)
        return joined  # some classes take no wider indices

    def _show(self, rows: Matrix, objective: Objective) -> Tensor:
        """Predictions as `Watch` takes them."""
        if TRAITS[objective.task].is_value:
            return torch.from_numpy(self._compute_values(rows))
        shares = self._compute_shares(rows)
        return torch.from_numpy(shares if self.num_outputs > 1 else shares[:, 1])

    def _compute_values(self, rows: Matrix) -> np.ndarray:
        """Values `[B]` float64."""
        with _limit(1):
            return np.asarray(self.estimator.predict(rows), dtype=np.float64)

    def _compute_shares(self, rows: Matrix) -> np.ndarray:
        """Probabilities `[B, K]`; a class that training has not seen has none."""
        with _limit(1):
            found = self.estimator.predict_proba(rows)
        shares = np.zeros((len(found), max(2, self.num_outputs)))
        shares[:, np.asarray(self.estimator.classes_, dtype=np.int64)] = found
        return shares

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """Logits of the probabilities, or the values; of Poisson's loss the logarithm of the rate."""
        if not len(numeric):
            return numeric.new_empty(0, self.num_outputs)
        rows = self._join(numeric, ids)
        if not hasattr(self.estimator, "classes_"):
            values = self._compute_values(rows)
            found = np.log(np.maximum(values, LEAST)) if self.gives_log else values
        else:
            shares = self._compute_shares(rows).clip(LEAST, 1.0)
            found = np.log(shares) if self.num_outputs > 1 else np.log(shares[:, 1]) - np.log(shares[:, 0])
        return torch.as_tensor(found, dtype=torch.float32).reshape(len(numeric), self.num_outputs)

    def save(self, file: Path) -> None:
        """Write the estimator as skops does, the same bytes for the same estimator."""
        file.write_bytes(dump(self.estimator))

    def load(self, file: Path) -> None:
        """Read the file, once it is known that nothing in it leads outside of its own arrays."""
        found = read(file, trusted=self._read("TRUSTED"), num_inputs=self.num_inputs)
        if type(found) is not type(self.estimator):
            raise TreadleError(f"{file} holds a {type(found).__name__}, not a {type(self.estimator).__name__}")
        known = getattr(found, "classes_", None)
        if (known is not None) != ("binary" in self._read("TASKS")) or not self._are_classes(known):
            raise TreadleError(f"{file}: the classes of {type(found).__name__} are not those of the bundle")
        self.estimator = found
        self._set(self._list_threads(FEW_THREADS))
        self.gives_log = "poisson" in self._read("OBJECTIVES") and self._minimises_poisson()

    def _are_classes(self, known: Any) -> bool:
        return known is None or set(np.asarray(known).tolist()) <= set(range(max(2, self.num_outputs)))

    def _minimises_poisson(self) -> bool:
        return self._read("SETTINGS")["poisson"].items() <= self.estimator.get_params().items()


def _read_weights(rows: Batch) -> np.ndarray | None:
    """Weights `[B]`; None where all are the same, of which quantiles are found much faster."""
    return None if (rows.weight == rows.weight[:1]).all() else rows.weight.numpy()


@cache
def _find_thread_pools() -> Any:
    """The pools of threads of the libraries that scikit-learn computes with; to find them takes long."""
    importlib.import_module("sklearn.ensemble")
    return import_library("threadpoolctl", extra="sklearn").ThreadpoolController()


def _limit(threads: int) -> AbstractContextManager[Any]:
    limited: AbstractContextManager[Any] = _find_thread_pools().limit(limits=threads)
    return limited
