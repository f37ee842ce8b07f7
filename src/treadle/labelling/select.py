"""The rows of a file that are worth a label, as a file to fill in."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from treadle.bundle import Predictor, read_rows, write_rows
from treadle.data.casting import DTYPES
from treadle.errors import TreadleError
from treadle.experiment.spec import Column, Data
from treadle.labelling.choose import Criterion, choose_rows, score_rows
from treadle.labelling.members import predict_members, read_inputs
from treadle.labelling.own_labels import LabelColumns


@dataclass(frozen=True)
class Selected:
    """What was chosen."""

    rows: pl.DataFrame  # as they came, the most telling first, with the columns to fill in behind
    to_fill: dict[str, Column]  # those columns, by their names in the file
    num_rows: int  # of the file
    num_labelled: int  # rows of the file that have a label already, and were left out
    label_of_nothing: Any  # what the label of a row would be that stays empty; None: it has none


def select_rows(bundle: Predictor, file: Path, *, by: Criterion, budget: int) -> Selected:
    """Choose rows without a label of a file.

    Args:
        bundle: the model that is to learn from them.
        file: Parquet, or a text in the format of the examples' table; it is read whole.
        by: see `score_rows`.
        budget: how many are chosen.

    Raises:
        TreadleError: the file cannot be read, has no row without a label, the label cannot be filled in, or the
            criterion does not fit the model.
    """
    raw = read_rows(file, table=bundle.table)
    labels = LabelColumns.of(bundle.recipe.data)
    open_rows = labels.find_open(raw)
    given = labels.name_given(raw)
    absent = {name: column for name, column in labels.to_fill.items() if name not in given}
    if not len(open_rows):
        raise TreadleError(f"{file} has no row without a label ({', '.join(given.values())})")
    frame = bundle.conform(open_rows)
    scores = score_rows(predict_members(bundle, frame), task=bundle.task, by=by)
    numeric, ids = read_inputs(bundle, frame)
    chosen = open_rows[choose_rows(scores, numeric=numeric, ids=ids, budget=budget)]
    added = {column.name_in_file(name): DTYPES[column.dtype] for name, column in absent.items()}
    return Selected(
        chosen.with_columns(pl.lit(None, dtype=dtype).alias(name) for name, dtype in added.items()),
        {given.get(name, column.name_in_file(name)): column for name, column in labels.to_fill.items()},
        len(raw),
        len(raw) - len(open_rows),
        labels.label_nothing(),
    )


def write_selected(found: Selected, output: Path) -> None:
    """Write the file to fill in.

    Raises:
        TreadleError: it exists: somebody may have filled it in.
    """
    if output.exists():
        raise TreadleError(f"{output} exists, and may hold labels that somebody has filled in; choose another name")
    write_rows(found.rows, output)


def describe_filling(found: Selected, data: Data) -> Iterator[str]:
    """What a person fills in, and what the next run must be told to read the file."""
    yield f"fill in  {', '.join(found.to_fill)}"
    allowed = [f"{name}: {' or '.join(map(str, c.allowed))}" for name, c in found.to_fill.items() if c.allowed]
    yield from (f"allowed  {words}" for words in allowed)
    yield from (f"label    {text}" for text in data.examples.labels.values() if text not in found.to_fill)
    table = f"data.tables.{data.examples.table}"
    for name, column in found.to_fill.items():
        if not column.nullable:
            own = next(own for own, one in data.tables[data.examples.table].columns.items() if one is column)
            yield f"declare  {table}.columns.{own}.nullable: true, for rows where {name} stays empty"
    if found.label_of_nothing is not None:
        yield f"exclude  rows that stay empty (data.examples.exclude): their label would be {found.label_of_nothing!r}"
