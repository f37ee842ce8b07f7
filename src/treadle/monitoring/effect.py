"""How much an alarm matters: what becomes of the predictions when its columns are drawn from the reference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from numpy.typing import NDArray

from treadle.monitoring.charts import Alarm
from treadle.profiles.cells import Cells, Ints, list_cells, list_coarse
from treadle.profiles.reference import Reference

if TYPE_CHECKING:
    from treadle.bundle import Predictor

Floats = NDArray[np.float64]

NUM_ROWS = 500  # of a block, which are predicted anew for each subject
MAX_ALARMS = 12  # of a block, the strongest ones, that are weighed to rank them


@dataclass(frozen=True)
class Effect:
    """What drawing the columns of an alarm from the reference changes."""

    mean: float  # move of the mean prediction; of several classes or labels, half the sum of the moves
    importance: float  # mean move of the single predictions


def measure_effects(
    alarms: Sequence[Alarm], rows: pl.DataFrame, *, bundle: Predictor, reference: Reference, seed: int
) -> dict[tuple[str, ...], Effect]:
    """The effect of each subject of alarms, over the rows whose predictions are finite.

    Args:
        alarms: of the block, the strongest first.
        rows: of the block, with the columns of the bundle, few enough to be predicted often.
        bundle: the model.
        reference: that it is monitored against.
        seed: of the draws.
    """
    now = _predict(bundle, rows)
    subjects = dict.fromkeys(alarm.signal.columns for alarm in alarms)
    effects = {}
    for subject in subjects:
        drawn = _predict(bundle, _draw(rows, subject, reference, np.random.default_rng(seed)))
        moves = now - drawn
        moves = moves[np.isfinite(moves).all(axis=1)]
        if not len(moves):
            continue
        half = 0.5 if moves.shape[1] > 1 else 1.0
        mean = float(np.abs(moves.mean(axis=0)).sum() * half)
        effects[subject] = Effect(mean, float(np.abs(moves).sum(axis=1).mean() * half))
    return effects


def _predict(bundle: Predictor, rows: pl.DataFrame) -> Floats:
    """`[B, K]`, of one column where there are no classes."""
    values = bundle.take_point(bundle.compute(bundle.conform(rows))).double().numpy()
    return values.reshape(len(values), -1)


def _draw(
    rows: pl.DataFrame, subject: tuple[str, ...], reference: Reference, generator: np.random.Generator
) -> pl.DataFrame:
    """The rows with the columns of a subject as the reference has them, a pair together."""
    places = [[column.name for column in reference.columns].index(name) for name in subject]
    starts = list_cells(reference.columns)
    counts = [reference.profile.cells.sum(axis=0)[starts[place] : starts[place + 1]] for place in places]
    columns = [reference.columns[place] for place in places]
    if len(columns) == 1:
        cells = [generator.choice(len(counts[0]), size=len(rows), p=counts[0] / counts[0].sum())]
    else:
        cells = _draw_pair(columns, places, counts, reference=reference, size=len(rows), generator=generator)
    drawn = [_draw_values(column, found, rows, generator) for column, found in zip(columns, cells, strict=True)]
    return rows.with_columns(drawn)


def _draw_pair(
    columns: Sequence[Cells],
    places: Sequence[int],
    counts: Sequence[Ints],
    *,
    reference: Reference,
    size: int,
    generator: np.random.Generator,
) -> list[Ints]:
    """A cell of each of two columns, by their joint counts, and within coarse cells by their own."""
    assert reference.profile.pairs is not None, "a pair has alarmed"
    starts = list_coarse(reference.columns[: reference.num_paired])
    first, second = (slice(starts[place], starts[place + 1]) for place in places)
    joint = reference.profile.pairs.sum(axis=0)[first, second]
    flat = generator.choice(joint.size, size=size, p=joint.ravel() / joint.sum())
    drawn = []
    for column, count, coarse in zip(columns, counts, np.divmod(flat, joint.shape[1]), strict=True):
        cells = np.zeros(size, dtype=np.int64)
        members = np.asarray(column.coarse)
        for cell in np.unique(coarse):
            inside = np.flatnonzero(members == cell)
            rows = np.flatnonzero(coarse == cell)
            cells[rows] = generator.choice(inside, size=len(rows), p=count[inside] / count[inside].sum())
        drawn.append(cells)
    return drawn


def _draw_values(column: Cells, cells: Ints, rows: pl.DataFrame, generator: np.random.Generator) -> pl.Series:
    """A value in each cell; a text that has no cell of its own stays the row's."""
    given = rows[column.name]
    if column.texts is not None:
        known = [*column.texts, None, None]
        own = given.cast(pl.String).to_list()
        other = len(column.texts)
        texts = [own[row] if cell == other else known[cell] for row, cell in enumerate(cells.tolist())]
        return pl.Series(column.name, texts, dtype=pl.String)
    edges = np.asarray(column.edges or (0.0,))
    low = edges[np.clip(cells - 1, 0, len(edges) - 1)]
    high = edges[np.clip(cells, 0, len(edges) - 1)]
    values = low + generator.uniform(size=len(cells)) * (high - low)
    if given.drop_nulls().round(0).eq(given.drop_nulls()).all():
        values = np.floor(values)
    missing = pl.Series(cells == column.present)
    return pl.Series(column.name, values).set(missing, None)
