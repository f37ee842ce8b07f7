"""What label functions said of the training rows: coverage, overlaps, conflicts, and how often they are right."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import polars as pl

from treadle.data.label_model import ABSTAIN, LabelModel, Votes
from treadle.experiment.spec import Labels
from treadle.schema import LABEL

ROWS, JOINED, MAJORITY, VOTED = "__rows", "__joined", "__majority", "__voted"  # columns of a pattern of votes


def list_vote_columns(labels: Labels | None) -> list[str]:
    """The columns of the votes, under names that no column of a table has."""
    return [] if labels is None else [f"__vote_{name}" for name in labels.rules]


def describe_labels(
    labels: Labels,
    *,
    votes: Votes,
    model: LabelModel | None,
    names: Sequence[str],
    train: pl.DataFrame,
    valid: pl.DataFrame,
) -> dict[str, Any]:
    """The report, for JSON. Where rows have a label of their own, it says how often rules and model are right.

    Args:
        labels: as declared.
        votes: of the training rows.
        model: of the votes; None where the majority decides.
        names: of the classes.
        train: training rows with their own label, which may be null, the votes, JOINED, MAJORITY and VOTED.
        valid: validation rows with label and votes.
    """
    is_own = pl.col(LABEL).is_not_null() & (labels.rows == "unlabelled")
    by_rules = train.filter(~is_own & pl.col(VOTED))
    rules = list(labels.rules)
    pairs = [] if model is None else model.pairs
    return {
        "rows": {"by own label": int(train.select(is_own.sum()).item()), "by rules": len(by_rules)},
        "model": "majority" if model is None else "triplets",
        "balance": None if model is None else dict(zip(names, model.balance.tolist(), strict=True)),
        "rules": _describe_rules(labels, votes, model, train, valid),
        "dependent": [[rules[pair.first], rules[pair.second], pair.correlation] for pair in pairs],
        "identical": []
        if model is None
        else [
            [rules[first], name]
            for name, first, place in zip(rules, model.first, range(len(rules)), strict=True)
            if first != place
        ],
        "known": _compare(train.filter(VOTED).drop_nulls(LABEL)),
    }


def _describe_rules(
    labels: Labels, votes: Votes, model: LabelModel | None, train: pl.DataFrame, valid: pl.DataFrame
) -> dict[str, Any]:
    """Of each rule: on which share of the rows it votes, with others, against others; and how often it is right."""
    columns = list_vote_columns(labels)
    known = pl.concat([frame.select(LABEL, *columns) for frame in (train, valid)]).drop_nulls(LABEL)
    estimated = [None] * len(columns) if model is None else model.list_accuracies().tolist()
    votes_here = votes.codes != ABSTAIN
    found = {}
    for place, (name, column) in enumerate(zip(labels.rules, columns, strict=True)):
        own = votes.codes[:, [place]]
        others = votes_here.copy()
        others[:, place] = False
        overlap = votes_here[:, place] & others.any(axis=1)
        conflict = votes_here[:, place] & (others & (votes.codes != own)).any(axis=1)
        judged = known.drop_nulls(column)
        found[name] = {
            "coverage": float(votes.shares @ votes_here[:, place]),
            "overlap": float(votes.shares @ overlap),
            "conflict": float(votes.shares @ conflict),
            "estimated_accuracy": estimated[place],
            "known_accuracy": judged.select((pl.col(column) == pl.col(LABEL)).mean()).item(),
            "known_rows": len(judged),
        }
    return found


def _compare(known: pl.DataFrame) -> dict[str, Any]:
    """How often the joined votes, and the majority, are right on training rows that have a label of their own."""
    right = {name: (pl.col(name) == pl.col(LABEL)).mean() for name in (JOINED, MAJORITY)}
    joined, majority = known.select(**right).row(0)
    return {"rows": len(known), "accuracy": joined, "majority_accuracy": majority}
