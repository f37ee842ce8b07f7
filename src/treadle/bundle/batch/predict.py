"""Rows to predictions, part by part."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import polars as pl

from treadle.bundle.batch.files import FileSink
from treadle.bundle.batch.source import FileSource, RowSource, identify
from treadle.bundle.batch.tally import Tally
from treadle.bundle.breaches import summarize
from treadle.bundle.bundle import CHUNK
from treadle.bundle.predictor import Predictor
from treadle.data.contract import Breach

PART_ROWS = 4 * CHUNK  # in memory at a time, where rows hold no files


class Part(NamedTuple):
    """Rows that are predicted at once."""

    first: int  # position of the first among all
    rows: pl.DataFrame


class Predicted(NamedTuple):
    """What became of a part."""

    predicted: pl.DataFrame  # a row for each
    rejected: pl.DataFrame
    num_broken: int  # rows that break the contract
    breaches: list[Breach]


class Workers(Protocol):
    """Processes that predict parts."""

    def map(self, parts: Iterator[Part], *, set_apart: bool) -> Iterator[Predicted]:
        """What becomes of each, in their order; few parts are read ahead."""


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
    workers: Workers | None = None,
) -> Tally:
    """Predict the rows that a sink does not have yet, in constant memory.

    Args:
        bundle: that predicts.
        source: of the rows.
        sink: of predictions and of rejected rows.
        set_apart: rejected rows as they came, with position and reasons, instead of a list of breaches; among them
            rows with a value that its type cannot hold, which otherwise ends the batch.
        report: takes the number of rows that are done.
        workers: other processes that predict the parts, with the same numbers; None: this one does.

    Raises:
        TreadleError: rows cannot be read, or written; what is done stays for the next call.
    """
    try:
        parts = _read_parts(source, start=sink.tally.num_rows, size=bundle.count_part_rows(PART_ROWS))
        rejects = set_apart or bundle.on_breach == "refuse"
        predict = partial(predict_part, bundle, set_apart=set_apart)
        for found in map(predict, parts) if workers is None else workers.map(parts, set_apart=set_apart):
            tally = sink.tally.add(
                num_rows=len(found.predicted), num_broken=found.num_broken, rejects=rejects, breaches=found.breaches
            )
            sink.write(found.predicted, found.rejected, tally)
            report(tally.num_rows)
        sink.finish()
    finally:
        sink.close()
    return sink.tally


def _read_parts(source: RowSource, *, start: int, size: int) -> Iterator[Part]:
    for rows in source.read(start=start, size=size):
        yield Part(start, rows)
        start += len(rows)


def predict_part(bundle: Predictor, part: Part, *, set_apart: bool) -> Predicted:
    """Predictions and rejected rows of a part.

    Raises:
        TreadleError: its rows cannot be read.
    """
    rows, first = part.rows, part.first
    frame, breaches = bundle.examine(rows, first=first, keep_unreadable=set_apart)
    predicted = bundle.predict(frame, on_breach="allow")
    broken = breaches["position"].unique().sort()
    found = summarize(breaches, first=first)
    if not len(broken) or not (set_apart or bundle.on_breach == "refuse"):
        return Predicted(predicted, breaches.clear(), len(broken), found)
    rejected = _set_apart(rows, breaches) if set_apart else breaches
    numbered = rejected.with_columns(pl.col("position") + first)
    return Predicted(_blank(predicted, broken, keys=bundle.keys), numbered, len(broken), found)


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
