"""The stage `prepare`: from tables to examples, one Parquet file a split."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from treadle.data.label_functions import label_rows, read_votes
from treadle.data.label_report import list_vote_columns
from treadle.data.lazy_frames import collect, collect_columns, collect_names, parse
from treadle.data.own_rows import OwnRows
from treadle.data.point_in_time import look_back_asof, look_back_window
from treadle.data.roles import check_roles, check_splits
from treadle.data.sample import describe_sample, draw_sample
from treadle.data.series import SERIES_FILE, SOURCE, describe_series, number_examples, read_series
from treadle.data.split import assign_splits
from treadle.data.tables import Lookup, load_tables
from treadle.data.unsplit import ROLES, Columns, Unsplit, read_unsplit, write_frame, write_unsplit
from treadle.errors import TreadleError
from treadle.experiment.spec import AsOf, Data, Forecast, History, Join, get_split_column
from treadle.lineage.graph import list_label_joins
from treadle.schema import LABEL, PREDICT_AT, ROW, SPLITS, WEIGHT, Split
from treadle.threads import map_ahead


@dataclass(frozen=True)
class KnownColumns:
    """What an example knows of its own row of the table, and the names of what it knows of the past."""

    table: pl.LazyFrame  # of the examples
    lookups: list[Lookup]  # which hold some of its columns
    known: list[str]
    past: list[str]

    def add_to(self, rows: pl.DataFrame) -> pl.DataFrame:
        """Whole examples.

        Args:
            rows: ROW, other roles, and the columns of the past.

        Raises:
            TreadleError: a column is of a type that no example can hold.
        """
        roles = [name for name in ROLES if name in rows.columns]
        known = self._gather(rows[ROW])
        columns = [*(known[name] for name in self.known), *rows.select(self.past)]
        return pl.DataFrame([*rows.select(roles), *map(unify, columns)])

    def _gather(self, rows: pl.Series) -> dict[str, pl.Series]:
        """The known columns of some rows of the table."""
        gathered: dict[str, pl.Series] = {}
        for lookup in self.lookups:
            looked_up = [name for name in self.known if name in lookup.values.columns]
            gathered |= lookup.take(looked_up, rows).to_dict()
        others = [name for name in self.known if name not in gathered]
        for part in collect_columns(self.table, others):
            gathered |= part[rows].to_dict()
        return gathered


@dataclass(frozen=True)
class Examples:
    """One row per prediction: ROW, PREDICT_AT, LABEL, WEIGHT and SHARES where declared, and the columns known by then.

    What decides about rows is in memory as a whole; the known columns are gathered split by split.
    """

    columns: Columns
    rows: dict[Split, pl.DataFrame]  # ROW, the other roles, and what `columns` needs, of each split's examples
    excluded: dict[str, int]  # rows left out, by reason
    series: pl.DataFrame | None  # of a forecast, as `read_series` gives it
    notes: dict[str, dict[str, Any]]  # what label functions said, and what was drawn, for the summary

    def take(self, split: Split) -> pl.DataFrame:
        """The examples of a split; errors as in `KnownColumns.add_to`."""
        return self.columns.add_to(self.rows[split])


def prepare(data: Data, *, root: Path, folder: Path, now: datetime, unsplit: Path | None = None) -> None:
    """Write `train.parquet`, `valid.parquet`, `test.parquet`, `schema.json` and `summary.json` into `folder`.

    Of a forecast also `series.parquet`, the series themselves, which naive forecasts remember.

    Args:
        data: what is declared.
        root: the project; paths of tables are relative to it.
        folder: to write into.
        now: the current time, for the age of values.
        unsplit: a folder that holds the examples already, as `prepare_unsplit` wrote them of the same data with
            whatever split; None: they are built.

    Raises:
        TreadleError: a table, an expression, the contract or the split does not hold; nothing is written then.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    if unsplit is not None:
        _write_splits(split_examples(read_unsplit(unsplit, data), data), data, folder)
        return
    with TemporaryDirectory(dir=folder.parent, prefix=".tables-") as scratch:
        _write_splits(build_examples(data, root=root, now=now, scratch=Path(scratch)), data, folder)


