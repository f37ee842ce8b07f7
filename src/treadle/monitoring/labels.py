"""Labels that come later: kept beside the log, joined by the id of a prediction or by a key, judged once they are many.

The labels that come first are a biased sample (short flights land first): a day counts only when nearly all of its
labels are there. Rows of which it is known that no label will ever come (a cancelled flight) are not waited for.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from polars.exceptions import PolarsError

from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.experiment.spec import Table
from treadle.hints import nearest
from treadle.metrics.registry import Threshold
from treadle.monitoring.keys import read_moments, write_key, write_loose_key
from treadle.monitoring.log import IDS, Log, find_labels, scan
from treadle.profiles.profile import BLOCK
from treadle.profiles.realised import relate_to_prior
from treadle.profiles.reference import Reference
from treadle.schema import KNOWN_AT, LABEL, Task
from treadle.tasks import TRAITS

_BINS = 15  # of the calibration error
_DAY = "__day__"
NO_OUTCOME = "__no_outcome__"  # of a row: whether its label will never come
Empty = Literal["awaited", "never"]  # what a row without a label says: none has come yet, or none ever will
_MOMENT = pl.Datetime("us")


@dataclass(frozen=True)
class Stored:
    """Labels that were added to a log."""

    file: Path
    num_rows: int
    num_empty: int  # rows without a label
    num_strays: int  # rows that are kept, and are for no row of the log


def store_labels(file: Path, *, log: Path, by: Sequence[str], label: str, empty: Empty, now: datetime) -> Stored:
    """Add the labels of a file to a log. Of two labels for one prediction the one that was known last counts.

    Args:
        file: Parquet, CSV or TSV, with the columns `by` and the label, and perhaps `known_at`.
        log: folder or file whose rows they are for.
        by: columns that say which row a label is for: the id, or a key, as the files of the log name them.
        label: the column of the labels; of several labels their columns, called like them, separated by commas.
        empty: what a row without a label says; one that is awaited is left out.
        now: when they became known, where the file does not say it. In UTC, without a zone.

    Raises:
        TreadleError: a column is missing, a key is missing in a row, a `known_at` is no moment, earlier labels have
            other columns, or the log cannot be read.
    """
    from treadle.bundle import read_rows

    rows = read_rows(file, table=Table.model_validate({"path": str(file), "columns": {"x": {"dtype": "str"}}}))
    labels = [label] if label in rows.columns else [name.strip() for name in label.split(",")]
    for name in (*by, *labels):
        if name not in rows.columns:
            raise TreadleError(f"{file} has no column {name!r}. {nearest(name, rows.columns)}")
    logged = _read_logged(log, by)
    known = _read_known(rows, file).fill_null(now) if KNOWN_AT in rows.columns else pl.lit(now, _MOMENT)
    keys = (pl.col(name).cast(pl.String) for name in by)
    wanted = rows.select(*keys, _write_labels(labels).alias(LABEL), known.alias(KNOWN_AT))
    keyless = wanted.filter(pl.any_horizontal(pl.col(name).is_null() for name in by))
    if len(keyless):
        raise TreadleError(
            f"{file}: {len(keyless):,} rows have no {' or '.join(by)}: nothing says which row they are for"
        )
    num_labels = len(wanted) - wanted[LABEL].null_count()
    folder = find_labels(log)
    _require_same_key(folder, by)
    folder.mkdir(parents=True, exist_ok=True)
    into = folder / f"{now:%Y%m%dT%H%M%S%f}.parquet"
    kept = wanted if empty == "never" else wanted.drop_nulls(LABEL)
    num_strays = len(kept.select(**_write_keys(by)).join(logged, on=logged.columns, how="anti"))
    with replacing(into) as partial:
        kept.write_parquet(partial)
    return Stored(into, num_labels, wanted[LABEL].null_count(), num_strays)


def _write_labels(labels: Sequence[str]) -> pl.Expr:
    """The label as text; of several `late=1,lost=0`, null where one is missing."""
    texts = [pl.col(name).cast(pl.String) for name in labels]
    if len(labels) == 1:
        return texts[0]
    named = [pl.concat_str(pl.lit(f"{name}="), text) for name, text in zip(labels, texts, strict=True)]
    return pl.concat_str(named, separator=",")


def _read_logged(log: Path, by: Sequence[str]) -> pl.DataFrame:
    """The keys of the rows of a log, each once.

    Raises:
        TreadleError: the log cannot be read, or lacks a column.
    """
    try:
        rows = scan(log)
        absent = [name for name in by if name not in rows.collect_schema()]
        if absent:
            raise TreadleError(f"{log} has no column {absent[0]!r} to join labels by; name others with --by")
        return rows.select(**_write_keys(by)).unique().collect()
    except PolarsError as error:
        raise TreadleError(f"cannot read {log}: {str(error).splitlines()[0]}") from error


def _write_keys(by: Sequence[str]) -> dict[str, pl.Expr]:
    """Only the model says which texts of a log are numbers: what it may take for the same key is no stray."""
    return {f"__key_{place}__": write_loose_key(name) for place, name in enumerate(by)}


def _require_same_key(folder: Path, by: Sequence[str]) -> None:
    files = sorted(folder.glob("*.parquet"))
    if files and (found := _list_keys(files)) != list(by):
        raise TreadleError(f"{folder} holds labels by {', '.join(found)}; give these by the same columns (--by)")


def _read_known(rows: pl.DataFrame, file: Path) -> pl.Series:
    """Moments in UTC, without a zone."""
    text = pl.col(KNOWN_AT).cast(pl.String)
    found = rows.select(text.alias("text"), read_moments(text))
    lost = found.filter(pl.col("text").is_not_null() & pl.col(KNOWN_AT).is_null())["text"]
    if len(lost):
        raise TreadleError(
            f"{file}: {len(lost):,} values of {KNOWN_AT!r} are no moments, such as {lost[0]!r}; write ISO 8601, "
            "such as 2013-09-01T08:00:00Z"
        )
    return found[KNOWN_AT]


def join_labels(log: Log, *, now: datetime) -> pl.LazyFrame | None:
    """The rows of a log with `label`, null where there is none yet or never, and `NO_OUTCOME`; None without labels.

    Args:
        log: that labels are for.
        now: labels that became known later are not there yet; in UTC, without a zone.
    """
    files = sorted(find_labels(log.path).glob("*.parquet"))
    if not files:
        return log.rows.with_columns(pl.lit(value=False).alias(NO_OUTCOME)) if log.has_labels else None
    newest, keys = _read_newest(files, log, now=now)
    rows = log.own.drop(LABEL, strict=False).with_columns(**keys).with_columns(log.reading.types)
    declared = newest.with_columns(pl.col(LABEL).is_null().alias(NO_OUTCOME))
    joined = rows.join(declared, on=list(keys), how="left", maintain_order="left").drop(list(keys))
    return joined.with_columns(pl.col(NO_OUTCOME).fill_null(value=False))


def describe_strays(log: Log, *, reference: Reference, now: datetime) -> str | None:
    """How many labels are for no row of a log, of whatever bundle; None where all are for one.

    An example is told where the model knows its key, or it is the id of a prediction: other columns may be private.

    Args:
        log: that labels are for.
        reference: of the model.
        now: as `join_labels`.
    """
    files = sorted(find_labels(log.path).glob("*.parquet"))
    if not files:
        return None
    newest, keys = _read_newest(files, log, now=now)
    strays = newest.join(log.everything.select(**keys), on=list(keys), how="anti").sort(list(keys)).collect()
    if strays.is_empty():
        return None
    total = newest.select(pl.len()).collect().item()
    by = _list_keys(files)
    told = f"{len(strays):,} of {total:,} labels match no row of the log"
    if not {log.find_name(name) for name in by} <= {*reference.names, *IDS} - reference.private:
        return told
    such = ", ".join(f"{name} {strays[key][0]}" for name, key in zip(by, keys, strict=True))
    return f"{told}, such as that of {such}"


def _read_newest(files: Sequence[Path], log: Log, *, now: datetime) -> tuple[pl.LazyFrame, dict[str, pl.Expr]]:
    """The newest label of each key that is known, and the columns of the key as the log's rows are read."""
    recorded, typed = log.own.collect_schema(), log.rows.collect_schema()
    ours: dict[str, pl.Expr] = {}
    theirs: dict[str, pl.Expr] = {}
    for place, given in enumerate(_list_keys(files)):
        name = log.find_name(given)
        is_number = recorded[name].is_numeric() or typed[name].is_numeric()
        ours[f"__key_{place}__"] = write_key(name, is_number=is_number)
        theirs[f"__key_{place}__"] = write_key(given, is_number=is_number)
    labels = pl.concat(map(_scan_labels, files)).select(LABEL, KNOWN_AT, **theirs)
    known = labels.filter(pl.col(KNOWN_AT) <= now)
    newest = known.sort(KNOWN_AT, maintain_order=True).unique(list(theirs), keep="last", maintain_order=True)
    return newest.drop(KNOWN_AT), ours


