"""Rows to predictions, part by part."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import NamedTuple, Protocol

import polars as pl

from treadle.bundle.batch.files import FileSink
from treadle.bundle.batch.source import FileSource, RowSource, identify
from treadle.bundle.batch.tally import Tally
from treadle.bundle.breaches import summarize
from treadle.bundle.bundle import CHUNK
from treadle.bundle.conform import conform_rows
from treadle.bundle.predictor import Predictor
from treadle.data.casting import DECODED, DTYPES
from treadle.data.contract import Breach
from treadle.experiment.spec import Column
from treadle.schema import PREDICT_AT
from treadle.sql.expressions import list_columns, run

_BUNDLE = "bundle"  # column of its digest
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


@dataclass(frozen=True)
class Moment:
    """When the prediction of a row is made, computed from its columns as the training did."""

    expression: str
    read: Mapping[str, Column]  # columns that it is computed from; what cannot be read is missing

    @classmethod
    def find(cls, bundle: Predictor, *, left_out: Collection[str]) -> Moment | None:
        """None where the examples have none, or one for all; or where it would tell a column that is left out."""
        expression = bundle.recipe.data.examples.predict_at
        if expression is None:
            return None
        declared = {**bundle.table.columns, **bundle.columns}
        needed = list_columns(expression)
        if not needed or not set(needed) <= declared.keys() - set(left_out):
            return None
        return cls(expression, {name: declared[name].model_copy(update={"unreadable": "missing"}) for name in needed})

    def compute(self, rows: pl.DataFrame) -> pl.Series | None:
        """The column `predict_at` [UTC]; None where the rows lack a column that it is computed from."""
        if not all({name, column.name_in_file(name)} & set(rows.columns) for name, column in self.read.items()):
            return None
        return run(self.expression, conform_rows(rows, self.read)).cast(DTYPES["datetime"]).alias(PREDICT_AT)


@dataclass(frozen=True)
class Inputs:
    """What makes predictions a log that can be monitored: the columns of the rows, and which bundle predicted them."""

    read: Mapping[str, Column]  # columns of the model, and how they are read; what cannot be read is missing
    left_out: frozenset[str]  # private columns, images, and those that stand beside predictions anyway; also in files
    digest: str  # of the bundle
    moment: Moment | None  # of a prediction; None: nothing says it

    @classmethod
    def find(cls, bundle: Predictor, *, digest: str) -> Inputs:
        """Those of a bundle, without the columns that any of its tables calls private, under whatever name."""
        tables, declared = bundle.recipe.data.tables.values(), bundle.table.columns
        private = {name for table in tables for name, column in table.columns.items() if column.private}
        images = {name for name, column in bundle.columns.items() if column.dtype in DECODED}
        names = {*private, *bundle.private, *images, *bundle.keys}
        left_out = names | {declared[name].name_in_file(name) for name in names if name in declared}
        kept = {name: column for name, column in bundle.columns.items() if name not in left_out}
        read = {name: column.model_copy(update={"unreadable": "missing"}) for name, column in kept.items()}
        return cls(read, frozenset(left_out), digest, Moment.find(bundle, left_out=left_out))

    def add(self, predicted: pl.DataFrame, *, rows: pl.DataFrame) -> pl.DataFrame:
        """The predictions with the columns of their rows: those of the model as it reads them, others as they came.

        One that is called like an output is put under `input.<name>`, as a server does.
        """
        places = {name if name in rows.columns else column.name_in_file(name) for name, column in self.read.items()}
        others = [name for name in rows.columns if name not in places | self.left_out]
        kept = [*conform_rows(rows, self.read)[list(self.read)], *(rows[name] for name in others)]
        if self.moment is not None and PREDICT_AT not in {*rows.columns, *predicted.columns}:
            moment = self.moment.compute(rows)
            kept += [] if moment is None else [moment]
        taken = {_BUNDLE, *predicted.columns}
        named = [column.alias(f"input.{column.name}") if column.name in taken else column for column in kept]
        return predicted.hstack(named).with_columns(pl.lit(self.digest).alias(_BUNDLE))


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
    beside: Inputs | None = None,
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
        beside: the columns of the rows that stand beside their predictions; None: there are none.

    Raises:
        TreadleError: rows cannot be read, or written; what is done stays for the next call.
    """
    waiting: deque[pl.DataFrame] = deque()  # rows of the parts that are being predicted
    try:
        parts = _read_parts(source, start=sink.tally.num_rows, size=bundle.count_part_rows(PART_ROWS))
        parts = parts if beside is None else _keep(parts, waiting)
        rejects = set_apart or bundle.on_breach == "refuse"
        predict = partial(predict_part, bundle, set_apart=set_apart)
        for found in map(predict, parts) if workers is None else workers.map(parts, set_apart=set_apart):
            tally = sink.tally.add(
                num_rows=len(found.predicted), num_broken=found.num_broken, rejects=rejects, breaches=found.breaches
            )
            predicted = found.predicted if beside is None else beside.add(found.predicted, rows=waiting.popleft())
            sink.write(predicted, found.rejected, tally)
            report(tally.num_rows)
        sink.finish()
    finally:
        sink.close()
    return sink.tally


def _read_parts(source: RowSource, *, start: int, size: int) -> Iterator[Part]:
    for rows in source.read(start=start, size=size):
        yield Part(start, rows)
        start += len(rows)


def _keep(parts: Iterator[Part], waiting: deque[pl.DataFrame]) -> Iterator[Part]:
    """The parts, whose rows wait for their predictions, which come in the same order."""
    for part in parts:
        waiting.append(part.rows)
        yield part


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
