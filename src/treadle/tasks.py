"""What each task has: a row of a table, where a branch by the task's name would stand otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from treadle.schema import DataTask, Link, Task

Activation = Literal["sigmoid", "softmax", "identity"]
PROBABILITY, PREDICTION = "probability", "prediction"  # columns of what a model predicts


@dataclass(frozen=True, kw_only=True)
class Traits:
    """What a task asks of a model, and how its answers are named and judged."""

    activation: Activation  # from outputs to predictions: a probability each, shares that add up to 1, or values
    has_classes: bool = False  # whether there is an output for each of several classes or labels
    link: Link = "identity"  # of a value, from its prediction to the output, unless the loss says otherwise
    column: str  # of the prediction; with the name behind it, that of a class or a label
    loss: str  # of a row, in words
    loss_metric: str  # the mean of it as a metric, of a squared error the root

    @property
    def is_value(self) -> bool:
        """Whether the answer is a number in the label's own unit, not a probability."""
        return self.activation == "identity"

    def name_outputs(self, classes: Sequence[str]) -> list[str]:
        """The column of each number that is predicted for a row.

        >>> TRAITS["multiclass"].name_outputs(["car", "bus"])
        ['probability_car', 'probability_bus']
        """
        return [f"{self.column}_{name}" for name in classes] if self.has_classes else [self.column]

    def read_names(self, columns: Sequence[str]) -> list[str]:
        """The classes or labels of which some columns are the predictions; none where the task has none.

        >>> TRAITS["multiclass"].read_names(["row", "probability_car"])
        ['car']
        """
        prefix = f"{self.column}_"
        found = [name.removeprefix(prefix) for name in columns if name.startswith(prefix)]
        return found if self.has_classes else []


TRAITS: dict[Task, Traits] = {
    "binary": Traits(activation="sigmoid", column=PROBABILITY, loss="log loss", loss_metric="log_loss"),
    "multiclass": Traits(
        activation="softmax", has_classes=True, column=PROBABILITY, loss="log loss", loss_metric="log_loss"
    ),
    "multilabel": Traits(
        activation="sigmoid", has_classes=True, column=PROBABILITY, loss="log loss", loss_metric="log_loss"
    ),
    "regression": Traits(activation="identity", column=PREDICTION, loss="squared error", loss_metric="rmse"),
    "count": Traits(
        activation="identity",
        link="log",  # a mean count is above 0
        column=PREDICTION,
        loss="Poisson deviance",
        loss_metric="poisson_deviance",
    ),
}


def get_answer(task: DataTask) -> Task:
    """What a model answers: a forecast is a regression, whose examples are made of series."""
    return "regression" if task == "forecast" else task


def pick_by_task(declared: str | Mapping[str, str] | None, task: Task) -> str | None:
    """What a constant of a class says for a task: a word for all tasks, or one for each."""
    return declared.get(task) if isinstance(declared, Mapping) else declared
