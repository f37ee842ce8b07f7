"""Label functions: training rows are labelled by the votes of rules, with the probability of each class.

A row keeps one label, its likeliest class, and beside it the share of each class, by which the features are written
with one row for each class: so that any model that takes weights minimises the loss that the votes lead to expect.
Source: Ratner and others, "Data programming: creating large training sets, quickly", 2016. Where no rule votes, a row
has no label, and is left out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from treadle.data.label_model import ABSTAIN, Floats, Ints, LabelModel, Votes, count_majority, estimate
from treadle.data.label_report import JOINED, MAJORITY, ROWS, VOTED, describe_labels, list_vote_columns
from treadle.data.lazy_frames import parse
from treadle.errors import TreadleError
from treadle.experiment.spec import Data, Labels
from treadle.schema import BINARY_CLASSES, LABEL, ROW, SHARES, Split

_NUM_EXAMPLES = 3
_SHARES = "__shares"  # column of what the votes of a row lead to expect
LEAST_SHARE = 0.01  # of a class: below it a row is not written for it


@dataclass(frozen=True)
class Labelled:
    """The examples of each split, each with a label."""

    rows: dict[Split, pl.DataFrame]  # without the votes
    left_out: dict[str, int]  # rows, by reason
    report: dict[str, Any] | None  # what the rules said, for JSON; None: there are none


def read_votes(labels: Labels, rows: pl.LazyFrame, *, dtype: pl.DataType) -> list[pl.Expr]:
    """What each rule says of a row, in the type of the label; errors as in `parse`."""
    return [
        parse(text, rows, key=f"data.labels.rules.{name}").cast(dtype).alias(column)
        for column, (name, text) in zip(list_vote_columns(labels), labels.rules.items(), strict=True)
    ]


def label_rows(parts: Mapping[Split, pl.DataFrame], data: Data) -> Labelled:
    """Label the training rows by votes; rows of the other splits whose own label is missing are left out.

    Args:
        parts: ROW, roles and votes of the examples of each split; with label functions a label may be null.
        data: what is declared.

    Raises:
        TreadleError: a rule votes for something that is no class, or no training row has a label in the end.
    """
    labels = data.labels
    if labels is None:
        return Labelled(dict(parts), {}, None)
    columns, train = list_vote_columns(labels), parts["train"]
    others: dict[Split, pl.DataFrame] = {
        split: frame.drop_nulls(LABEL) for split, frame in parts.items() if split != "train"
    }
    values = _list_classes([train, others["valid"]], data)  # what only the test split holds nothing may know
    classes = dict(zip(BINARY_CLASSES if data.answer == "binary" else values, values, strict=True))
    patterns = train.group_by(columns).agg(pl.len().alias(ROWS)).sort(columns)
    votes = Votes(
        _encode(patterns, labels, values, rows=train), patterns[ROWS].to_numpy().astype(np.float64), len(classes)
    )
    model = _fit(votes, labels, others["valid"][LABEL], classes)
    joined = _join_votes(patterns.select(columns), votes, model, classes, dtype=train.schema[LABEL])
    voted = train.join(joined, on=columns, how="left", nulls_equal=True, maintain_order="left")
    labelled = _replace_labels(voted, labels, classes)
    if labelled.is_empty():
        raise TreadleError(f"data.labels.rules: no rule votes for any of {len(train):,} training rows; widen them")
    left_out = {
        "no label, outside of training": sum(len(parts[split]) - len(frame) for split, frame in others.items()),
        "no label, and no rule votes": len(train) - len(labelled),
    }
    report = describe_labels(labels, votes=votes, model=model, names=list(classes), train=voted, valid=others["valid"])
    rows: dict[Split, pl.DataFrame] = {split: labelled if split == "train" else others[split] for split in parts}
    made = [*columns, JOINED, MAJORITY, VOTED, _SHARES]
    return Labelled({split: frame.drop(made, strict=False) for split, frame in rows.items()}, left_out, report)


def _fit(votes: Votes, labels: Labels, valid: pl.Series, classes: Mapping[str, Any]) -> LabelModel | None:
    """The label model; None where the majority decides."""
    return estimate(votes, balance=_find_balance(labels, valid, classes)) if labels.model == "triplets" else None


def _join_votes(
    patterns: pl.DataFrame, votes: Votes, model: LabelModel | None, classes: Mapping[str, Any], *, dtype: pl.DataType
) -> pl.DataFrame:
    """What the votes of each pattern say together; `dtype` is that of the label."""
    majority = count_majority(votes)
    chances = majority if model is None else model.predict(votes)
    values = pl.Series(classes.values(), dtype=dtype)
    return patterns.with_columns(
        values[chances.argmax(axis=1)].alias(JOINED),
        values[majority.argmax(axis=1)].alias(MAJORITY),
        _spread(chances, list(classes)).alias(_SHARES),
        pl.Series(VOTED, (votes.codes != ABSTAIN).any(axis=1)),
    )


def _spread(chances: Floats, names: Sequence[str]) -> pl.Series:
    """`[P]` the share of each class, as a field of its name; a negligible one is 0."""
    least = np.minimum(LEAST_SHARE, chances.max(axis=1, keepdims=True))
    shares = np.where(chances < least, 0, chances)
    shares /= shares.sum(axis=1, keepdims=True)
    return pl.DataFrame(shares.astype(np.float32), schema=list(names)).to_struct()


def _replace_labels(voted: pl.DataFrame, labels: Labels, classes: Mapping[str, Any]) -> pl.DataFrame:
    """The training rows that have a label: their own, or by votes; `classes` are those of the label, by name."""
    is_own = pl.col(LABEL).is_not_null() if labels.rows == "unlabelled" else pl.lit(value=False)
    certain = pl.struct((pl.col(LABEL) == value).cast(pl.Float32).alias(name) for name, value in classes.items())
    return voted.filter(is_own | pl.col(VOTED)).with_columns(
        pl.when(is_own).then(LABEL).otherwise(JOINED).alias(LABEL),
        pl.when(is_own).then(certain).otherwise(pl.col(_SHARES)).alias(SHARES),
    )


# --- reading ------------------------------------------------------------------------------------------


def _list_classes(frames: Sequence[pl.DataFrame], data: Data) -> list[Any]:
    """The classes of rows that have a label, in order; those of a binary task are 0 and 1.

    Raises:
        TreadleError: there are fewer than two.
    """
    if data.answer == "binary":
        return [0.0, 1.0]
    found: list[Any] = pl.concat([frame[LABEL] for frame in frames]).drop_nulls().unique().sort().to_list()
    if len(found) < 2:  # noqa: PLR2004 - nothing to tell apart
        raise TreadleError(
            f"data.examples.label: rows with a label are of one class, {found}; rules need two to vote for"
        )
    return found


def _encode(votes: pl.DataFrame, labels: Labels, classes: Sequence[Any], *, rows: pl.DataFrame) -> Ints:
    """`[P, J]` codes of the votes.

    Args:
        votes: a column for each rule.
        labels: as declared.
        classes: in the order of their codes.
        rows: with ROW and the votes, to name some.

    Raises:
        TreadleError: a vote is no class.
    """
    codes = []
    for column, name in zip(list_vote_columns(labels), labels.rules, strict=True):
        wrong = rows.filter(pl.col(column).is_not_null() & ~pl.col(column).is_in(classes)).select(ROW, column)
        if len(wrong):
            shown = ", ".join(f"row {row} ({value!r})" for row, value in wrong.head(_NUM_EXAMPLES).rows())
            listed = "true or false, 1 or 0" if classes == [0.0, 1.0] else ", ".join(map(repr, classes))
            raise TreadleError(
                f"data.labels.rules.{name}: votes for what is no class in {len(wrong):,} rows, such as {shown}; "
                f"a vote is {listed}, or NULL to abstain"
            )
        places = pl.Series(range(len(classes)), dtype=pl.Int64)
        values = pl.Series(classes, dtype=votes.schema[column])
        codes.append(votes[column].replace_strict(values, places, default=ABSTAIN, return_dtype=pl.Int64).to_numpy())
    return np.stack(codes, axis=1)


def _find_balance(labels: Labels, valid: pl.Series, classes: Mapping[str, Any]) -> Floats | None:
    """`[K]` share of each class as declared, or in the validation set; None where the votes are to say it."""
    if labels.balance == "votes":
        return None
    if labels.balance == "validation":
        counts = np.array([float((valid == value).sum()) for value in classes.values()])
        if not counts.all():
            missing = list(classes)[int(counts.argmin())]
            raise TreadleError(
                f"data.labels.balance: no validation row is of the class {missing!r}; write the share of each class"
            )
        return _normalise(counts)
    if unknown := sorted(labels.balance.keys() ^ classes.keys()):
        raise TreadleError(f"data.labels.balance: the classes are {', '.join(classes)}; found or missing: {unknown}")
    return _normalise(np.array([labels.balance[name] for name in classes]))


def _normalise(counts: Floats) -> Floats:
    shares: Floats = counts / counts.sum()
    return shares
