"""Notes on what the table leaves open: weights of rows, counts, and heavy tails."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import polars as pl

from treadle.errors import TreadleError
from treadle.scaffold.planning.roles import ColumnUse
from treadle.scaffold.planning.target import Target, quote
from treadle.scaffold.reading.profile import Profile, Profiles
from treadle.wording import number_of

TAIL = 0.01  # share of the rows, the farthest from the median
HEAVY = 0.4  # of all squared distances from the median, that these rows hold from where a tail is heavy
# Not the weight of a body or a car: these words alone, or one of them and what the rows are.
_WEIGHT = re.compile(
    r"(?i)((sample|sampling|instance|case|row|survey|design|person|observation|obs|final|freq|frequency)[\W_]*)?"
    r"(weights?|wgt|wt)_?|fnlwgt|perwt|pweight"
)


def require_weight(profile: Profile, sample: pl.Series) -> None:
    """Every row has a weight, a number of at least 0.

    Raises:
        TreadleError: it is none.
    """
    name = profile.name
    if profile.column.dtype not in {"int", "float"}:
        raise TreadleError(f"--weight: {name!r} is of type {profile.column.dtype}; a number is needed")
    if profile.num_missing:
        raise TreadleError(
            f"--weight: {name!r} is missing in {number_of(profile.num_missing, 'row')}; each row needs one"
        )
    if profile.low < 0 or profile.high <= 0 or not sample.cast(pl.Float64).is_finite().all():
        raise TreadleError(f"--weight: {name!r} reaches from {profile.low} to {profile.high}; a weight is at least 0")


def list_notes(table: Profiles, target: Target, choices: Iterable[ColumnUse]) -> list[str]:
    """A sentence on each thing that the table alone cannot decide."""
    notes = [_suggest_weight(choice.profile) for choice in choices if _may_weigh(choice)]
    if target.task == "regression":
        _, label = target.take(table.sample)
        notes += _describe_label(label, target)
    return notes


def _may_weigh(choice: ColumnUse) -> bool:
    """A feature that is called a weight, and could be one."""
    profile = choice.profile
    is_number = profile.column.dtype in {"int", "float"} and profile.low is not None and profile.low >= 0
    return choice.role != "out" and is_number and not profile.num_missing and bool(_WEIGHT.fullmatch(profile.name))


def _suggest_weight(profile: Profile) -> str:
    name = profile.column.source or profile.name
    return f"{name!r} is used as a feature; if it is the weight of each row, start over with --weight {name!r}"


def _describe_label(label: pl.Series, target: Target) -> Iterator[str]:
    values = label.cast(pl.Float64).drop_nulls()
    low, whole = values.min(), bool((values == values.round()).all())
    if whole and low in {0.0, 1.0}:
        yield "the target may be a count: start over with --task count, which predicts its mean and nothing below 0"
    share = measure_tail(values)
    if share >= HEAVY:
        name = quote(target.name)
        logarithm = f"`label: LN({name})`" if isinstance(low, float) and low > 0 else f"`label: LN({name} + 1)`"
        scale = f", or its logarithm as the label, {logarithm}" if isinstance(low, float) and low > -1 else ""
        yield (
            f"the target has a heavy tail: {TAIL:.0%} of the rows hold {share:.0%} of its spread; look at "
            f"`treadle run loss=huber`, which is less sensitive to outliers{scale}"
        )


def measure_tail(values: pl.Series) -> float:
    """The share of all squared distances from the median that the farthest rows hold."""
    numbers = values.to_numpy()
    distances = np.sort(np.square(numbers - np.median(numbers)))
    total = distances.sum()
    return float(distances[-max(1, round(TAIL * len(distances))) :].sum() / total) if total else 0.0