def _list_keys(files: Sequence[Path]) -> list[str]:
    return [name for name in pl.read_parquet_schema(files[-1]) if name not in (LABEL, KNOWN_AT)]


def _scan_labels(file: Path) -> pl.LazyFrame:
    labels = pl.scan_parquet(file)
    if labels.collect_schema()[KNOWN_AT] == pl.String:  # of before
        labels = labels.with_columns(read_moments(pl.col(KNOWN_AT)))
    return labels


@dataclass(frozen=True)
class Realised:
    """The performance of a block by its labels."""

    metrics: dict[str, float]  # of the rows of the days that count; empty where none does
    share: float  # of the rows of the block, but those without an outcome, that have a label
    maturing: int  # days that have labels, and not enough of them to count
    rows: int  # of the days that count
    prior_share: float | None  # of the loss: see `profiles.realised`; None where it says nothing


def realise(
    rows: pl.DataFrame, *, task: Task, outputs: Sequence[str], threshold: Threshold, min_share: float
) -> dict[str, Realised]:
    """The realised performance of each block.

    Args:
        rows: that have an outcome, or may have one, with the columns `BLOCK`, the outputs, `label`, and `__day__`, the
            day of each row.
        task: of the model.
        outputs: names of the columns of the predictions.
        threshold: of a binary decision, or of that about each label.
        min_share: of the rows of a day that need labels for it to count.
    """
    labelled = pl.col(LABEL).is_not_null()
    marked = rows.with_columns(labelled.mean().over(_DAY).alias("__share__"))
    found = {}
    for (block,), part in marked.partition_by(BLOCK, as_dict=True).items():
        days = part.select(_DAY, "__share__").unique()
        counted = part.filter((pl.col("__share__") >= min_share) & labelled)
        metrics, share = _judge(counted, task=task, outputs=outputs, threshold=threshold)
        maturing = len(days.filter((pl.col("__share__") > 0) & (pl.col("__share__") < min_share)))
        labels = float(part.select(labelled.mean()).item())
        found[str(block)] = Realised(metrics, labels, maturing, len(counted), share)
    return found


