"""Estimated size of the training from the heads of the files: rows, and inputs of the model.

No file is read to the end: Parquet stores its number of rows in the footer, that of a text file, JSON Lines too, is
extrapolated from its first megabytes. Expressions are not run: rows that `exclude` drops count, and computed columns
are not read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import polars as pl

from treadle.data.casting import column_of
from treadle.data.compression import read_start
from treadle.data.formats import find_format
from treadle.data.text_files import HEAD_BYTES
from treadle.errors import TreadleError
from treadle.experiment.files import list_sources
from treadle.experiment.spec import (
    Column,
    ColumnSplit,
    Data,
    Features,
    FoldRule,
    SplitRule,
    Table,
    TimeSeriesFolds,
    TimeSplit,
)

SAMPLE = 20_000  # first rows of the examples' table, in which unique values are counted
# Assumptions for what only the expressions of the data would tell.
TRAIN_SHARE, VALID_SHARE = 0.7, 0.15  # of a split by time, or by a column
WORDS = 20  # unique values of a computed categorical column

Source = Literal["footers", "heads"]


@dataclass(frozen=True)
class Rows:
    """Rows of the splits that training reads, before any is excluded."""

    train: int
    valid: int
    source: Source  # Parquet's footers, exact; or the heads of text files, extrapolated


@dataclass(frozen=True)
class Inputs:
    """The inputs of a model for one row."""

    numbers: int  # numeric inputs, after binning and cyclic encoding
    categories: int  # categorical columns
    words: int  # their categories, all columns together


def count_rows(data: Data, *, root: Path) -> Rows:
    """The rows of the splits, from the size of the examples' table.

    Raises:
        TreadleError: the table has no file here, or one that cannot be read.
    """
    table = data.tables[data.examples.table]
    files = _require_files(data, root)
    counts = [find_format(file, table).count_rows(file, table) for file in files]
    known = [count for count in counts if count is not None]
    is_exact = len(known) == len(files)
    total = sum(known) if is_exact else _extrapolate_rows(files, table)
    train, valid = _share(data.split)
    num_train = round(total * train)
    if data.sample is not None:
        num_train = min(num_train, data.sample.rows)
    return Rows(num_train, round(total * valid), "footers" if is_exact else "heads")


def _require_files(data: Data, root: Path) -> list[Path]:
    name = data.examples.table
    path = data.tables[name].path
    files = list_sources(path, root=root)
    if not files:
        raise TreadleError(f"it depends on the rows of data.tables.{name}, and there is no file at {path!r}")
    return files


def _extrapolate_rows(files: list[Path], table: Table) -> int:
    """Rows per byte in the first megabytes of the first file, times the bytes of all files."""
    head = find_format(files[0], table).scan_head(files[0], table, num_rows=HEAD_BYTES).collect()
    _, read = read_start(files[0], HEAD_BYTES)
    return round(len(head) * sum(file.stat().st_size for file in files) / max(1, read))


def _share(split: SplitRule) -> tuple[float, float]:
    if isinstance(split, TimeSplit):
        return TRAIN_SHARE, VALID_SHARE
    if isinstance(split, ColumnSplit):
        known = TRAIN_SHARE + VALID_SHARE
        valid = VALID_SHARE if split.valid_share is None else known * split.valid_share
        return known - valid, valid
    if isinstance(split, FoldRule):
        return _share_folds(split)
    return 1 - split.valid - split.test, split.valid


def _share_folds(split: FoldRule) -> tuple[float, float]:
    """Of periods the shares of the last fold, so that all folds train the same model."""
    if isinstance(split, TimeSeriesFolds):
        valid = (TRAIN_SHARE + VALID_SHARE) / (split.folds + 1)
        return valid * split.folds, valid
    valid = (1 - split.test) / split.folds
    return valid * (split.folds - 1), valid


# --- inputs -------------------------------------------------------------------------------------------


def count_inputs(features: Features, data: Data, *, root: Path) -> Inputs:
    """The inputs that the steps of the features make of their columns.

    Raises:
        TreadleError: the examples' table has no file here, or one that cannot be read.
    """
    sample = _read_sample(features, data, root)
    numbers = categories = words = 0
    for block in features.blocks.values():
        steps = list(block.steps.values())
        encoder = steps[0] if steps else {}
        given = 0
        for column in block.columns:
            values = sample.get(column)
            count = _count_words(encoder, values)
            if count is None:
                given += _count_numbers(steps, values)
            else:
                categories, words = categories + 1, words + count
        numbers += min([given, *(int(step["num_components"]) for step in steps if _name(step) == "TruncatedSvd")])
    return Inputs(numbers, categories, words)


def _read_sample(features: Features, data: Data, root: Path) -> Mapping[str, pl.Series]:
    """The first values of the columns that are read from the examples' table unchanged."""
    table = data.tables[data.examples.table]
    wanted = {column for block in features.blocks.values() for column in block.columns}
    wanted &= set(data.examples.known)
    raw = {name: column for name, column in table.columns.items() if name in wanted}
    frame = _read_first(_require_files(data, root)[0], table, raw)
    found = {values.name: values.rename("values") for values in frame.get_columns()}  # Polars reads patterns in names
    return {name: found[column.name_in_file(name)] for name, column in raw.items()}


def _read_first(file: Path, table: Table, columns: Mapping[str, Column]) -> pl.DataFrame:
    names = [column_of(name) for name in dict.fromkeys(column.name_in_file(n) for n, column in columns.items())]
    return find_format(file, table).scan_head(file, table, num_rows=SAMPLE).select(names).collect()


def _count_words(encoder: Mapping[str, Any], values: pl.Series | None) -> int | None:
    """The number of ids of an encoder; None if the step is none."""
    match _name(encoder):
        case "Hashing":
            return int(encoder["num_buckets"]) + 1
        case "Tokens":
            return int(encoder["vocabulary_size"])
        case "Vocabulary":
            return WORDS if values is None else values.n_unique() + 1
    return None


def _count_numbers(steps: list[dict[str, Any]], values: pl.Series | None) -> int:
    """The numeric inputs that the steps make of a column; indicators of missing values are not counted."""
    count = 1
    for step in steps:
        match _name(step):
            case "TfIdf":
                count = int(step["max_terms"])
            case "PiecewiseLinear":
                count *= _count_bins(int(step["num_bins"]), values)
            case "Cyclic":
                count *= 2
    return count


def _count_bins(num_bins: int, values: pl.Series | None) -> int:
    """Bins of positive width: distinct quantiles of the sample."""
    present = values.drop_nulls().sort() if values is not None else pl.Series([])
    if present.is_empty():
        return num_bins
    last = len(present) - 1
    positions = [math.floor(last * step / num_bins) for step in range(num_bins + 1)]
    return max(1, present.gather(positions).n_unique() - 1)


def _name(step: Mapping[str, Any]) -> str:
    target = str(step.get("_target_", ""))
    return target.rpartition(".")[2] if target.startswith("treadle.features.") else ""
