"""Models with an offset: numbers that are added to the output, and that the model itself does not read.

An offset is the logarithm of an exposure, and the output that of a count or an amount.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from torch import Tensor, nn

from treadle.models.estimator import Estimator, Training, restart
from treadle.schema import Batch, FitsInputs


class Offsets:
    """Which numeric inputs are offsets.

    Args:
        num_numeric: number of numeric inputs, offsets included.
        places: of the offsets among them.
    """

    def __init__(self, *, num_numeric: int, places: Sequence[int]) -> None:
        self.places = list(places)
        self.kept = [place for place in range(num_numeric) if place not in self.places]

    def take(self, numeric: Tensor) -> Tensor:
        """`[B, N] -> [B]`: their sum."""
        return numeric[:, self.places].sum(dim=1)

    def leave(self, numeric: Tensor) -> Tensor:
        """`[B, N] -> [B, N - n]`: what the model reads."""
        return numeric[:, self.kept]

    def to_rates(self, rows: Batch, *, power: float = 1.0) -> Batch:
        """Rows whose targets are rates: a model of them is the same as a model of counts with an offset.

        The deviance of a count is that of its rate times the exposure to the power of 2 - `power`, 1 being that of
        Poisson; so much does the rate weigh.
        """
        exposure = self.take(rows.numeric).exp()
        weight = rows.weight * exposure ** (2 - power)
        return rows._replace(numeric=self.leave(rows.numeric), target=rows.target / exposure, weight=weight)


class OffsetNetwork(nn.Module):
    """A network whose outputs are moved by the offset of each row.

    Shape:
        numeric: `[B, N]`; others: what else the network takes.
        output: as of the network.
    """

    def __init__(self, network: nn.Module, offsets: Offsets) -> None:
        super().__init__()
        self.network = network
        self.offsets = offsets

    def fit_inputs(self, numeric: Tensor) -> None:
        """Hand on what the network reads."""
        if isinstance(self.network, FitsInputs):
            self.network.fit_inputs(self.offsets.leave(numeric))

    def forward(self, numeric: Tensor, *others: Tensor) -> Tensor:
        """The network's output plus the offset."""
        output: Tensor = self.network(self.offsets.leave(numeric), *others)
        return output + self.offsets.take(numeric).view(-1, *[1] * (output.dim() - 1))


class OffsetEstimator:
    """An estimator that is trained on rates, and whose outputs are moved by the offset of each row."""

    def __init__(self, estimator: Estimator, offsets: Offsets) -> None:
        self.estimator = estimator
        self.offsets = offsets
        self.FILE = estimator.FILE  # a bundle has the file of the estimator itself

    def fit(self, train: Batch, valid: Batch, *, training: Training) -> None:
        """Train on rates; what `watch` is shown are counts again."""
        objective = training.objective
        power = objective.parameter if objective.name == "tweedie" and objective.parameter is not None else 1.0
        exposures = [self.offsets.take(rows.numeric).exp() for rows in (train, valid)]

        def show(*, rounds: int, train: Tensor, valid: Tensor) -> int:
            return training.watch(rounds=rounds, train=train * exposures[0], valid=valid * exposures[1])

        columns = [training.numeric_columns[place] for place in self.offsets.kept]
        self.estimator.fit(
            self.offsets.to_rates(train, power=power),
            self.offsets.to_rates(valid, power=power),
            training=replace(training, numeric_columns=columns, watch=show),
        )

    def restart(self) -> None:
        """Restart the estimator."""
        restart(self.estimator)

    def __call__(self, numeric: Tensor, ids: Tensor) -> Tensor:
        """The estimator's output plus the offset."""
        return self.estimator(self.offsets.leave(numeric), ids) + self.offsets.take(numeric)[:, None]

    def save(self, file: Path) -> None:
        """Write what the estimator learned."""
        self.estimator.save(file)

    def load(self, file: Path) -> None:
        """Read what `save` wrote."""
        self.estimator.load(file)


def add_offsets(model: nn.Module | Estimator, *, num_numeric: int, places: Sequence[int]) -> nn.Module | Estimator:
    """The model of the other inputs as one that takes offsets beside them; itself where there are none."""
    if not places:
        return model
    offsets = Offsets(num_numeric=num_numeric, places=places)
    if isinstance(model, Estimator):
        return OffsetEstimator(model, offsets)
    return OffsetNetwork(model, offsets)
