"""Models whose every prediction is known beforehand: a formula of the columns, asked as a bundle is."""

from dataclasses import dataclass, field

import polars as pl


@dataclass
class KnownModel:
    """A bundle whose prediction is an expression; of a multiclass task one expression a class."""

    task: str
    outputs: dict[str, pl.Expr]  # `prediction`, `probability`, or a probability by class
    asked: list[int] = field(default_factory=list)  # rows of each call

    @property
    def classes(self):
        return list(self.outputs) if self.task == "multiclass" else []

    @property
    def output_names(self):
        return [f"probability_{name}" for name in self.classes] or list(self.outputs)

    def take_point(self, outputs):
        return outputs

    def predict(self, rows, *, on_breach):
        assert on_breach == "allow"
        self.asked.append(len(rows))
        prefix = "probability_" if self.task == "multiclass" else ""
        return rows.select(expression.alias(prefix + name) for name, expression in self.outputs.items())
