"""Rows to predictions, part by part."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import polars as pl

from treadle.bundle.batch.files import FileSink
from treadle.bundle.batch.source import FileSource, RowSource, identify
from treadle.bundle.batch.tally import Tally
from treadle.bundle.breaches import summarize
from treadle.bundle.bundle import CHUNK
from treadle.bundle.predictor import Predictor

PART_ROWS = 4 * CHUNK  # in memory at a time: whole chunks, so that the numbers are those of all rows together


class Sink(Protocol):
    """What takes the parts of a batch, in order; after a kill it says how far they came."""

    tally: Tally  # of the parts that are written

    def write(self, predicted: pl.DataFrame, rejected: pl.DataFrame, tally: Tally) -> None:
        """Write a part, whole or not at all; the tally includes it."""

    def finish(self) -> None:
        """Make what was written the result, once all parts are there."""

    def close(self) -> None:
        """Release it before that, so that the same command resumes."""


def predict_file(bundle: Predictor, rows: Path, *, output: Path) -> Tally:
    """Predict each row of a file, in its order, to another file.

    Where rows that break the contract are refused, their predictions are null, and a file beside the output, such as
    `out.rejected.csv`, lists them: position of the row from 0, column, rule and value.

    Raises:
        TreadleError: the file cannot be read, or a column of it.
    """
    identity = identify(bundle, files=[str(rows)], options={"on_breach": bundle.on_breach})
    with FileSource.open(rows, table=bundle.table) as source:
        sink = FileSink(output, rejects=output.with_suffix(f".rejected{output.suffix}"), identity=identity)
        return predict_batch(bundle, source, sink)


def predict_batch(
    bundle: Predictor,
    source: RowSource,
    sink: Sink,
    *,
    set_apart: bool = False,
    report: Callable[[int], None] = lambda _: None,
) -> Tally:
    """Predict the rows that a sink does not have yet, in constant memory.

    Args:
        bundle: that predicts.
        source: of the rows.
        sink: of predictions and of rejected rows.
        set_apart: rejected rows as they came, with position and reasons, instead of a list of breaches; among them
            rows with a value that its type cannot hold, which otherwise ends the batch.
        report: takes the number of rows that are done.

    Raises:
        TreadleError: rows cannot be read, or written; what is done stays for the next call.
    """
    try:
        for rows in source.read(start=sink.tally.num_rows, size=PART_ROWS):
            predicted, rejected, tally = _predict_part(bundle, rows, sink.tally, set_apart=set_apart)
            sink.write(predicted, rejected, tally)
            report(tally.num_rows)
        sink.finish()
    finally:
        sink.close()
    return sink.tally


def _predict_part(
    bundle: Predictor, rows: pl.DataFrame, done: Tally, *, set_apart: bool
) -> tuple[pl.DataFrame, pl.DataFrame, Tally]:
    """Predictions, rejected rows and the tally of a part."""
    frame, breaches = bundle.examine(rows, first=done.num_rows, keep_unreadable=set_apart)
    predicted = bundle.predict(frame, on_breach="allow")
    broken = breaches["position"].unique().sort()
    rejects = set_apart or bundle.on_breach == "refuse"
    tally = done.add(
        num_rows=len(frame), num_broken=len(broken), rejects=rejects, breaches=summarize(breaches, first=done.num_rows)
    )
    if not len(broken) or not rejects:
        return predicted, breaches.clear(), tally
    rejected = _set_apart(rows, breaches) if set_apart else breaches
    numbered = rejected.with_columns(pl.col("position") + done.num_rows)
    return _blank(predicted, broken, keys=bundle.keys), numbered, tally


def _blank(predicted: pl.DataFrame, positions: pl.Series, *, keys: list[str]) -> pl.DataFrame:
    """The predictions without those at some positions."""
    kept = pl.int_range(pl.len()).is_in(positions.implode()).not_()
    return predicted.with_columns(pl.when(kept).then(pl.all().exclude(keys)))


def _set_apart(rows: pl.DataFrame, breaches: pl.DataFrame) -> pl.DataFrame:
    """The rows as they came, with their position and why they are rejected."""
    value = pl.when(pl.col("value").is_null()).then(pl.lit("")).otherwise(pl.format(", found '{}'", "value"))
    reason = pl.format("{}: {}{}", "column", "rule", value)
    reasons = breaches.group_by("position", maintain_order=True).agg(reason.str.join("; ").alias("rejected"))
    return pl.concat([reasons, rows[reasons["position"]]], how="horizontal")
