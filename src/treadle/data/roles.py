"""The roles of columns in examples (label, time of prediction, weight): which values they may have, by task."""

from __future__ import annotations

from collections.abc import Mapping

import polars as pl

from treadle.errors import TreadleError
from treadle.experiment.spec import Data
from treadle.schema import LABEL, PREDICT_AT, ROW, WEIGHT, Split
from treadle.wording import number_of

LARGEST = 3e38  # of a label's size: beyond it, nothing that a network computes is a number
WEIGHTS = (1e-30, 1e30)  # of a weight that is not 0: float32 multiplies and sums them without a loss
NUM_EXAMPLES = 3
_EXCLUDE = "exclude such rows in data.examples.exclude"
_AMOUNT = "set data.task to regression, of which loss=tweedie takes amounts that are no counts"


def check_roles(frame: pl.DataFrame, data: Data) -> None:
    """Check the roles of each example.

    Args:
        frame: ROW and the roles of all examples, the label of a multiclass task in its own type.
        data: what is declared.

    Raises:
        TreadleError: with role, rule, number of rows and the first ones that break it.
    """
    if isinstance(data.examples.label, dict):
        _check_labels(frame)
    needed = (LABEL, PREDICT_AT, WEIGHT) if data.labels is None else (PREDICT_AT, WEIGHT)
    for role in needed:
        if role in frame.columns:
            _require_present(frame, role)
    label, weight = pl.col(LABEL), pl.col(WEIGHT)
    if frame.schema[LABEL].is_float():
        _hold(frame, LABEL, label.abs() <= LARGEST, rule="must be a finite number", fix=f"; {_EXCLUDE}")
    if data.answer == "binary":
        _hold(frame, LABEL, label.is_in([0.0, 1.0]), rule="a binary label is true or false, 1 or 0", fix="")
    if data.answer == "count":
        rule = "a count is a whole number from 0 on"
        _hold(frame, LABEL, (label >= 0) & (label == label.floor()), rule=rule, fix=f"; {_EXCLUDE}, or {_AMOUNT}")
    if WEIGHT in frame.columns:
        _hold(frame, WEIGHT, weight.is_finite() & (weight >= 0), rule="must be a number from 0 on", fix="")
        within = (weight == 0) | weight.is_between(*WEIGHTS)
        _hold(frame, WEIGHT, within, rule="must be 0 or from {:g} to {:g}".format(*WEIGHTS), fix="; divide all by one")


def _check_labels(frame: pl.DataFrame) -> None:
    """Each of several labels is there, and 0 or 1."""
    for values in frame[LABEL].struct.unnest():
        role = f"{LABEL}.{values.name}"
        named = frame.select(ROW, values.alias(role))
        _require_present(named, role)
        _hold(named, role, pl.col(role).is_in([0.0, 1.0]), rule="each label is true or false, 1 or 0", fix="")


def _require_present(frame: pl.DataFrame, role: str) -> None:
    if missing := frame[role].null_count():
        rows_at = frame.filter(pl.col(role).is_null())[ROW].head(NUM_EXAMPLES).to_list()
        raise TreadleError(
            f"data.examples.{role}: missing in {number_of(missing, 'row')}, such as {rows_at}; {_EXCLUDE}"
        )


def _hold(frame: pl.DataFrame, role: str, holds: pl.Expr, *, rule: str, fix: str) -> None:
    wrong = frame.filter(~holds)
    if len(wrong):
        rows = ", ".join(f"row {row} ({value})" for row, value in wrong.select(ROW, role).head(NUM_EXAMPLES).rows())
        raise TreadleError(
            f"data.examples.{role}: {rule}; it is not in {number_of(len(wrong), 'row')}, such as {rows}{fix}"
        )


def check_splits(rows: Mapping[Split, pl.DataFrame], data: Data) -> None:
    """Check what the splits need for training and evaluation.

    Args:
        rows: roles of the examples of each split.
        data: what is declared.

    Raises:
        TreadleError: a split has no row, its weights are all 0, or it holds none of training's classes.
    """
    if empty := [split for split, frame in rows.items() if frame.is_empty()]:
        raise TreadleError(
            f"data.labels: no row of {', '.join(empty)} has a label of its own; it is evaluated by those"
        )
    trained: tuple[Split, ...] = ("train", "valid")  # the metrics of the test split count each row alike
    evaluated: tuple[Split, ...] = ("valid", "test")
    for split in trained:
        if WEIGHT in rows[split].columns and not (rows[split][WEIGHT] > 0).any():
            raise TreadleError(
                f"data.examples.weight: the weights of all {len(rows[split]):,} rows of {split} are 0; "
                "give some of them a weight, or split otherwise in data.split"
            )
    if data.answer != "multiclass":
        return
    classes = {split: frame[LABEL].unique().sort() for split, frame in rows.items()}
    for split in evaluated:
        if not classes[split].is_in(classes["train"].implode()).any():
            raise TreadleError(
                f"data.split: no row of {split} is of a class that training has; its classes are "
                f"{_list_classes(classes[split])}, those of train {_list_classes(classes['train'])}"
            )


def _list_classes(classes: pl.Series) -> str:
    shown = ", ".join(map(repr, classes.head(5)))
    return shown if len(classes) <= 5 else f"{shown} and {len(classes) - 5:,} more"  # noqa: PLR2004 - as above
