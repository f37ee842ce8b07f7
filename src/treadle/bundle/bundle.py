"""The bundle of one model: features, then a network or an estimator."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import polars as pl
import torch
from torch import Tensor

from treadle.bundle.model import Model, measure_width, to_prediction
from treadle.bundle.predictor import Predictor
from treadle.features.featurizer import Featurizer, Inputs
from treadle.images import count_part_rows
from treadle.models.estimator import Estimator
from treadle.schema import list_inputs
from treadle.tasks import TRAITS

CHUNK = 16_384  # rows that are read at once; the same everywhere, so that the numbers are
CELLS = 1 << 20  # numbers that a layer gives at once: what stays in the processor's cache
PIXELS = 1 << 28  # bytes of images that are read at once
LEAST_ROWS = 64  # that go through a network at once, however wide it is


@dataclass(frozen=True)
class Bundle(Predictor):
    """A trained model with everything that it needs to predict a row."""

    featurizer: Featurizer
    model: Model

    @torch.no_grad()
    def compute(self, frame: pl.DataFrame) -> Tensor:
        """Predictions in the target's own units, `[B]`, or `[B, K]` for K classes, of conformed rows `[B]`."""
        if not isinstance(self.model, Estimator):
            self.model.eval()
        with one_thread():
            step = self.chunk_rows
            chunks = [self._predict_chunk(frame[start : start + step]) for start in range(0, len(frame), step)]
            return torch.cat(chunks) if chunks else self._predict_chunk(frame)

    def _predict_chunk(self, frame: pl.DataFrame) -> Tensor:
        return self.predict_inputs(self.featurizer(frame))

    def predict_inputs(self, inputs: Inputs) -> Tensor:
        """Predictions as `compute` gives them, of rows whose inputs are computed already."""
        parts = zip(*(values.split(self.rows_at_once) for values in inputs), strict=True)
        outputs = [self.read_output(self.model(*list_inputs(*part))) for part in parts]
        return outputs[0] if len(outputs) == 1 else torch.cat(outputs)

    @cached_property
    def chunk_rows(self) -> int:
        """Rows that are read at once: `CHUNK`, or a part of it that is a power of two, where rows hold images.

        Of pixels it is no fewer than go through the model together: that would change the last digits.
        """
        num_pixels = self.featurizer.num_pixels
        fitting = PIXELS // max(1, num_pixels)
        most = max(LEAST_ROWS, min(CHUNK, 1 << max(0, fitting.bit_length() - 1)))
        together = min(most, self.rows_at_once) if num_pixels else LEAST_ROWS
        return max(together, count_part_rows(self._types, most=most))

    @cached_property
    def rows_at_once(self) -> int:
        """Rows that go through the model together: a power of two, so that a chunk consists of whole parts."""
        if isinstance(self.model, Estimator):
            return CHUNK
        inputs = len(self.featurizer.numeric_names), len(self.featurizer.id_names), self.featurizer.num_pixels
        fitting = CELLS // measure_width(self.model, *inputs)
        return max(LEAST_ROWS, min(CHUNK, 1 << max(0, fitting.bit_length() - 1)))

    def read_output(self, output: Tensor) -> Tensor:
        """From outputs of the model to predictions in the target's own units: `[B]`, or `[B, K]`."""
        target = self.card.target
        prediction = to_prediction(output, task=self.task, link=target.link)
        if not TRAITS[self.task].is_value:
            return prediction
        return prediction.double() * target.scale + target.mean  # float32 has few distinct values near 1.7e9

    def measure_terms(self, row: Mapping[str, Any], place: int) -> float:
        """What a prediction would change by, were each weight and each input changed by its own size.

        A network that computes in float32 does as if each of them were changed by a few of its last digits: so this is
        the size that its rounding is a share of. (Higham, "Accuracy and Stability of Numerical Algorithms", backward
        error.)
        """
        if isinstance(self.model, Estimator):
            return 0.0  # it gives a row the same number wherever the row stands
        inputs = self.featurizer(self.conform(row))
        numeric = inputs.numeric.requires_grad_()
        terms = [numeric, *(weight for weight in self.model.parameters() if weight.requires_grad)]
        with torch.enable_grad():
            prediction = self.calibrate(self.read_output(self.model(*inputs.given))).flatten()[place]
        if not prediction.requires_grad:
            return 0.0
        gradients = torch.autograd.grad(prediction, terms, allow_unused=True)
        pairs = zip(terms, gradients, strict=True)
        return sum(float((term * gradient).detach().abs().sum()) for term, gradient in pairs if gradient is not None)


@contextmanager
def one_thread() -> Iterator[None]:
    """The order of a sum depends on the number of threads; predictions must not."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
