"""Examples to predict, made from raw tables by the declarations of the training: without label, weight and split.

What needs the future is left aside: the label, and exclusions that read what is known only after the prediction. Of
the tables only those columns are read that a prediction needs.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path

import polars as pl

from treadle.data.lazy_frames import collect
from treadle.data.needed import Needs, find_needs, restrict
from treadle.data.prepare import KnownColumns, leave_out, list_keys, look_back, name_columns, time_prediction
from treadle.data.series import SOURCE, add_next, find_origin, number_examples
from treadle.data.tables import load_tables
from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.hints import nearest
from treadle.schema import PREDICT_AT, ROW
from treadle.wording import number_of


@dataclass(frozen=True)
class Unlabelled:
    """Rows to predict."""

    columns: KnownColumns
    tables: dict[str, pl.LazyFrame]  # every table that was needed, with joined and derived columns
    rows: pl.DataFrame  # ROW, PREDICT_AT where there is one, and the columns of the past
    excluded: dict[str, int]  # rows left out, by reason
    left_aside: list[str]  # exclusions that need the future
    unmatched: list[str]  # joins that find no row for any of these, in words

    def take(self, start: int, length: int) -> pl.DataFrame:
        """Some of the rows, whole; errors as in `KnownColumns.add_to`."""
        return self.columns.add_to(self.rows.slice(start, length))


def build_unlabelled(
    data: Data, *, files: Mapping[str, str], at: datetime | None, root: Path, now: datetime, scratch: Path
) -> Unlabelled:
    """The examples of raw tables, with what was known when each prediction is made.

    Args:
        data: what was declared for the training.
        files: path of each table, or a glob, by its name; others than those that are needed are not read.
        at: the moment of all predictions: of rows whose own comes later, with what was known by then; of a forecast
            the origin of the next values of each series; None: each row is predicted at its own moment, or origins.
        root: paths are relative to it.
        now: the current time, for the age of values.
        scratch: a folder for copies of the tables, which the examples read as long as they are used.

    Raises:
        TreadleError: a table is missing or not declared, lacks a column, or breaks its contract; or `at` is given and
            the examples have no moment.
    """
    spec = data.examples
    if at is not None and spec.predict_at is None:
        raise TreadleError("--at: the examples have no moment of prediction (data.examples.predict_at is null)")
    needs = list_needs(data, files)
    restricted = restrict(data, needs, files=files, root=root)
    extend = partial(_extend, data=restricted, at=at)
    loaded = load_tables(restricted, root=root, now=now, scratch=scratch, extend=extend)
    tables = {name: table.rows for name, table in loaded.items()}
    if data.forecast is not None and at is not None:
        at = find_origin(tables[spec.table], data.forecast, at=at)
    table = number_examples(tables[spec.table], restricted, origin=at)
    if spec.predict_at is not None:
        table = table.with_columns(time_prediction(spec.predict_at, table))
    rows, excluded = _choose(table, restricted, needs, at=at)
    unmatched = list(_find_unmatched(rows, table, tables, restricted))
    rows = look_back(rows, tables, restricted, label_joins=needs.label_joins, root=root, scratch=scratch)
    columns = name_columns(table, loaded[spec.table].lookups, restricted)
    return Unlabelled(columns, tables, rows.sort(ROW), excluded, needs.left_aside, unmatched)


def _extend(table: pl.LazyFrame, *, data: Data, at: datetime | None) -> pl.LazyFrame:
    """Of a forecast at a moment: with the rows that are to come."""
    if data.forecast is None or at is None:
        return table
    return add_next(table, data.forecast, origin=find_origin(table, data.forecast, at=at))


def list_needs(data: Data, files: Mapping[str, str]) -> Needs:
    """What predictions need, of tables that are given; errors as in `build_unlabelled`."""
    needs = find_needs(data)
    _require_tables(data, needs, files)
    return needs


def _choose(
    table: pl.LazyFrame, data: Data, needs: Needs, *, at: datetime | None
) -> tuple[pl.DataFrame, dict[str, int]]:
    """The rows that are predicted, with their moment and the keys of the past."""
    timed = [] if data.examples.predict_at is None else [PREDICT_AT]
    keys = dict.fromkeys(list_keys(data, needs.label_joins))
    numbers = [ROW] if data.forecast is None else [ROW, SOURCE]
    (frame,) = collect(
        table.select([*numbers, *timed, *(key for key in keys if key not in timed)]), key="data.examples"
    )
    rows, excluded = leave_out(frame, table, data)
    if timed and (missing := rows.filter(pl.col(PREDICT_AT).is_null())[ROW].to_list()):
        rule = f"data.examples.predict_at: missing in {number_of(len(missing), 'row')}, such as {missing[:3]}"
        raise TreadleError(f"{rule}; complete the columns that it is computed from")
    if at is None:
        return rows, excluded
    later = rows.filter(pl.col(PREDICT_AT) >= at).with_columns(pl.lit(at, dtype=pl.Datetime("us")).alias(PREDICT_AT))
    return later, {**excluded, "before --at": len(rows) - len(later)}


def _find_unmatched(
    rows: pl.DataFrame, table: pl.LazyFrame, tables: Mapping[str, pl.LazyFrame], data: Data
) -> Iterator[str]:
    """The joins in which no key of any row is found, although there are some: the other table is the wrong one."""
    for join in data.tables[data.examples.table].joins.values():
        here = pl.struct(list(join.by))
        present = pl.all_horizontal(pl.col(column).is_not_null() for column in join.by)
        asked = table.select(ROW, *join.by).join(rows.lazy().select(ROW), on=ROW, how="semi").filter(present)
        lost = asked.join(tables[join.table], left_on=list(join.by), right_on=list(join.by.values()), how="anti")
        counts = pl.collect_all([asked.select(pl.len()), lost.select(pl.len(), here.first().alias("first"))])
        num_asked, (num_lost, first) = counts[0].item(), counts[1].row(0)
        if num_asked and num_asked == num_lost:
            keys = ", ".join(f"{name} {value!r}" for name, value in first.items())
            yield (
                f"the table {join.table!r} has none of the {num_asked:,} keys that are looked up in it, such as "
                f"{keys}; so {', '.join(join.columns)} are missing in all rows"
            )


def _require_tables(data: Data, needs: Needs, files: Mapping[str, str]) -> None:
    """Every table that is needed, and none that is not declared.

    Raises:
        TreadleError: with what is missing, and the argument that gives it.
    """
    for name in files:
        if name not in data.tables:
            raise TreadleError(f"--tables {name}=…: the run has no such table. {nearest(name, data.tables)}")
    missing = [name for name in needs.columns if name not in files]
    if missing:
        listed = ", ".join(f"{name!r} ({_list(needs.features[name])})" for name in missing)
        fix = " ".join(f"{name}={data.tables[name].path}" for name in missing)
        tables = "tables that are" if len(missing) > 1 else "a table that is"
        raise TreadleError(f"--tables: {tables} needed: {listed}; the run was trained with {fix}")


def _list(features: Iterable[str]) -> str:
    shown = list(features)
    return f"for {', '.join(shown[:3])}{', …' if len(shown) > 3 else ''}"  # noqa: PLR2004 - as many as are shown
