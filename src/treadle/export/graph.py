"""What a bundle computes with tensors, as one module: from raw numbers and ids to predictions."""

from __future__ import annotations

from typing import Final

import torch
from torch import Tensor, nn

from treadle.bundle import Bundle
from treadle.features.featurizer import Featurizer

NUMBERS: Final = "numbers"  # the inputs, in this order; one that has no columns is left out
IDS: Final = "ids"
PIXELS: Final = "pixels"


def name_inputs(featurizer: Featurizer) -> list[str]:
    """The inputs that the graph takes: those that have columns."""
    widths = {NUMBERS: len(featurizer.number_columns), IDS: len(featurizer.id_columns), PIXELS: featurizer.num_pixels}
    return [name for name, width in widths.items() if width]


class PredictionGraph(nn.Module):
    """Fitted transforms, network, link and calibration of a bundle.

    Texts cannot enter a tensor: expressions, vocabularies and hashes come before it, and so does decoding of images.

    Shape:
        numbers: `[B, n]` float64, the columns of all blocks of numbers in their order; NaN where missing.
        ids: `[B, C]` int64, as the encoders give them; 0 is unknown or missing.
        pixels: `[B, P]` uint8, the images one after the other, each by lines, the channels of a pixel together.
        output: `[B]` in the target's own units, or the calibrated probability; `[B, K]` for K classes.
    """

    def __init__(self, bundle: Bundle) -> None:
        super().__init__()
        assert isinstance(bundle.model, nn.Module), "an estimator has no graph"
        self.featurizer = bundle.featurizer
        self.network = bundle.model
        self._read_output, self._calibrate = bundle.read_output, bundle.calibrate
        self._blocks = bundle.featurizer.split_numbers()
        self.names = name_inputs(bundle.featurizer)

    def forward(self, *inputs: Tensor) -> Tensor:
        """Predict."""
        given = dict(zip(self.names, inputs, strict=True))
        num_rows = len(inputs[0])
        numbers = given.get(NUMBERS, inputs[0].new_zeros(num_rows, 0, dtype=torch.float64))
        ids = given.get(IDS, inputs[0].new_zeros(num_rows, 0, dtype=torch.int64))
        pixels = given.get(PIXELS, inputs[0].new_zeros(num_rows, 0, dtype=torch.uint8))
        parts = {name: numbers[:, place] for name, place in self._blocks.items()}
        made = self.featurizer.transform(parts, ids.clone(), pixels)
        return self._calibrate(self._read_output(self.network(*made.given)))
