"""Judge a log against the reference of a model, block by block."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from treadle.monitoring.charts import Alarm, Charts, Judged
from treadle.monitoring.effect import NUM_ROWS, Effect, measure_effects
from treadle.monitoring.estimate import estimate_binary, estimate_multiclass, estimate_regression
from treadle.monitoring.labels import Realised, describe_strays, join_labels, name_day, realise
from treadle.monitoring.log import Log
from treadle.monitoring.performance import judge_performance
from treadle.profiles.blocks import Blocking
from treadle.profiles.cells import list_cells
from treadle.profiles.profile import BLOCK, Profile, count_rows
from treadle.profiles.realised import describe_usual
from treadle.profiles.reference import Reference
from treadle.schema import LABEL, is_value

if TYPE_CHECKING:
    from treadle.bundle import Predictor

Effects = dict[tuple[str, ...], Effect]
_SEED = 0  # of the draws that measure effects


@dataclass(frozen=True)
class Settings:
    """How a log is judged."""

    false_alarms: float  # share of normal blocks that may alarm
    min_share: float  # of the labels of a day that must be there for it to count
    season: bool  # whether means are compared with the same time of the year
    last: int | None  # number of blocks, the newest ones, that are judged; None: all


@dataclass(frozen=True)
class Block:
    """What was found in a block of a log."""

    judged: Judged
    identity: str  # the same as long as it is the same block: see `_identify`
    effects: Effects  # of its alarms' subjects; empty without the bundle
    mean: float | None  # of the predictions of a regression or a binary task
    estimated: dict[str, float]
    realised: Realised | None
    performance: Alarm | None  # that the realised performance is worse than it ever was

    @property
    def alarms(self) -> list[Alarm]:
        """That of the performance, then those of the inputs by effect on the predictions, importance and strength."""
        none = Effect(0.0, 0.0)

        def rank(alarm: Alarm) -> tuple[float, float, float]:
            effect = self.effects.get(alarm.signal.columns, none)
            return -effect.mean, -effect.importance, -alarm.strength

        own = [self.performance] if self.performance is not None else []
        return [*own, *sorted(self.judged.alarms, key=rank)]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        judged = self.judged
        return {
            "block": judged.block,
            "rows": judged.rows,
            "unjudged": judged.unjudged,
            "strength": judged.strength,
            "alarms": [self._describe(alarm) for alarm in self.alarms],
            "mean_prediction": self.mean,
            "estimated": _without_nan(self.estimated),
            "realised": None
            if self.realised is None
            else {**asdict(self.realised), "metrics": _without_nan(self.realised.metrics)},
        }

    def _describe(self, alarm: Alarm) -> dict[str, Any]:
        effect = self.effects.get(alarm.signal.columns)
        return {
            "kind": alarm.signal.kind,
            "columns": list(alarm.signal.columns),
            "z": alarm.z,
            "limit": alarm.limit,
            "words": alarm.words,
            "effect": None if effect is None else effect.mean,
            "importance": None if effect is None else effect.importance,
        }


@dataclass(frozen=True)
class Findings:
    """What was found in a log."""

    model: str
    digest: str  # of the bundle
    log: str
    charts: Charts
    absent: list[str]  # columns of the reference that the log does not have
    blocks: list[Block]
    changed: dict[str, list[int]]  # columns that alarmed, the strongest first: counts by cell in the blocks that alarm
    notes: list[str]  # what could not be told, and why

    @property
    def reference(self) -> Reference:
        """That the log was judged against."""
        return self.charts.reference

    @property
    def alarmed(self) -> list[Block]:
        """The blocks with an alarm."""
        return [block for block in self.blocks if block.alarms]

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        reference = self.reference
        own = self.charts.own_strengths
        return {
            "model": self.model,
            "bundle": self.digest,
            "log": self.log,
            "alarm": bool(self.alarmed),
            "reference": {
                "blocks": len(own),
                "unit": reference.blocking.unit,
                "columns": len(reference.columns),
                "false_alarms": [block for block, strength in own.items() if strength > 1],
                "metrics": _without_nan(reference.performance.metrics),
            },
            "ignored": dict(reference.ignored),
            "absent": self.absent,
            "notes": self.notes,
            "blocks": [block.to_plain() for block in self.blocks],
        }


def monitor(
    log: Log,
    *,
    reference: Reference,
    settings: Settings,
    load: Callable[[], Predictor] | None,
    model: str,
    digest: str,
    now: datetime,
) -> Findings:
    """Judge each block that is over.

    Args:
        log: the rows.
        reference: of the model.
        settings: how it is judged.
        load: gives the bundle, which weighs alarms by their effect on predictions; None: they are not weighed.
        model: name of the run.
        digest: of its bundle.
        now: a block that ends later is not judged yet. In UTC, without a zone.

    Raises:
        TreadleError: the reference has too few blocks, or labels cannot be read.
    """
    kept = reference.keep([column.name for column in reference.columns if column.name not in log.absent])
    charts = Charts(kept, false_alarms=settings.false_alarms, season=settings.season)
    labelled = join_labels(log)
    rows = kept.blocking.name_log(log.rows if labelled is None else labelled, time=log.time)
    if settings.last is not None:
        rows = rows.filter(pl.col(BLOCK).is_in(_find_last(rows, kept, settings.last, now)))
    profile = count_rows(rows, kept.columns, num_paired=kept.num_paired)
    judged = [_wait(found, kept, now) for found in charts.judge(profile)]
    effects = _weigh(judged, rows, load=load, reference=kept)
    means, estimated, notes = _estimate(log, rows, reference=reference)
    strange = [found.block for found in judged if settings.season and not charts.has_season(found.block)]
    if strange:
        notes.append(f"the season: {len(strange)} blocks, such as {strange[0]}, have none like it in the reference")
    realised = _realise(log, rows, reference=reference, settings=settings) if labelled is not None else {}
    strays = describe_strays(log)
    notes += [] if strays is None else [strays]
    usual = describe_usual(reference.performance.shares.values())
    if realised and usual is None:
        notes.append("realised performance raises no alarm: the test split has too few blocks to say what is usual")
    identities = _identify(profile, kept)
    blocks = []
    for found in judged:
        name = found.block
        weighed, guessed, known = effects.get(name, {}), estimated.get(name, {}), realised.get(name)
        worse = judge_performance(known, usual, min_rows=charts.min_rows, false_alarms=settings.false_alarms)
        performance = None if found.unjudged else worse
        blocks.append(Block(found, identities[name], weighed, means.get(name), guessed, known, performance))
    changed = _count_changed(judged, profile, kept)
    return Findings(model, digest, str(log.path), charts, log.absent, blocks, changed, notes)


def _count_changed(judged: Sequence[Judged], profile: Profile, reference: Reference) -> dict[str, list[int]]:
    alarms = sorted((alarm for found in judged for alarm in found.alarms), key=lambda alarm: -alarm.strength)
    starts = list_cells(reference.columns)
    names = [column.name for column in reference.columns]
    counts = profile.cells[[bool(found.alarms) for found in judged]].sum(axis=0)
    changed = {}
    for name in dict.fromkeys(name for alarm in alarms for name in alarm.signal.columns):
        index = names.index(name)
        changed[name] = counts[starts[index] : starts[index + 1]].tolist()
    return changed


def _find_last(rows: pl.LazyFrame, reference: Reference, count: int, now: datetime) -> list[str]:
    """The newest blocks that are over."""
    sizes = rows.drop_nulls(BLOCK).group_by(BLOCK).len().sort(BLOCK).collect()
    over = [name for name, size in sizes.iter_rows() if _find_wait(name, size, reference.blocking, now) is None]
    return over[-count:]


def _wait(judged: Judged, reference: Reference, now: datetime) -> Judged:
    """A block that is not over yet says nothing."""
    reason = _find_wait(judged.block, judged.rows, reference.blocking, now)
    return judged if reason is None else Judged(judged.block, judged.rows, 0.0, {}, [], reason)


def _find_wait(block: str, num_rows: int, blocking: Blocking, now: datetime) -> str | None:
    """Why a block is not over yet; None where it is."""
    end = blocking.find_end(block)
    if end is not None:
        return None if end <= now else f"not over until {end:%Y-%m-%d}"
    return None if num_rows >= blocking.size else f"not full yet: {num_rows:,} of {blocking.size:,} rows"


def _identify(profile: Profile, reference: Reference) -> dict[str, str]:
    """What each block is known by from call to call: its time, or, of rows, what was counted in it.

    The number of a block of rows counts from the beginning of the log, which moves when old rows are removed.
    """
    if reference.blocking.unit != "rows":
        return {name: name for name in profile.blocks}
    digests = (hashlib.sha256(cells.tobytes()).hexdigest()[:16] for cells in profile.cells)
    return dict(zip(profile.blocks, digests, strict=True))


def _weigh(
    judged: Sequence[Judged], rows: pl.LazyFrame, *, load: Callable[[], Predictor] | None, reference: Reference
) -> dict[str, Effects]:
    alarmed = [found for found in judged if found.alarms]
    if load is None or not alarmed:
        return {}
    bundle, effects = load(), {}
    for found in alarmed:
        step = max(1, found.rows // NUM_ROWS)
        sample = rows.filter(pl.col(BLOCK) == found.block).gather_every(step).head(NUM_ROWS).collect()
        effects[found.block] = measure_effects(found.alarms, sample, bundle=bundle, reference=reference, seed=_SEED)
    return effects


def _estimate(
    log: Log, rows: pl.LazyFrame, *, reference: Reference
) -> tuple[dict[str, float], dict[str, dict[str, float]], list[str]]:
    """The mean prediction and the estimated metrics of each block, and why there are none."""
    if not log.outputs:
        return {}, {}, ["the log holds no predictions: no performance is estimated"]
    performance = reference.performance
    given = rows.select(BLOCK, *log.outputs).drop_nulls().collect()
    predicted = given.filter(_is_finite(log))
    lost = len(given) - len(predicted)
    notes = [f"{lost:,} predictions are not finite, and are left out of the performance"] if lost else []
    parts = {str(block): part for (block,), part in predicted.partition_by(BLOCK, as_dict=True).items()}
    means = {block: float(part[log.outputs[0]].cast(pl.Float64).mean()) for block, part in parts.items()}  # type: ignore[arg-type]
    if is_value(reference.task):
        estimated, missing = _estimate_regression(log, rows, reference=reference)
        return means, estimated, [*notes, *missing]
    assert performance.calibration is not None or not len(performance.metrics), "it is fitted with the reference"
    estimated = {}
    for block, part in parts.items():
        scores = part.select(log.outputs).to_numpy().astype(np.float64)
        if performance.calibration is None:
            continue
        if reference.task == "binary":
            estimated[block] = estimate_binary(
                scores[:, 0], calibration=performance.calibration, threshold=performance.threshold
            )
        else:
            estimated[block] = estimate_multiclass(scores, calibration=performance.calibration)
    return {} if reference.task == "multiclass" else means, estimated, notes


def _is_finite(log: Log) -> pl.Expr:
    """Whether a row has predictions that are numbers."""
    return pl.all_horizontal(pl.col(log.outputs).is_finite())


def _estimate_regression(
    log: Log, rows: pl.LazyFrame, *, reference: Reference
) -> tuple[dict[str, dict[str, float]], list[str]]:
    performance = reference.performance
    if performance.prediction is None or log.absent:
        missing = ", ".join(log.absent) or "test rows"
        return {}, [f"no performance is estimated: that of a regression needs every column, and there is no {missing}"]
    number = pl.col(log.outputs[0]).cast(pl.Float64, strict=False).alias(performance.prediction.name)
    profile = count_rows(rows.with_columns(number), [*reference.columns, performance.prediction], num_paired=0)
    return dict(zip(profile.blocks, estimate_regression(profile, performance), strict=True)), []


def _realise(log: Log, rows: pl.LazyFrame, *, reference: Reference, settings: Settings) -> dict[str, Realised]:
    if not log.outputs:
        return {}
    wanted = rows.select(BLOCK, name_day(log.time), LABEL, *log.outputs).drop_nulls([BLOCK, *log.outputs])
    return realise(
        wanted.filter(_is_finite(log)).collect(),
        task=reference.task,
        outputs=log.outputs,
        threshold=reference.performance.threshold,
        min_share=settings.min_share,
    )


def _without_nan(values: dict[str, float] | Any) -> dict[str, float | None]:
    """JSON has no NaN."""
    return {name: value if np.isfinite(value) else None for name, value in values.items()}
