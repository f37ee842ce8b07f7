"""Control charts that are calibrated on the reference's own blocks: an alarm says that a block is unlike all of those.

Each signal of a block is a number: how far the values of a column that are there lie from the reference (the logarithm
of the population stability index), the share of missing ones (its logit), how far the dependence of two columns lies
from the reference's, and, as an option, how far a column lies from what season and hour make one expect. What is normal
are the reference's own blocks, each measured against the others. Rules with a fixed limit, such as PSI > 0.2, or tests
of the hypothesis that nothing has changed, alarm in every week of the reference itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from treadle.errors import TreadleError
from treadle.monitoring.season import make_season
from treadle.profiles.cells import Cells, list_cells, list_coarse
from treadle.profiles.profile import Profile
from treadle.profiles.reference import Reference

Floats = NDArray[np.float64]
Kind = Literal["values", "missing", "pair", "season", "hour", "performance"]

MIN_BLOCKS = 8  # of a reference, below which nothing says what is normal
MIN_SHARE = 0.5  # of the rows of a usual block, below which a block is not judged
_FLOOR = 0.2  # of the deviation of a signal: a smaller one is no reason for an alarm
_SMOOTHING = 0.5  # rows that each cell has more


@dataclass(frozen=True)
class Signal:
    """What one number of a block speaks of."""

    kind: Kind
    columns: tuple[str, ...]  # one, or the two of a pair

    @property
    def subject(self) -> str:
        """The column, or the pair."""
        return " with ".join(self.columns)


@dataclass(frozen=True)
class Alarm:
    """A signal beyond its limit."""

    signal: Signal
    z: float  # deviations of the reference's own blocks
    limit: float  # of z
    words: str  # what was, and what is

    @property
    def strength(self) -> float:
        """Z as a share of its limit; from 1 on it is an alarm."""
        return self.z / self.limit


@dataclass(frozen=True)
class Judged:
    """A block of a log."""

    block: str
    rows: int
    strength: float  # of the strongest signal; from 1 on it is an alarm
    strengths: dict[str, float]  # of each column, by its strongest signal of its own
    alarms: list[Alarm]  # the strongest first
    unjudged: str | None = None  # why it is not judged


@dataclass(frozen=True)
class _Normal:
    """The signals of one chart over the reference's own blocks."""

    signals: list[Signal]
    values: Floats  # `[G, S]`, NaN where a block has none
    signed: NDArray[np.bool_]  # `[S]` whether only a rise counts

    def standardize(self, values: Floats, *, without: int | None = None) -> Floats:
        """`[S]` deviations of a block's signals from the reference's blocks, all or without one; NaN counts as 0."""
        others = self.values if without is None else np.delete(self.values, without, axis=0)
        known = np.isfinite(others)
        count = known.sum(axis=0)
        filled = np.where(known, others, 0)
        mean = filled.sum(axis=0) / np.maximum(count, 1)
        spread = np.where(known, others - mean, 0)
        deviation = np.sqrt((spread**2).sum(axis=0) / np.maximum(count - 1, 1))
        z = (values - mean) / np.maximum(deviation, _FLOOR)
        z = np.where(np.isfinite(z) & (count >= MIN_BLOCKS - 1), z, 0)
        return np.where(self.signed, z, np.abs(z))


