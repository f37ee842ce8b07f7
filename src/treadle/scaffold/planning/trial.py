"""A split tried on the rows, before a project is built on it: no split is empty, and each has more than one answer."""

from __future__ import annotations

from typing import Any

import polars as pl
from pydantic import TypeAdapter

from treadle.data.split import assign_splits
from treadle.errors import TreadleError
from treadle.experiment.spec import SplitRule
from treadle.scaffold.planning.target import Target
from treadle.scaffold.reading.profile import Profiles
from treadle.schema import LABEL, PREDICT_AT, SPLITS

SEEDS = 20  # that are tried for groups: the largest may come first in one order, and last in another
_FIXES = {
    "group": "Take a column of more and smaller groups",
    "time": "Bring rows of each answer from early and late, or leave out --time",
    "stratified": "More rows of each answer are needed",
    "random": "More rows of each answer are needed",
}
_FOLDED = {"random": "kfold", "stratified": "stratified_kfold", "group": "group_kfold"}
_RULE: TypeAdapter[SplitRule] = TypeAdapter(SplitRule)


def try_split(split: dict[str, Any], table: Profiles, target: Target, *, at: str | None) -> dict[str, Any]:
    """The same rule; of groups with the first seed that gives every split rows and answers.

    Args:
        split: the rule, as in the configuration.
        table: what the rows hold.
        target: what is to be predicted.
        at: the column with the moment of the prediction.

    Raises:
        TreadleError: no split of this kind can be trained and evaluated on.
    """
    rule, fault = _try_seeds(split, table, target, at)
    if fault:
        raise TreadleError(f"{_name_option(split, at)}: {fault}. {_FIXES[split['by']]}")
    return rule


def find_rule(split: dict[str, Any], table: Profiles, target: Target, *, at: str | None) -> dict[str, Any] | None:
    """The same, for a split that nobody asked for: None where it is not usable, folds where one of them is not."""
    rule, fault = _try_seeds(split, table, target, at)
    return None if fault else rule


def to_folds(split: dict[str, Any], folds: int) -> dict[str, Any] | None:
    """The same kind of split in folds; None where there is none. Of periods the last fold, before the test, validates.

    Args:
        split: the rule, as in the configuration.
        folds: their number.
    """
    if split["by"] == "time":
        last = {"folds": folds, "fold": folds - 1}
        return {"by": "time_series", **last, "test_from": split["test_from"], "gap": split["gap"]}
    if split["by"] not in _FOLDED:
        return None
    column = {"column": split["column"]} if "column" in split else {}
    drawn = {"test": split["test"], "seed": split["seed"]}
    return {"by": _FOLDED[split["by"]], **column, "folds": folds, "repeats": 1, "fold": 0, **drawn}


def _try_seeds(split: dict[str, Any], table: Profiles, target: Target, at: str | None) -> tuple[dict[str, Any], str]:
    """The rule with the first seed without a fault; else with the fault of the first."""
    faults = []
    for seed in range(SEEDS if split["by"] in {"group", "group_kfold"} else 1):
        rule = {**split, "seed": seed} if "seed" in split else split
        folds = [{**rule, "fold": fold} for fold in range(rule["folds"])] if "folds" in rule else [rule]
        fault = next(filter(None, (_find_fault(each, table, target, at) for each in folds)), "")
        if not fault:
            return rule, ""
        faults.append(fault)
    return split, faults[0]


def _find_fault(rule: dict[str, Any], table: Profiles, target: Target, at: str | None) -> str:
    rows = _take_rows(table, target, at)
    try:
        splits = assign_splits(rows, _RULE.validate_python(rule))
    except TreadleError as error:
        return str(error).removeprefix("data.split: ")
    is_whole = len(table.sample) == table.num_rows
    labels = dict(zip(target.columns, target.list_answers(rows), strict=True))
    for name in SPLITS if is_whole else ():  # a sample may lack what is rare
        for label, of_all in labels.items():
            answers = of_all.filter(splits == name)
            if answers.n_unique() == 1:
                told = f" of {label}" if len(labels) > 1 else ""
                return f"all {len(answers):,} rows of the split `{name}` have the answer {answers[0]}{told}"
    return ""


def _take_rows(table: Profiles, target: Target, at: str | None) -> pl.DataFrame:
    rows, label = target.take(table.sample)
    rows = rows.with_columns(label.alias(LABEL))
    return rows if at is None else rows.with_columns(pl.col(at).cast(pl.Datetime("us")).alias(PREDICT_AT))


def _name_option(split: dict[str, Any], at: str | None) -> str:
    """The option that asked for the split."""
    if split["by"] == "group":
        return f"--group: {split['column']!r}, whose groups are too few or too large"
    return f"--time: {at!r}" if split["by"] == "time" else "--target"
