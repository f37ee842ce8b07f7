"""The stage `prepare`: from tables to examples, one Parquet file a split."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from treadle.data.past import look_back_asof, look_back_window
from treadle.data.split import assign_splits
from treadle.data.sql import collect, parse
from treadle.data.tables import load_tables
from treadle.experiment.spec import Data
from treadle.schema import LABEL, PREDICT_AT, ROW, SPLITS, WEIGHT, Split, TreadleError


@dataclass(frozen=True)
class Examples:
    """One row per prediction: ROW, PREDICT_AT, LABEL, WEIGHT where declared, and the columns known by then."""

    frames: dict[Split, pl.DataFrame]
    excluded: dict[str, int]  # rows left out, by reason


def prepare(data: Data, *, root: Path, folder: Path, now: datetime) -> None:
    """Write `train.parquet`, `valid.parquet`, `test.parquet`, `schema.json` and `summary.json` into `folder`.

    Raises:
        TreadleError: a table, an expression, the contract or the split does not hold; nothing is written then.
    """
    examples = build_examples(data, root=root, now=now)
    folder.mkdir(parents=True, exist_ok=True)
    for split, frame in examples.frames.items():
        frame.write_parquet(folder / f"{split}.parquet")
    (folder / "schema.json").write_text(json.dumps(_describe_schema(examples), indent=2) + "\n")
    (folder / "summary.json").write_text(json.dumps(_summarize(examples), indent=2) + "\n")


def build_examples(data: Data, *, root: Path, now: datetime) -> Examples:
    """Examples with everything that was known when each prediction was to be made, and nothing else."""
    spec = data.examples
    tables = load_tables(data, root=root, now=now)
    rows, excluded = _exclude(_add_roles(tables[spec.table].with_row_index(ROW), data), data)
    frame = _look_back(rows, tables, data)
    kept = list(dict.fromkeys([*spec.known, *_past_columns(data)]))
    splits = assign_splits(frame, data.split)
    roles = [name for name in (ROW, PREDICT_AT, LABEL, WEIGHT) if name in frame.columns]
    frame = frame.select(*roles, *(_unify(frame[name]) for name in kept))
    frames = {name: frame.filter((splits == name).fill_null(value=False)) for name in SPLITS}
    excluded["between the splits"] = splits.null_count()
    return Examples(frames, excluded)


def _look_back(rows: pl.DataFrame, tables: dict[str, pl.LazyFrame], data: Data) -> pl.DataFrame:
    """Add the columns of the past; rows come back in the order of PREDICT_AT."""
    spec = data.examples
    if spec.predict_at is None:
        return rows
    rows = rows.sort(PREDICT_AT, maintain_order=True)
    parts = [
        look_back_asof(rows.lazy(), asof, tables[asof.table], key=f"data.examples.asof.{name}")
        for name, asof in spec.asof.items()
    ] + [
        look_back_window(rows.lazy(), history, tables[history.table], key=f"data.examples.history.{name}")
        for name, history in spec.history.items()
    ]
    return pl.concat([rows, *collect(*parts, key="data.examples")], how="horizontal")


def _add_roles(rows: pl.LazyFrame, data: Data) -> pl.LazyFrame:
    spec = data.examples
    label = parse(spec.label, key="data.examples.label")
    roles = [_cast_label(label, data).alias(LABEL)]
    if spec.predict_at is not None:
        moment = parse(spec.predict_at, key="data.examples.predict_at")
        roles.append(moment.cast(pl.Datetime("us")).alias(PREDICT_AT))
    if spec.weight is not None:
        roles.append(parse(spec.weight, key="data.examples.weight").cast(pl.Float32).alias(WEIGHT))
    return rows.with_columns(roles)


def _cast_label(label: pl.Expr, data: Data) -> pl.Expr:
    if data.task == "multiclass":
        return label.cast(pl.String)
    return label.cast(pl.Float64)


def _exclude(rows: pl.LazyFrame, data: Data) -> tuple[pl.DataFrame, dict[str, int]]:
    """Leave rows out by the declared reasons, in order; then hold what every example must have."""
    (frame,) = collect(rows, key="data.examples")
    excluded: dict[str, int] = {}
    for reason, condition in data.examples.exclude.items():
        key = f"data.examples.exclude.{reason}"
        (matched,) = collect(frame.lazy().select(parse(condition, key=key).fill_null(value=False)), key=key)
        outside = matched.to_series()
        excluded[reason] = int(outside.sum())
        frame = frame.filter(~outside)
    for role in (LABEL, PREDICT_AT, WEIGHT):
        if role in frame.columns and (missing := frame[role].null_count()):
            rows_at = frame.filter(pl.col(role).is_null())[ROW].head(3).to_list()
            raise TreadleError(
                f"data.examples.{role}: missing in {missing:,} rows, such as {rows_at}; "
                "say in data.examples.exclude which rows are no examples"
            )
    if data.task == "binary" and not set(frame[LABEL].unique().to_list()) <= {0.0, 1.0}:
        found = frame[LABEL].unique().sort().head(5).to_list()
        raise TreadleError(f"data.examples.label: a binary label is true or false, found {found}")
    return frame, excluded


def _past_columns(data: Data) -> list[str]:
    spec = data.examples
    newest = [column for asof in spec.asof.values() for column in asof.columns]
    return newest + [column for history in spec.history.values() for column in history.columns]


def _unify(values: pl.Series) -> pl.Series:
    """One type for each kind of column, whatever width an expression gives; the bundle expects the same."""
    dtype = values.dtype
    if dtype.is_integer():
        return values.cast(pl.Int64)
    if dtype.is_float() or dtype.is_decimal():
        return values.cast(pl.Float64)
    if isinstance(dtype, pl.Datetime):
        utc = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else values
        return utc.cast(pl.Datetime("us"))
    if dtype in {pl.Boolean(), pl.String(), pl.Date()}:
        return values
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null):
        return values.cast(pl.String)
    raise TreadleError(
        f"data.examples.known: {values.name!r} is of type {dtype}, which an example cannot hold; "
        "derive a number, a text or a moment from it"
    )


def _describe_schema(examples: Examples) -> dict[str, str]:
    frame = examples.frames["train"]
    roles = {ROW, PREDICT_AT, LABEL, WEIGHT}
    return {name: str(dtype) for name, dtype in frame.schema.items() if name not in roles}


def _summarize(examples: Examples) -> dict[str, Any]:
    return {
        "rows": {name: len(frame) for name, frame in examples.frames.items()},
        "left_out": examples.excluded,
        "label_mean": {
            name: frame[LABEL].mean() for name, frame in examples.frames.items() if frame[LABEL].dtype.is_numeric()
        },
        "period": {
            name: [str(frame[PREDICT_AT].min()), str(frame[PREDICT_AT].max())]
            for name, frame in examples.frames.items()
            if PREDICT_AT in frame.columns
        },
    }
