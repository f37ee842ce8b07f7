"""Behaviour: whether predictions do what is declared of them when rows of the test split change.

Rows are changed as they are known before any feature, and go through the bundle. (Ribeiro and others, "Beyond accuracy:
behavioral testing of NLP models with CheckList", 2020.)
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from treadle.bundle import Predictor
from treadle.data.lazy_frames import collect, parse
from treadle.errors import TreadleError
from treadle.evaluation.comparison import SEED, make_resampling
from treadle.evaluation.evaluated import Evaluated
from treadle.evaluation.intervals import Measured, measure
from treadle.evaluation.parity import read_predictions
from treadle.evaluation.resampling import Blocks, Draws, Floats
from treadle.evaluation.scores import compute_losses
from treadle.experiment.spec.behaviour import Change, Direction, Functionality, Invariance, KnownRow
from treadle.hints import nearest
from treadle.schema import ROW

NUM_VIOLATIONS = 10  # that are listed, the worst first


@dataclass(frozen=True)
class Violation:
    """A row that does not do what is declared."""

    row: str  # its id, or its name
    before: float | None  # predicted of the row as it is; None of a named row
    after: float

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"row": self.row, "before": self.before, "after": self.after}


@dataclass(frozen=True)
class Behaved:
    """What was found of one declared behaviour."""

    kind: str
    holds: bool
    sentence: str
    rows: int
    numbers: Mapping[str, Measured]
    violations: Sequence[Violation]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {
            "kind": self.kind,
            "holds": self.holds,
            "sentence": self.sentence,
            "rows": self.rows,
            **{name: found.to_plain() for name, found in self.numbers.items()},
            "violations": [violation.to_plain() for violation in self.violations],
        }


@dataclass(frozen=True)
class BehaviourFindings:
    """What was found of all of them, by name."""

    found: Mapping[str, Behaved]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {name: one.to_plain() for name, one in self.found.items()}

    def to_numbers(self) -> dict[str, float]:
        """How many hold; of each its share of obedient rows, or how much the loss grows."""
        first = {name: next(iter(one.numbers.values()), None) for name, one in self.found.items()}
        return {
            "held": float(sum(one.holds for one in self.found.values())),
            **{name: found.value for name, found in first.items() if found is not None},
        }


def find_behaviour(evaluated: Evaluated) -> BehaviourFindings | None:
    """Try each declared behaviour; None where there is none.

    Raises:
        TreadleError: a column or a class does not exist, or a value does not fit its column.
    """
    declared = evaluated.experiment.evaluation.behaviour
    if not declared:
        return None
    return BehaviourFindings({name: _try(name, one, evaluated) for name, one in declared.items()})


def _try(name: str, declared: Change | Functionality, evaluated: Evaluated) -> Behaved:
    key = f"evaluation.behaviour.{name}"
    if isinstance(declared, Functionality):
        return _try_rows(declared, evaluated, key=key)
    step = max(1, -(-len(evaluated.target) // declared.sample))
    rows = evaluated.test.gather_every(step).collect()
    places = np.arange(len(rows)) * step
    changed = change_rows(rows, declared, columns=evaluated.bundle.card.columns, key=key)
    before, after = (_predict(evaluated.bundle, frame) for frame in (rows, changed))
    trial = _Trial(evaluated, rows, places, before, after)
    if isinstance(declared, Invariance):
        return trial.judge_invariance(declared)
    if isinstance(declared, Direction):
        return trial.judge_direction(declared, key=key)
    return trial.judge_perturbation(declared.max_growth)  # type: ignore[attr-defined]


def change_rows(rows: pl.DataFrame, declared: Change, *, columns: Mapping[str, str], key: str) -> pl.DataFrame:
    """The rows with what `change`, `shuffle` and `noise` say, each column still of its type.

    Expressions see the rows as they are. The same rows are changed in the same way each time.
    """
    for name in (*declared.change, *declared.shuffle, *declared.noise):
        if name not in columns:
            raise TreadleError(f"{key}: no column {name!r} that the bundle reads. {nearest(name, columns)}")
    generator = np.random.default_rng(SEED)
    lazy = rows.lazy()
    made = [
        _fit_type(parse(text, lazy, key=f"{key}.change.{name}"), rows.schema[name]).alias(name)
        for name, text in declared.change.items()
    ]
    (changed,) = collect(lazy.with_columns(made), key=f"{key}.change")
    for name in declared.shuffle:
        changed = changed.with_columns(changed[name][generator.permutation(len(rows))].alias(name))
    for name, share in declared.noise.items():
        if not changed.schema[name].is_numeric():
            raise TreadleError(f"{key}.noise.{name}: noise is for numbers; the column is {columns[name]}")
        spread = share * float(changed[name].std() or 0.0)  # type: ignore[arg-type]
        noise = pl.Series(spread * generator.standard_normal(len(rows)))
        changed = changed.with_columns(_fit_type(pl.col(name) + noise, rows.schema[name]).alias(name))
    return changed


def _fit_type(value: pl.Expr, dtype: pl.DataType) -> pl.Expr:
    """Integers are rounded: a column stays what the contract says."""
    return value.cast(pl.Float64).round().cast(dtype) if dtype.is_integer() else value.cast(dtype)


def _predict(bundle: Predictor, rows: pl.DataFrame) -> Floats:
    """`[B]`, or `[B, K]`; values may break the contract, as in the wild."""
    found: Floats = read_predictions(bundle.predict(rows, on_breach="allow"), bundle).double().numpy()
    return found


def _take_outcome(prediction: Floats, outcome: str | None, *, bundle: Predictor, key: str) -> Floats:
    """`[B]` of the outcome that is meant."""
    classes = bundle.classes
    if not classes and outcome is None:
        return prediction
    if outcome not in classes:
        known = ", ".join(classes) or "none: leave it out"
        raise TreadleError(f"{key}.outcome: must be a class of the target, found {outcome!r}; classes: {known}")
    column: Floats = prediction[:, classes.index(outcome)]
    return column


@dataclass(frozen=True)
class _Trial:
    """Rows before and after a change."""

    evaluated: Evaluated
    rows: pl.DataFrame
    places: Any  # `[B]` of the rows in the test split
    before: Floats
    after: Floats

    def judge_invariance(self, declared: Invariance) -> Behaved:
        """No prediction moves by more than the tolerance; of several classes that of the most moved one."""
        moved = np.abs(self.after - self.before)
        moved = moved if moved.ndim == 1 else moved.max(axis=1)
        obeys = moved <= declared.tolerance
        share, mean, largest = self._average(obeys), self._average(moved), float(moved.max(initial=0.0))
        sentence = (
            f"{share.value:.1%} of {len(moved):,} rows move by at most {declared.tolerance:g} (mean {mean.value:.3g}, "
            f"largest {largest:.3g}); {declared.min_share:.1%} must."
        )
        numbers = {"share": share, "moved": mean}
        holds = share.value >= declared.min_share
        return Behaved("invariance", holds, sentence, len(moved), numbers, self._list(moved, obeys))

    def judge_direction(self, declared: Direction, *, key: str) -> Behaved:
        """The prediction does not go the wrong way, on average and row by row."""
        bundle = self.evaluated.bundle
        before, after = (_take_outcome(v, declared.outcome, bundle=bundle, key=key) for v in (self.before, self.after))
        sign = 1 if declared.expect == "not_lower" else -1
        gains = sign * (after - before)
        obeys = gains >= -declared.tolerance
        share, mean = self._average(obeys), self._average(after - before)
        sentence = (
            f"{share.value:.1%} of {len(gains):,} rows are {declared.expect.replace('_', ' ')} "
            f"({declared.min_share:.1%} must be); on average the prediction moves by {mean.value:+.3g}."
        )
        holds = share.value >= declared.min_share and sign * mean.value >= 0
        listed = self._list(-gains, obeys, before=before, after=after)
        return Behaved("direction", holds, sentence, len(gains), {"share": share, "moved": mean}, listed)

    def judge_perturbation(self, max_growth: float) -> Behaved:
        """The loss does not grow by more than it may."""
        task, target = self.evaluated.task, self.evaluated.target.numpy()[self.places]
        before, after = (compute_losses(v, target=target, task=task) for v in (self.before, self.after))
        sums = self._blocks.sum(before, after)

        def evaluate(draws: Draws) -> Floats:
            both = draws.weights @ sums
            with np.errstate(divide="ignore", invalid="ignore"):
                growth: Floats = (both[:, 1] / both[:, 0] - 1)[:, None]
            return growth

        (growth,) = measure(evaluate, blocks=self._blocks, resampling=make_resampling(self.evaluated.experiment))
        sentence = f"The loss of {len(target):,} rows grows by {growth.value:.1%}; {max_growth:.1%} is allowed."
        listed = self._list(after - before, after <= before)
        holds = bool(growth.value <= max_growth)
        return Behaved("perturbation", holds, sentence, len(target), {"growth": growth}, [] if holds else listed)

    @property
    def _blocks(self) -> Blocks:
        return self.evaluated.blocks.take(self.places).pool()

    def _average(self, values: Any) -> Measured:
        sums = self._blocks.sum(values, np.ones(len(values)))

        def evaluate(draws: Draws) -> Floats:
            both = draws.weights @ sums
            mean: Floats = (both[:, 0] / both[:, 1])[:, None]
            return mean

        (found,) = measure(evaluate, blocks=self._blocks, resampling=make_resampling(self.evaluated.experiment))
        return found

    def _list(
        self, badness: Floats, obeys: Any, *, before: Floats | None = None, after: Floats | None = None
    ) -> list[Violation]:
        """The rows that do not obey, the worst first; of several classes the one that moves most."""
        first, second = (self.before, self.after) if before is None or after is None else (before, after)
        order = [i for i in np.argsort(-badness, kind="stable").tolist() if not obeys[i]][:NUM_VIOLATIONS]
        if first.ndim > 1:
            chosen = np.abs(second - first).argmax(axis=1)[:, None]
            first, second = (np.take_along_axis(values, chosen, axis=1)[:, 0] for values in (first, second))
        ids = self.rows[ROW].to_list() if ROW in self.rows.columns else self.places.tolist()
        return [Violation(str(ids[i]), float(first[i]), float(second[i])) for i in order]


def _try_rows(declared: Functionality, evaluated: Evaluated, *, key: str) -> Behaved:
    """Each named row gives what it must."""
    columns = evaluated.bundle.card.columns
    typical = find_typical(evaluated.test.select(list(columns)).collect())
    broken = []
    for name, one in declared.rows.items():
        for column in one.values:
            if column not in columns:
                place = f"{key}.rows.{name}.values.{column}"
                raise TreadleError(f"{place}: no column {column!r} that the bundle reads. {nearest(column, columns)}")
        frame = evaluated.bundle.conform({**typical, **one.values})
        prediction = _predict(evaluated.bundle, frame)
        value = float(_take_outcome(prediction, one.outcome, bundle=evaluated.bundle, key=f"{key}.rows.{name}")[0])
        if not _is_within(value, one):
            broken.append(Violation(name, None, value))
    told = "; ".join(f"{v.row} gives {v.after:.4g}, {_write_limits(declared.rows[v.row])}" for v in broken)
    count = len(declared.rows)
    sentence = f"{count - len(broken)} of {count} named rows give what they must{f': {told}' if told else ''}."
    share = Measured(1 - len(broken) / count, None, None)
    return Behaved("functionality", not broken, sentence, count, {"share": share}, broken)


def find_typical(rows: pl.DataFrame) -> dict[str, Any]:
    """A row of the median of each number, and of the most frequent of other values."""
    return {column.name: _find_center(column.drop_nulls()) for column in rows}


def _find_center(values: pl.Series) -> Any:
    if values.is_empty():
        return None
    if values.dtype.is_numeric() or values.dtype.is_temporal():
        return values.sort()[len(values) // 2]
    return values.mode().sort()[0]


def _is_within(value: float, known: KnownRow) -> bool:
    return (known.low is None or value >= known.low) and (known.high is None or value <= known.high)


def _write_limits(known: KnownRow) -> str:
    limits = [(known.low, "at least"), (known.high, "at most")]
    return " and ".join(f"{word} {limit:g}" for limit, word in limits if limit is not None) + " is right"
