"""Judge a log against the reference of a model, block by block: by its rows, or by counts of them alone."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TYPE_CHECKING

import polars as pl

from treadle.errors import TreadleError
from treadle.hints import nearest
from treadle.monitoring.charts import Charts, Judged
from treadle.monitoring.counted import Counted, count_named, name_rows
from treadle.monitoring.estimate import estimate_regression
from treadle.monitoring.findings import Block, Findings
from treadle.monitoring.labels import describe_strays, join_labels
from treadle.monitoring.log import Log
from treadle.monitoring.performance import judge_performance
from treadle.monitoring.rows import Measured, measure_rows
from treadle.monitoring.settings import Settings
from treadle.profiles.blocks import Blocking
from treadle.profiles.cells import list_cells
from treadle.profiles.profile import BLOCK, Profile
from treadle.profiles.realised import describe_usual
from treadle.profiles.reference import Reference
from treadle.tasks import TRAITS
from treadle.wording import number_of

if TYPE_CHECKING:
    from treadle.bundle import Predictor


@dataclass(frozen=True)
class Monitored:
    """Whose log it is, and when it is judged."""

    model: str  # name of the run
    digest: str  # of its bundle
    log: str  # where the rows, or their counts, lie
    now: datetime  # a block that ends later is not judged yet, a label of later not known. In UTC, without a zone


def monitor(
    log: Log,
    *,
    reference: Reference,
    settings: Settings,
    load: Callable[[], Predictor] | None,
    monitored: Monitored,
) -> Findings:
    """Judge each block that is over.

    Args:
        log: the rows.
        reference: of the model.
        settings: how it is judged.
        load: gives the bundle, which weighs alarms by their effect on predictions; None: they are not weighed.
        monitored: whose log it is.

    Raises:
        TreadleError: the reference has too few blocks, or labels cannot be read.
    """
    kept = _leave_out(reference, settings.ignore)
    charts = Charts(kept, false_alarms=settings.false_alarms, season=settings.season)
    labelled = join_labels(log, now=monitored.now)
    rows = name_rows(log.rows if labelled is None else labelled, log.reading, reference)
    timeless = rows.select(pl.col(BLOCK).is_null().sum()).collect().item()
    if settings.last is not None:
        rows = rows.filter(pl.col(BLOCK).is_in(_find_last(rows, kept, settings.last, monitored.now)))
    counted = count_named(rows, log.reading, reference)
    judged = _judge(counted, charts, reference, monitored.now)
    measured = measure_rows(log, rows, judged=judged, kept=kept, load=load, settings=settings)
    strays = describe_strays(log, reference=reference, now=monitored.now)
    lost = f"{number_of(timeless, 'row')} without a time, and so in no block" if timeless else None
    notes = [*measured.notes, *(note for note in (lost, strays) if note is not None)]
    measured = replace(measured, notes=notes, absent=log.reading.absent)
    return _find(counted, judged, measured, charts=charts, reference=reference, settings=settings, monitored=monitored)


def monitor_counts(counted: Counted, *, reference: Reference, settings: Settings, monitored: Monitored) -> Findings:
    """Judge each block that is over by its counts alone: no alarm is weighed, and no label asked for.

    Args:
        counted: of the log.
        reference: of the model.
        settings: how it is judged.
        monitored: whose log it is.

    Raises:
        TreadleError: the reference has too few blocks.
    """
    kept = _leave_out(reference, settings.ignore)
    charts = Charts(kept, false_alarms=settings.false_alarms, season=settings.season)
    if settings.last is not None:
        sizes = zip(counted.profile.blocks, counted.profile.rows.tolist(), strict=True)
        last = _take_last(sizes, reference.blocking, settings.last, monitored.now)
        counted = replace(counted, profile=counted.profile.take([name in last for name in counted.profile.blocks]))
    judged = _judge(counted, charts, reference, monitored.now)
    notes = ["of counts alone: alarms are not weighed by their effect, and labels are not asked for"]
    if not TRAITS[reference.task].is_value:
        notes.append("the performance of a classification is estimated from rows (--log), not from counts")
    measured = Measured(notes=notes, absent=list(counted.absent))
    return _find(counted, judged, measured, charts=charts, reference=reference, settings=settings, monitored=monitored)


def _leave_out(reference: Reference, names: Collection[str]) -> Reference:
    """The reference without some of its columns.

    Raises:
        TreadleError: there is no such column, or no other one.
    """
    known = [column.name for column in reference.columns]
    for name in names:
        if name not in known:
            raise TreadleError(f"--ignore {name!r} is no column that is monitored. {nearest(name, known)}")
    if set(names) == set(known):
        raise TreadleError("--ignore leaves no column to be monitored")
    kept = reference.keep([name for name in known if name not in names])
    return replace(kept, ignored={**kept.ignored, **dict.fromkeys(sorted(names), "--ignore")})


def _judge(counted: Counted, charts: Charts, reference: Reference, now: datetime) -> list[Judged]:
    names = [column.name for column in charts.reference.columns]
    return [_wait(found, reference, now) for found in charts.judge(counted.take_inputs(reference, names))]


def _find(
    counted: Counted,
    judged: Sequence[Judged],
    measured: Measured,
    *,
    charts: Charts,
    reference: Reference,
    settings: Settings,
    monitored: Monitored,
) -> Findings:
    kept = charts.reference
    profile = counted.take_inputs(reference, [column.name for column in kept.columns])
    estimated, missing = _estimate(counted, measured, reference=reference)
    notes = [*measured.notes, *missing, *_describe_learned(profile.blocks, reference)]
    season = charts.season
    strange = [] if season is None else [found.block for found in judged if not season.knows(found.block)]
    if strange:
        notes.append(
            f"the season: {number_of(len(strange), 'block')} without one like it in the reference, such as {strange[0]}"
        )
    usual = describe_usual(reference.performance.shares.values())
    if measured.realised and usual is None:
        notes.append("realised performance raises no alarm: the test split has too few blocks to say what is usual")
    identities = _identify(profile, kept)
    blocks = []
    for found in judged:
        name = found.block
        known, effects = measured.realised.get(name), measured.effects.get(name, {})
        worse = judge_performance(known, usual, min_rows=charts.min_rows, false_alarms=settings.false_alarms)
        performance = None if found.unjudged else worse
        mean, guessed = measured.means.get(name), estimated.get(name, {})
        blocks.append(Block(found, identities[name], effects, mean, guessed, known, performance, settings.min_effect))
    changed = _count_changed(blocks, profile, kept)
    model, digest, log = monitored.model, monitored.digest, monitored.log
    judged_names = {column.name for column in kept.columns}
    absent = [name for name in measured.absent if name in judged_names]
    return Findings(model, digest, log, charts, absent, blocks, changed, notes)


def _describe_learned(blocks: Sequence[str], reference: Reference) -> Iterator[str]:
    """That blocks are of the time of the training rows."""
    newest = max(reference.profile.blocks, default="")
    learned = [] if reference.blocking.unit == "rows" else [block for block in blocks if block < newest]
    if learned:
        units = "block is" if len(learned) == 1 else "blocks are"
        yield (
            f"{len(learned)} {units} older than the newest training rows, such as {learned[0]}: the model may have "
            "learned from these rows, and does better on them than on new ones"
        )


def _estimate(
    counted: Counted, measured: Measured, *, reference: Reference
) -> tuple[dict[str, dict[str, float]], list[str]]:
    """The estimated metrics of each block: those of a regression follow from its counts. And why there are none."""
    if not TRAITS[reference.task].is_value:
        return measured.estimated, []
    absent = measured.absent if counted.has_predictions else [*measured.absent, "prediction"]
    absent = absent if reference.performance.prediction is not None else ["label of a test row"]
    if absent:
        needed = "that of a regression needs predictions and every column"
        return {}, [f"no performance is estimated: {needed}, and there is no {', '.join(absent)}"]
    metrics = estimate_regression(counted.profile, reference.performance)
    return dict(zip(counted.profile.blocks, metrics, strict=True)), []


def _count_changed(blocks: Sequence[Block], profile: Profile, reference: Reference) -> dict[str, list[int]]:
    own = [[alarm for alarm in block.alarms if alarm is not block.performance] for block in blocks]  # of the inputs
    alarms = sorted((alarm for found in own for alarm in found), key=lambda alarm: -alarm.strength)
    starts = list_cells(reference.columns)
    names = [column.name for column in reference.columns]
    counts = profile.cells[[bool(found) for found in own]].sum(axis=0)
    changed = {}
    for name in dict.fromkeys(name for alarm in alarms for name in alarm.signal.columns):
        index = names.index(name)
        changed[name] = counts[starts[index] : starts[index + 1]].tolist()
    return changed


def _find_last(rows: pl.LazyFrame, reference: Reference, count: int, now: datetime) -> list[str]:
    """The newest blocks that are over."""
    sizes = rows.drop_nulls(BLOCK).group_by(BLOCK).len().sort(BLOCK).collect()
    return _take_last(sizes.iter_rows(), reference.blocking, count, now)


def _take_last(sizes: Iterable[tuple[str, int]], blocking: Blocking, count: int, now: datetime) -> list[str]:
    over = [name for name, size in sizes if _find_wait(name, size, blocking, now) is None]
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