class Charts:
    """The charts of a reference."""

    def __init__(self, reference: Reference, *, false_alarms: float, season: bool) -> None:
        """Calibrate.

        Args:
            reference: with its blocks.
            false_alarms: share of normal blocks that may alarm, all columns and pairs together.
            season: whether columns of numbers are compared with the reference's of the same hours and time of the year.

        Raises:
            TreadleError: there are too few blocks; or a season is asked for, and blocks have no time, or no hours.
        """
        usual = float(np.median(reference.profile.rows)) if len(reference.profile.rows) else 0.0
        profile = reference.profile.take(reference.profile.rows >= MIN_SHARE * usual)
        if len(profile.blocks) < MIN_BLOCKS:
            raise TreadleError(
                f"the reference has {len(profile.blocks)} blocks of enough rows; {MIN_BLOCKS} are needed to say what "
                "is normal. Smaller blocks (evaluation.reference.blocks=day or rows), or more training rows, make more"
            )
        self.reference, self.season = reference, make_season(reference, profile) if season else None
        self.min_rows = MIN_SHARE * usual
        self._columns, self._profile = reference.columns, profile
        self._totals = profile.cells.sum(axis=0), None if profile.pairs is None else profile.pairs.sum(axis=0)
        own = [self._measure(profile, place, without=place) for place in range(len(profile.blocks))]
        signals = self._list_signals()
        self._normals = [
            _Normal(signals[chart], np.stack([block[chart] for block in own]), _find_signed(signals[chart]))
            for chart in range(len(signals))
        ]
        self.limits = self._set_limits(false_alarms)
        self.own_strengths = self._measure_own()

    def judge(self, profile: Profile) -> list[Judged]:
        """Judge each block of a log, counted in the cells of the reference."""
        return [self._judge(profile, place) for place in range(len(profile.blocks))]

    def _judge(self, profile: Profile, place: int) -> Judged:
        block, rows = profile.blocks[place], int(profile.rows[place])
        if rows < self.min_rows:
            reason = f"{rows:,} rows, fewer than half of a usual block ({2 * self.min_rows:,.0f})"
            return Judged(block, rows, 0.0, {}, [], reason)
        measured = self._measure(profile, place, without=None)
        alarms: list[Alarm] = []
        strengths: dict[str, float] = {}
        strongest = 0.0
        for normal, values, limit in zip(self._normals, measured, self.limits, strict=True):
            for signal, z in zip(normal.signals, normal.standardize(values).tolist(), strict=True):
                strongest = max(strongest, z / limit)
                if len(signal.columns) == 1:
                    strengths[signal.subject] = max(z / limit, strengths.get(signal.subject, 0.0))
                if z > limit:
                    alarms.append(Alarm(signal, z, limit, self._describe(signal, profile, place)))
        alarms.sort(key=lambda alarm: -alarm.strength)
        return Judged(block, rows, strongest, strengths, alarms)

    def _set_limits(self, false_alarms: float) -> list[float]:
        """A limit of each chart, scaled so that of all charts together only the wanted share of blocks alarms."""
        largest = self._measure_largest()
        limits = np.maximum(np.quantile(largest, 1 - false_alarms, axis=0), 1.0)
        factor = np.quantile((largest / limits).max(axis=1), 1 - false_alarms)
        return [float(limit * max(factor, 1.0)) for limit in limits]

    def _measure_largest(self) -> Floats:
        """`[G, charts]` largest z of each of the reference's blocks, against its others."""
        blocks = range(len(self._profile.blocks))
        return np.array(
            [
                [normal.standardize(normal.values[block], without=block).max(initial=0.0) for normal in self._normals]
                for block in blocks
            ]
        )

    def _measure_own(self) -> dict[str, float]:
        """The strength of each of the reference's own blocks: what exceeds 1 are its false alarms."""
        strengths = (self._measure_largest() / np.asarray(self.limits)).max(axis=1)
        return dict(zip(self._profile.blocks, strengths.tolist(), strict=True))

    def _list_signals(self) -> list[list[Signal]]:
        names = [column.name for column in self._columns]
        listed = [[*(Signal("values", (n,)) for n in names), *(Signal("missing", (n,)) for n in names)]]
        if self._totals[1] is not None:
            first, second = np.triu_indices(self.reference.num_paired, 1)
            listed.append([Signal("pair", (names[i], names[j])) for i, j in zip(first, second, strict=True)])
        if self.season is not None:
            names = self.season.names
            listed.append([*(Signal("season", (n,)) for n in names), *(Signal("hour", (n,)) for n in names)])
        return listed

    def _measure(self, profile: Profile, place: int, *, without: int | None) -> list[Floats]:
        """The signals of a block, chart by chart, against the reference without one of its own blocks."""
        cells, pairs = self._totals
        if without is not None:
            cells = cells - self._profile.cells[without]
        measured = [_measure_columns(profile.cells[place], cells, self._columns)]
        if pairs is not None:
            assert profile.pairs is not None, "counted by the same columns"
            others = pairs if without is None or self._profile.pairs is None else pairs - self._profile.pairs[without]
            paired = self._columns[: self.reference.num_paired]
            measured.append(_measure_pairs(profile.pairs[place], others, paired))
        if self.season is not None:
            measured.append(self.season.measure(profile, place, without=without))
        return measured

    def _describe(self, signal: Signal, profile: Profile, place: int) -> str:
        if signal.kind == "pair":
            assert profile.pairs is not None, "it was measured"
            return self._describe_pair(signal, profile.pairs[place])
        index = [column.name for column in self._columns].index(signal.columns[0])
        column, starts = self._columns[index], list_cells(self._columns)
        part = slice(starts[index], starts[index + 1])
        before, after = self._totals[0][part], profile.cells[place][part]
        if signal.kind == "missing":
            return _write_change("missing", before[-1] / before.sum(), after[-1] / after.sum())
        before, after = before[:-1] / max(1, before[:-1].sum()), after[:-1] / max(1, after[:-1].sum())
        if self.season is not None and signal.kind in {"season", "hour"}:
            return self.season.describe(signal.columns[0], profile, place, is_level=signal.kind == "season")
        return _write_largest(before, after, column.describe)

    def _describe_pair(self, signal: Signal, pairs: NDArray[np.int64]) -> str:
        assert self._totals[1] is not None, "it was measured"
        names = [column.name for column in self._columns]
        places = [names.index(name) for name in signal.columns]
        starts = list_coarse(self._columns[: self.reference.num_paired])
        rows, columns = (slice(starts[place], starts[place + 1]) for place in places)
        before, after = (
            table[rows, columns] / max(1, table[rows, columns].sum()) for table in (self._totals[1], pairs)
        )
        first, second = (self._columns[place] for place in places)
        width = second.coarse_count

        def describe(cell: int) -> str:
            one, other = first.describe_coarse(cell // width), second.describe_coarse(cell % width)
            return f"{first.name} {one} with {second.name} {other}"

        return f"they go together in another way; {_write_largest(before.ravel(), after.ravel(), describe)}"


def _find_signed(signals: Sequence[Signal]) -> NDArray[np.bool_]:
    """Distances from the reference count when they rise; shares and means, when they move."""
    return np.array([signal.kind in ("values", "pair", "hour") for signal in signals], dtype=bool)


def _measure_columns(cells: NDArray[np.int64], reference: NDArray[np.int64], columns: Sequence[Cells]) -> Floats:
    """`[2n]`: of each column log PSI of the values that are there, then the logit of the share that is missing."""
    starts = list_cells(columns)[:-1]
    sizes = np.array([column.present for column in columns])
    there = np.ones(len(cells), dtype=bool)
    there[starts + sizes] = False
    counts, others = np.where(there, cells, 0), np.where(there, reference, 0)
    present = np.add.reduceat(counts, starts)
    shares = (counts + _SMOOTHING) / np.repeat(present + _SMOOTHING * sizes, sizes + 1)
    expected = (others + _SMOOTHING) / np.repeat(np.add.reduceat(others, starts) + _SMOOTHING * sizes, sizes + 1)
    terms = np.where(there, (shares - expected) * np.log(shares / expected), 0)
    distance = np.log(np.add.reduceat(terms, starts) + 1e-4)
    missing = cells[starts + sizes]
    logit = np.log((missing + _SMOOTHING) / (present + _SMOOTHING))
    return np.concatenate([np.where(present > 0, distance, np.nan), logit])


def _measure_pairs(pairs: NDArray[np.int64], reference: NDArray[np.int64], columns: Sequence[Cells]) -> Floats:
    """`[P]`: of each pair of columns the logarithm of the distance between residuals of independence."""
    starts = list_coarse(columns)
    member = np.zeros((int(starts[-1]), len(columns)))
    for index in range(len(columns)):
        member[starts[index] : starts[index + 1], index] = 1
    gaps = (_find_residuals(pairs, int(starts[1])) - _find_residuals(reference, int(starts[1]))) ** 2
    sums: Floats = (member.T @ gaps @ member)[np.triu_indices(len(columns), 1)]
    return np.log(sums + 1e-5)


def _find_residuals(pairs: NDArray[np.int64], size: int) -> Floats:
    """Pearson's residuals of the joint shares from those of independent columns: the shares themselves are taken out.

    Args:
        pairs: `[C, C]` counts.
        size: number of cells of the first column, whose counts give the number of rows.
    """
    joint = pairs / max(1, int(pairs.diagonal()[:size].sum()))
    shares = joint.diagonal()
    independent = np.outer(shares, shares)
    residuals: Floats = (joint - independent) / np.sqrt(independent + 1e-9)
    return residuals


def _write_largest(before: Iterable[float], after: Iterable[float], describe: Callable[[int], str]) -> str:
    """The cell whose share has changed most."""
    old, new = np.asarray(before), np.asarray(after)
    cell = int(np.abs(new - old).argmax())
    return _write_change(describe(cell), float(old[cell]), float(new[cell]))


def _write_change(what: str, before: float, after: float) -> str:
    return f"{what}: {_write_share(before)} before, {_write_share(after)} now"


def _write_share(share: float) -> str:
    """In percent, with a digit more where it is small.

    >>> _write_share(0.5), _write_share(0.0012), _write_share(0.0)
    ('50.0 %', '0.12 %', '0 %')
    """
    percent = 100 * share
    return f"{percent:.1f} %" if percent >= 1 else f"{percent:.2g} %"