def name_day(time: str | None) -> pl.Expr:
    """The day of each row; without a time, the block takes the place of the day."""
    return (pl.col(BLOCK) if time is None else pl.col(time).dt.strftime("%Y-%m-%d")).alias(_DAY)


def _judge(
    rows: pl.DataFrame, *, task: Task, outputs: Sequence[str], threshold: Threshold
) -> tuple[dict[str, float], float | None]:
    """The metrics, and the loss as a share of that of the prior; nothing of no rows."""
    if rows.is_empty():
        return {}, None
    import torch  # not before: it takes seconds, and there may be no labels

    from treadle.metrics.compute import compute_metrics

    prediction = torch.from_numpy(take_outputs(rows, outputs, task=task))
    labels = read_target(rows[LABEL], task=task, outputs=outputs)
    metrics = compute_metrics(
        task=task, prediction=prediction, target=torch.from_numpy(labels), threshold=threshold, num_bins=_BINS
    )
    share = relate_to_prior(metrics[TRAITS[task].loss_metric], labels, task=task)
    return metrics, share if math.isfinite(share) else None


def take_outputs(rows: pl.DataFrame, outputs: Sequence[str], *, task: Task) -> NDArray[Any]:
    """Predictions as they were logged: `[B]`, or `[B, K]` of K classes or labels."""
    found: NDArray[Any] = rows.select(outputs).to_numpy(writable=True)
    return found if TRAITS[task].has_classes else found[:, 0]


def read_target(labels: pl.Series, *, task: Task, outputs: Sequence[str]) -> NDArray[Any]:
    """Labels as numbers `[B]`: 0 or 1, a value, or the place of the class among the outputs, -1 where it is none.

    Of several labels `[B, L]`: 0 or 1.

    Raises:
        TreadleError: a label of a regression is no number, one of a binary task neither 0 nor 1, or one of several is
            missing.
    """
    classes = TRAITS[task].read_names(outputs)
    if task == "multilabel":
        return np.stack([_read_one(labels, name) for name in classes], axis=1)
    if task != "multiclass":
        return _read_numbers(labels, task=task).to_numpy(writable=True)
    places = {name: place for place, name in enumerate(classes)}
    found = labels.cast(pl.String).replace_strict(places, default=-1, return_dtype=pl.Int64)
    return found.to_numpy(writable=True)


def _read_one(labels: pl.Series, name: str) -> NDArray[Any]:
    """One of several labels, as `store_labels` has written them, or as examples hold them."""
    if isinstance(labels.dtype, pl.Struct):
        return _read_numbers(labels.struct.field(name), task="binary").to_numpy(writable=True)
    texts = labels.cast(pl.String)
    own = texts.str.extract(f"(?:^|,){re.escape(name)}=([^,]*)")
    absent = texts.filter(own.is_null())
    if len(absent):
        fix = "name the columns of all labels: `treadle feedback FILE --label late,lost`"
        raise TreadleError(f"{len(absent):,} labels do not hold {name!r}, such as {absent[0]!r}; {fix}")
    return _read_numbers(own, task="binary").to_numpy(writable=True)


def _read_numbers(labels: pl.Series, *, task: Task) -> pl.Series:
    """Labels of a binary task or a regression: numbers, or true and false."""
    texts = labels.cast(pl.String).str.to_lowercase()
    numbers = texts.replace({"true": "1", "false": "0"}).cast(pl.Float64, strict=False)
    is_right = numbers.is_in([0.0, 1.0]) if task == "binary" else numbers.is_finite()
    lost = labels.filter(~is_right.fill_null(value=False))
    if len(lost):
        wanted = "neither 0 nor 1 (nor true or false)" if task == "binary" else "no finite numbers"
        fix = "correct them in a later file, whose `known_at` counts"
        raise TreadleError(f"labels are {wanted}: {len(lost):,}, such as {lost[0]!r}; {fix}")
    return numbers
