"""A file of rows to a file of predictions."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from treadle.bundle.breaches import describe_breaches
from treadle.bundle.predictor import Predictor
from treadle.bundle.rows import read_rows, write_rows
from treadle.schema import ROW


@dataclass(frozen=True)
class Batch:
    """The numbers of predicted and rejected rows of a file."""

    num_rows: int
    num_rejected: int
    message: str  # describes the rows that break the contract; empty if there are none


def predict_file(bundle: Predictor, rows: Path, *, output: Path) -> Batch:
    """Predict each row of a file, in its order.

    Where rows that break the contract are refused, their predictions are null, and a file beside the output, such as
    `out.rejected.csv`, lists them: position of the row from 0, column, rule and value.

    Raises:
        TreadleError: the file cannot be read, or a column of it.
    """
    return predict_frame(bundle, read_rows(rows, table=bundle.table), output=output)


def predict_frame(bundle: Predictor, rows: pl.DataFrame, *, output: Path) -> Batch:
    """Predict each row of a frame, as `predict_file`."""
    frame = bundle.conform(rows)
    predicted = bundle.predict(frame, on_breach="allow")
    beside = output.with_suffix(f".rejected{output.suffix}")
    beside.unlink(missing_ok=True)  # of another batch
    breaches = bundle.find_breaches(frame) if bundle.on_breach != "allow" else pl.DataFrame()
    if breaches.is_empty():
        write_rows(predicted, output)
        return Batch(len(frame), 0, "")
    message = describe_breaches(breaches, num_rows=len(frame))
    if bundle.on_breach == "warn":
        write_rows(predicted, output)
        return Batch(len(frame), 0, f"{message}\n  they were predicted nevertheless")
    positions = breaches["position"].unique()
    write_rows(_blank(predicted, positions), output)
    write_rows(breaches, beside)
    return Batch(len(frame), len(positions), f"{message}\n  they have no prediction; each is listed in {beside}")


def _blank(predicted: pl.DataFrame, positions: pl.Series) -> pl.DataFrame:
    """The predictions without those at some positions."""
    kept = pl.int_range(pl.len()).is_in(positions.implode()).not_()
    return predicted.with_columns(pl.when(kept).then(pl.all().exclude(ROW)))
