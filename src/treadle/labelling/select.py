"""The rows of a file that are worth a label, as a file to fill in."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl

from treadle.bundle import Predictor, read_rows, write_rows
from treadle.errors import TreadleError
from treadle.labelling.choose import Criterion, choose_rows, score_rows
from treadle.labelling.members import predict_members, read_inputs
from treadle.sql.expressions import list_columns


@dataclass(frozen=True)
class Selected:
    """What was chosen."""

    rows: pl.DataFrame  # as they came, the most telling first, with the columns to fill in behind
    to_fill: list[str]  # names of those columns
    num_rows: int  # of the file
    num_labelled: int  # rows of the file that have a label already, and were left out


def select_rows(bundle: Predictor, file: Path, *, by: Criterion, budget: int) -> Selected:
    """Choose rows without a label of a file.

    Args:
        bundle: the model that is to learn from them.
        file: Parquet, or a text in the format of the examples' table; it is read whole.
        by: see `score_rows`.
        budget: how many are chosen.

    Raises:
        TreadleError: the file cannot be read, has no row without a label, or the criterion does not fit the model.
    """
    raw = read_rows(file, table=bundle.table)
    columns = list_columns(bundle.recipe.data.examples.label)
    given = [name for name in columns if name in raw.columns]
    open_rows = raw.filter(pl.any_horizontal(_is_empty(raw, name) for name in given)) if given else raw
    if not len(open_rows):
        raise TreadleError(f"{file} has no row without a label ({', '.join(columns)})")
    frame = bundle.conform(open_rows)
    scores = score_rows(predict_members(bundle, frame), task=bundle.task, by=by)
    numeric, ids = read_inputs(bundle, frame)
    chosen = open_rows[choose_rows(scores, numeric=numeric, ids=ids, budget=budget)]
    added = [pl.lit(None, dtype=pl.String).alias(name) for name in columns if name not in raw.columns]
    return Selected(chosen.with_columns(added), columns, len(raw), len(raw) - len(open_rows))


def _is_empty(rows: pl.DataFrame, name: str) -> pl.Expr:
    column = pl.col(name)
    return column.is_null() | (column == "") if rows.schema[name] == pl.String else column.is_null()


def write_selected(found: Selected, output: Path) -> None:
    """Write the file to fill in.

    Raises:
        TreadleError: it exists: somebody may have filled it in.
    """
    if output.exists():
        raise TreadleError(f"{output} exists, and may hold labels that somebody has filled in; choose another name")
    write_rows(found.rows, output)
