"""Several estimators as one: each of an output of its own, all in one file."""

from __future__ import annotations

import base64
import copy
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import torch
from torch import Tensor

from treadle.errors import TreadleError
from treadle.json_files import read_json, write_json
from treadle.models.estimator import Estimator, restart


class Several:
    """Copies of an estimator that is not trained yet.

    Args:
        estimator: with one output.
        names: of the outputs, for errors.
    """

    FILE = "models.json"

    def __init__(self, estimator: Estimator, *, names: Sequence[str]) -> None:
        self.names = list(names)
        self.estimators = [copy.deepcopy(estimator) for _ in names]

    def ask(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """`[B, Q]` outputs, one of each."""
        return torch.cat([estimator(numeric, ids) for estimator in self.estimators], dim=1)

    def restart(self) -> None:
        """Restart each."""
        for estimator in self.estimators:
            restart(estimator)

    def save(self, file: Path) -> None:
        """Write the files of all."""
        with TemporaryDirectory() as folder:
            write_json([_pack(estimator, Path(folder)) for estimator in self.estimators], file)

    def load(self, file: Path) -> None:
        """Read what `save` wrote, each by its own estimator."""
        packed = read_json(file)
        if not isinstance(packed, list) or len(packed) != len(self.names):
            raise TreadleError(f"{file} must hold a model for each of {', '.join(self.names)}")
        for name, estimator, text in zip(self.names, self.estimators, packed, strict=True):
            try:
                _unpack(estimator, text)
            except (ValueError, TypeError) as error:
                raise TreadleError(f"{file}: the model of {name}: {error}") from error


class LowestLoss:
    """Watches one of them: the number of rounds whose loss of the validation rows is the lowest.

    Args:
        compute: from predictions `[B]` float64 to losses `[B]`.
        weight: of the rows, `[B]`.
    """

    def __init__(self, compute: Callable[[Tensor], Tensor], *, weight: Tensor) -> None:
        self.compute, self.weight = compute, weight
        self.loss, self.rounds = math.inf, 0

    def watch(self, *, rounds: int, train: Tensor, valid: Tensor) -> int:  # noqa: ARG002 - as `Watch`
        """Score the predictions `[B]` of the validation rows."""
        loss = float((self.compute(valid.double()) * self.weight).sum() / self.weight.sum())
        if loss < self.loss or not self.rounds:
            self.loss, self.rounds = loss, rounds
        return self.rounds


def _pack(estimator: Estimator, folder: Path) -> str:
    estimator.save(folder / estimator.FILE)
    return base64.b64encode((folder / estimator.FILE).read_bytes()).decode("ascii")


def _unpack(estimator: Estimator, text: str) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder, estimator.FILE)
        file.write_bytes(base64.b64decode(text, validate=True))
        estimator.load(file)