def prepare_unsplit(data: Data, *, root: Path, folder: Path, now: datetime) -> None:
    """Write the examples of all splits, from which `prepare` makes those of any split; arguments, errors as there."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(dir=folder.parent, prefix=".tables-") as scratch:
        write_unsplit(build_unsplit(data, root=root, now=now, scratch=Path(scratch)), data, folder)


def _write_splits(examples: Examples, data: Data, folder: Path) -> None:
    schemas = [write_frame(examples.take(split), folder / f"{split}.parquet") for split in SPLITS]
    if examples.series is not None:
        write_frame(examples.series, folder / SERIES_FILE)
    (folder / "schema.json").write_text(json.dumps(_describe_schema(schemas[0]), indent=2) + "\n")
    (folder / "summary.json").write_text(json.dumps(_summarize(examples, data.forecast), indent=2) + "\n")


def build_examples(data: Data, *, root: Path, now: datetime, scratch: Path) -> Examples:
    """The examples of each split; arguments as in `build_unsplit`."""
    return split_examples(build_unsplit(data, root=root, now=now, scratch=scratch), data)


def split_examples(unsplit: Unsplit, data: Data) -> Examples:
    """Assign each example to its split, label those of training by rules, and draw their sample, if declared.

    Raises:
        TreadleError: the split does not hold, or leaves a split without what training or evaluation needs.
    """
    splits = assign_splits(unsplit.rows, data.split)
    excluded = {**unsplit.excluded, "between the splits": splits.null_count()}
    # In one piece each: sums, and the pages of files, would tell into how many pieces an engine had cut the rows.
    parts: dict[Split, pl.DataFrame] = {split: unsplit.rows.filter(splits == split).rechunk() for split in SPLITS}
    labelled = label_rows(parts, data)
    excluded |= labelled.left_out
    notes = {} if labelled.report is None else {"labels": labelled.report}
    if data.sample is not None:
        train = labelled.rows["train"]
        sample = labelled.rows["train"] = draw_sample(train, data.sample)
        excluded["not drawn for training"] = len(train) - len(sample)
        notes["sample"] = describe_sample(sample, train, data.sample)
    check_splits(labelled.rows, data)
    return Examples(unsplit.columns, labelled.rows, excluded, unsplit.series, notes)


def build_unsplit(data: Data, *, root: Path, now: datetime, scratch: Path) -> Unsplit:
    """Examples with everything that was known when each prediction was to be made, and nothing else.

    Args:
        data: what is declared.
        root: the project; paths of tables are relative to it.
        now: the current time, for the age of values.
        scratch: a folder for copies of the tables, which the examples read as long as they are used.
    """
    spec = data.examples
    loaded = load_tables(data, root=root, now=now, scratch=scratch)
    tables = {name: table.rows for name, table in loaded.items()}
    table = _add_roles(number_examples(tables[spec.table], data), data)
    rows, excluded = _exclude(table, data)
    rows = look_back(rows, tables, data, label_joins=list_label_joins(data), root=root, scratch=scratch)
    series = None if data.forecast is None else read_series(tables[spec.table], data, data.forecast)
    return Unsplit(name_columns(table, loaded[spec.table].lookups, data), rows, excluded, series)


def name_columns(table: pl.LazyFrame, lookups: list[Lookup], data: Data) -> KnownColumns:
    """The columns of examples, of the table and of the past."""
    lookups = [] if data.forecast is not None else lookups  # whose places are those of the table's rows
    known = list(dict.fromkeys(data.examples.known))
    past = [name for name in dict.fromkeys(_past_columns(data)) if name not in known]
    return KnownColumns(table, lookups, known, past)


def look_back(
    rows: pl.DataFrame,
    tables: dict[str, pl.LazyFrame],
    data: Data,
    *,
    label_joins: Sequence[Join],
    root: Path,
    scratch: Path,
) -> pl.DataFrame:
    """Add the columns of the past; rows come back in the order of PREDICT_AT. Arguments as in `OwnRows`."""
    spec = data.examples
    if spec.predict_at is None:
        return rows
    rows = rows.sort(PREDICT_AT, maintain_order=True)
    own = OwnRows(rows, tables, data, label_joins=label_joins, root=root, scratch=scratch)

    key = "data.examples"
    looks = [
        partial(look_back_asof, rows, asof, tables[asof.table], own=own.find(asof.table), key=f"{key}.asof.{name}")
        for name, asof in spec.asof.items()
    ] + [
        partial(look_back_window, rows, look, tables[look.table], own=own.find(look.table), key=f"{key}.history.{name}")
        for name, look in spec.history.items()
    ]
    parts = list(map_ahead(lambda look: look(), looks))
    rows = rows.drop(_past_columns(data), strict=False)  # a key of theirs may have the same name
    return pl.concat([rows, *parts], how="horizontal")


def _add_roles(rows: pl.LazyFrame, data: Data) -> pl.LazyFrame:
    spec = data.examples
    roles = [_read_label(rows, data)]
    if data.labels is not None:
        roles += read_votes(data.labels, rows, dtype=_type_label(data))
    if spec.predict_at is not None:
        roles.append(time_prediction(spec.predict_at, rows))
    if spec.weight is not None:
        roles.append(parse(spec.weight, rows, key="data.examples.weight").cast(pl.Float64).alias(WEIGHT))
    return rows.with_columns(roles)


def _read_label(rows: pl.LazyFrame, data: Data) -> pl.Expr:
    """The label of each row; several labels as the fields of a struct, in the order of the configuration."""
    parsed = [parse(text, rows, key=key) for key, text in data.examples.labels.items()]
    if isinstance(data.examples.label, dict):
        named = zip(data.examples.label, parsed, strict=True)
        return pl.struct(label.cast(pl.Float64).alias(name) for name, label in named).alias(LABEL)
    return (parsed[0] if data.answer == "multiclass" else parsed[0].cast(pl.Float64)).alias(LABEL)


def time_prediction(predict_at: str, rows: pl.LazyFrame) -> pl.Expr:
    """When the prediction of a row is made."""
    moment = parse(predict_at, rows, key="data.examples.predict_at")
    return moment.cast(pl.Datetime("us")).alias(PREDICT_AT)


def _exclude(table: pl.LazyFrame, data: Data) -> tuple[pl.DataFrame, dict[str, int]]:
    """Leave rows out by the declared reasons, in order; then hold what every example must have."""
    present = collect_names(table, key="data.examples")
    wanted = [name for name in dict.fromkeys([*ROLES, *_deciding_columns(data)]) if name in present]
    (frame,) = collect(table.select(wanted), key="data.examples")
    frame, excluded = leave_out(frame, table, data)
    check_roles(frame, data)
    kept = {LABEL: _type_label(data), WEIGHT: pl.Float32()}
    return frame.cast({role: dtype for role, dtype in kept.items() if role in frame.columns}), excluded


def _type_label(data: Data) -> pl.DataType:
    if isinstance(data.examples.label, dict):
        return pl.Struct(dict.fromkeys(data.examples.label, pl.Float64()))
    return pl.String() if data.answer == "multiclass" else pl.Float64()


def leave_out(frame: pl.DataFrame, table: pl.LazyFrame, data: Data) -> tuple[pl.DataFrame, dict[str, int]]:
    """The rows of a frame that no declared reason excludes, and how many each reason does, in order.

    Args:
        frame: one row for each of the table.
        table: that the conditions read.
        data: what is declared.
    """
    excluded: dict[str, int] = {}
    left = frame[ROW].is_not_null()  # all of them, as yet
    for reason, condition in data.examples.exclude.items():
        key = f"data.examples.exclude.{reason}"
        (matched,) = collect(table.select(parse(condition, table, key=key).fill_null(value=False)), key=key)
        outside = matched.to_series() & left
        excluded[reason] = int(outside.sum())
        left &= ~outside
    return frame.filter(left), excluded


def _deciding_columns(data: Data) -> list[str]:
    """Columns of the table that decide about rows: votes, keys of the past and of the label's joins, the split's."""
    split = get_split_column(data.split)
    keys = list_keys(data, list_label_joins(data))
    return [SOURCE, *list_vote_columns(data.labels), *keys, *([] if split is None else [split])]


def list_keys(data: Data, label_joins: Sequence[Join]) -> list[str]:
    """Columns of the table by which the past is looked up, and the rows that hold the label."""
    looks: list[AsOf | History | Join] = [*data.examples.asof.values(), *data.examples.history.values(), *label_joins]
    return [column for look in looks for column in look.by]


def _past_columns(data: Data) -> list[str]:
    spec = data.examples
    newest = [column for asof in spec.asof.values() for column in asof.columns]
    return newest + [column for history in spec.history.values() for column in history.columns]


def unify(values: pl.Series) -> pl.Series:
    """One type for each kind of column, whatever width an expression gives; the bundle expects the same."""
    dtype = values.dtype
    if dtype.is_integer():
        return values.cast(pl.Int64)
    if dtype.is_float() or dtype.is_decimal():
        return values.cast(pl.Float64)
    if isinstance(dtype, pl.Datetime):
        utc = values.dt.convert_time_zone("UTC").dt.replace_time_zone(None) if dtype.time_zone else values
        return utc.cast(pl.Datetime("us"))
    if dtype in {pl.Boolean(), pl.String(), pl.Binary(), pl.Date(), pl.Time()}:
        return values
    if isinstance(dtype, pl.Categorical | pl.Enum | pl.Null):
        return values.cast(pl.String)
    raise TreadleError(
        f"data.examples.known: {values.name!r} is of type {dtype}, which an example cannot hold; "
        "derive a number, a text or a moment from it"
    )


def _describe_schema(schema: pl.Schema) -> dict[str, str]:
    return {name: str(dtype) for name, dtype in schema.items() if name not in ROLES}


def _average(label: pl.Series) -> Any:
    """The mean label, or that of each label by name; None of classes."""
    if label.dtype == pl.Struct:
        return {values.name: values.mean() for values in label.struct.unnest()}
    return label.mean() if label.dtype.is_numeric() else None


def _summarize(examples: Examples, forecast: Forecast | None) -> dict[str, Any]:
    rows = examples.rows
    return {
        "rows": {name: len(frame) for name, frame in rows.items()},
        "left_out": examples.excluded,
        **({} if examples.series is None or forecast is None else describe_series(examples.series, forecast)),
        "label_mean": {name: mean for name, frame in rows.items() if (mean := _average(frame[LABEL])) is not None},
        "period": {
            name: [str(frame[PREDICT_AT].min()), str(frame[PREDICT_AT].max())]
            for name, frame in rows.items()
            if PREDICT_AT in frame.columns
        },
        **examples.notes,
    }
