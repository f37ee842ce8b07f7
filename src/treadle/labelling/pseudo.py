"""Pseudo-labels: of the rows of a file that have no label, those of which a model is sure, with the class it predicts.

Source: Lee, "Pseudo-label: the simple and efficient semi-supervised learning method for deep neural networks", 2013.
They are a file with the table's key, which the next run joins and reads as a label function: nothing is trained here,
and no run takes its own predictions for labels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import torch

from treadle.bundle import Predictor, read_rows, write_rows
from treadle.errors import TreadleError
from treadle.labelling.own_labels import LabelColumns
from treadle.tasks import TRAITS

LABEL, PROBABILITY = "pseudo_label", "pseudo_probability"  # columns of the file


@dataclass(frozen=True)
class PseudoLabelled:
    """What a model is sure of."""

    rows: pl.DataFrame  # the table's key, LABEL and PROBABILITY
    counts: dict[str, int]  # of each class, as a rule would write it
    num_open: int  # rows of the file without a label
    num_rows: int  # of the file


def pseudo_label(bundle: Predictor, file: Path, *, threshold: float) -> PseudoLabelled:
    """Predict the rows of a file that have no label, and keep those whose class is as probable as that, or more.

    Args:
        bundle: the model.
        file: Parquet, or a text in the format of the examples' table; it is read whole.
        threshold: of the probability of the predicted class, above 1 / K of K classes, at most 1.

    Raises:
        TreadleError: the file cannot be read, a model of values has no classes, the table or the file has no key, or
            the model is sure of no row.
    """
    if TRAITS[bundle.task].is_value or bundle.task == "multilabel":
        raise TreadleError(f"the task {bundle.task!r} has no single class of a row to be sure of")
    least = 1 / max(2, len(bundle.classes))
    if not least < threshold <= 1:
        raise TreadleError(f"--threshold: must be above {least:.3g}, a guess, and at most 1; found {threshold:g}")
    raw = read_rows(file, table=bundle.table)
    keys = _take_keys(raw, bundle)
    rows = LabelColumns.of(bundle.recipe.data).find_open(raw.with_columns(keys))
    if rows.is_empty():
        raise TreadleError(f"{file} has no row without a label")
    chances = bundle.calibrate(bundle.compute(bundle.conform(rows))).double()
    if bundle.task == "binary":
        chances = torch.stack([1 - chances, chances], dim=1)
    best = chances.max(dim=1)
    names: Sequence[str | bool] = bundle.classes or [False, True]
    found = rows.select(keys.columns).with_columns(
        pl.Series(LABEL, [names[place] for place in best.indices.tolist()]),
        pl.Series(PROBABILITY, best.values.numpy()),
    )
    sure = found.filter(pl.col(PROBABILITY) >= threshold)
    if sure.is_empty():
        raise TreadleError(
            f"--threshold {threshold:g}: the model is so sure of none of {len(rows):,} rows without a label; the "
            f"largest probability is {float(best.values.max()):.4f}"
        )
    counts = {
        (str(name).lower() if isinstance(name, bool) else name): int((sure[LABEL] == name).sum()) for name in names
    }
    return PseudoLabelled(sure, counts, len(rows), len(raw))


def _take_keys(raw: pl.DataFrame, bundle: Predictor) -> pl.DataFrame:
    """The columns of the table's key, as they came, under the names that the table's file has.

    Raises:
        TreadleError: the table has no key, or the file lacks a column of it.
    """
    table, name = bundle.table, bundle.recipe.data.examples.table
    if not table.key:
        raise TreadleError(
            f"data.tables.{name}.key: the table has none, by which the next run could join its pseudo-labels; name the "
            "columns that tell its rows apart, and train again"
        )
    keys = []
    for key in table.key:
        source = table.columns[key].name_in_file(key)
        given = next((given for given in (key, source) if given in raw.columns), None)
        if given is None:
            raise TreadleError(f"the rows have no column {source!r}, which belongs to the key of the table {name!r}")
        keys.append(raw[given].alias(source))
    return pl.DataFrame(keys)


def write_pseudo_labels(found: PseudoLabelled, output: Path) -> None:
    """Write the file.

    Raises:
        TreadleError: it exists: a run may have read it.
    """
    if output.exists():
        raise TreadleError(f"{output} exists, and a run may have learned from it; choose another name")
    write_rows(found.rows, output)
