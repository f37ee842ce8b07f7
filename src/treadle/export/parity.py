"""Rows that tell whether a graph gives the bundle's numbers: kept beside it, and asked again where it is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple, Self

import polars as pl
import torch
from torch import Tensor

from treadle.bundle import Bundle
from treadle.errors import TreadleError
from treadle.evaluation.parity import PARITY, find_units, read_outputs, widen_unit
from treadle.export.formats import Call
from treadle.features.featurizer import Raw
from treadle.hints import show

FILE = "parity.parquet"
ALONE = 8  # rows that are asked alone as well
_PREDICTION, _UNIT = "prediction", "unit"


@dataclass(frozen=True)
class ParityRows:
    """Rows with what the bundle predicts for them."""

    raw: Raw
    predictions: Tensor  # [R, K] float64; one column but for several classes
    units: Tensor  # [R, K] that a difference is a share of

    @classmethod
    def ask(cls, bundle: Bundle, frame: pl.DataFrame) -> Self:
        """Of conformed rows."""
        found = read_outputs(bundle.predict(frame, on_breach="allow"), bundle)
        predictions = _to_matrix(found)
        return cls(bundle.featurizer.read(frame), predictions, find_units(bundle, predictions))

    def take_inputs(self, names: Sequence[str]) -> list[Tensor]:
        """The inputs of the graph that have columns."""
        given = self.raw._asdict()
        return [given[name].contiguous() for name in names]  # machine code is compiled for them as they lie

    def save(self, folder: Path) -> None:
        """Write them: `numbers.0` …, `ids.0` …, `pixels.0` …, `prediction.0` …, `unit.0` …."""
        parts = {**self.raw._asdict(), _PREDICTION: self.predictions, _UNIT: self.units}
        columns = {f"{part}.{i}": column.numpy() for part, values in parts.items() for i, column in enumerate(values.T)}
        pl.DataFrame(columns).write_parquet(folder / FILE)

    @classmethod
    def load(cls, folder: Path) -> Self:
        """What `save` wrote.

        Raises:
            TreadleError: the file is missing, or holds something else.
        """
        try:
            frame = pl.read_parquet(folder / FILE)
            parts = [_take_part(frame, name) for name in (*Raw._fields, _PREDICTION, _UNIT)]
        except (OSError, pl.exceptions.PolarsError) as error:
            raise TreadleError(f"{folder / FILE} cannot be read: {str(error).splitlines()[0]}") from error
        numbers, ids, pixels, predictions, units = parts
        return cls(Raw(numbers.double(), ids.long(), pixels.byte()), predictions.double(), units.double())


class Gap(NamedTuple):
    """The largest difference to the bundle."""

    row: int  # from 0
    place: int  # among its predictions
    found: float
    wanted: float
    share: float  # of the unit; `PARITY` is allowed


@torch.no_grad()
def find_gap(rows: ParityRows, call: Call, *, names: Sequence[str]) -> Gap:
    """Ask a graph for all rows together, and for some of them alone.

    Raises:
        TreadleError: it gives something of another shape.
    """
    inputs = rows.take_inputs(names)
    together = _to_matrix(call(inputs))
    if together.shape != rows.predictions.shape:
        raise TreadleError(f"the graph gives {list(together.shape)} numbers, not {list(rows.predictions.shape)}")
    few = range(min(ALONE, len(together)))
    alone = torch.cat([_to_matrix(call([tensor[i : i + 1] for tensor in inputs])) for i in few])
    found = torch.cat([together, alone])
    wanted, units = (torch.cat([values, values[: len(few)]]) for values in (rows.predictions, rows.units))
    shares = ((found - wanted).abs() / units).nan_to_num(nan=torch.inf)
    row, place = divmod(int(shares.argmax()), shares.shape[1])
    numbers = (float(values[row, place]) for values in (found, wanted, shares))
    return Gap(row if row < len(together) else row - len(together), place, *numbers)


def forgive_rounding(rows: ParityRows, gap: Gap, bundle: Bundle, frame: pl.DataFrame) -> bool:
    """Whether the difference is what rounding makes of large terms; its unit is then widened, in place."""
    row = frame.row(gap.row, named=True)
    before = float(rows.units[gap.row, gap.place])
    unit = widen_unit(bundle, row, place=gap.place, unit=before)
    rows.units[gap.row, gap.place] = unit
    return unit > before and abs(gap.found - gap.wanted) <= PARITY * unit


def describe_gap(gap: Gap, row: dict[str, object]) -> str:
    """A sentence with the row."""
    values = ", ".join(f"{name}={show(value)}" for name, value in row.items())
    return (
        f"row {gap.row} of the parity rows is {gap.wanted:.9g} by the bundle and {gap.found:.9g} by the graph: they "
        f"differ by {gap.share:.3g}, more than {PARITY:g}\n  {values}"
    )


def _to_matrix(values: Tensor) -> Tensor:
    return values.double().reshape(len(values), -1)


def _take_part(frame: pl.DataFrame, part: str) -> Tensor:
    names = [name for name in frame.columns if name.startswith(f"{part}.")]
    return frame.select(names).to_torch() if names else torch.empty(len(frame), 0)
