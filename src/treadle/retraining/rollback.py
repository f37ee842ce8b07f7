"""The way back: whether the champion before would do better, by the answers of the server, else on the newest rows."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from treadle.champions.ledger import History
from treadle.errors import TreadleError
from treadle.evaluation.comparison import Candidate, compare_predictions, make_resampling
from treadle.evaluation.evaluated import find_blocks
from treadle.experiment.durations import parse_moment
from treadle.experiment.spec import Experiment
from treadle.monitoring.usual import MIN_LABELS
from treadle.retraining.champion import Judged, UnpredictableError
from treadle.rollout.hindsight import Hindsight, look_back

_TAKES_OVER = ("promote", "rollback")  # actions by which a bundle becomes champion


@dataclass(frozen=True)
class Champions:
    """Who is judged."""

    present: Judged | None = None  # None: there is none yet
    before: Judged | None = None  # whom a rollback would lead back to; None: nobody
    lost: str | None = None  # why there is no way back to it


def find_champions(history: History, *, experiment: Experiment, goes_back: bool, root: Path) -> Champions:
    """The present champion, and the one before it.

    A bundle of before that was deleted, or needs code that is gone, leaves no way back; the rest goes on.

    Args:
        history: of the champions.
        experiment: of the decision.
        goes_back: whether there is to be a way back.
        root: the project.

    Raises:
        TreadleError: the bundle of the present one is nowhere, or cannot be loaded.
    """
    wanted = history.list_champions()[::-1]
    if not wanted:
        return Champions()
    present = Judged.find(history, wanted[0], targets=experiment.targets, root=root)
    if not goes_back or len(wanted) == 1:
        return Champions(present)
    try:
        before = Judged.find(history, wanted[1], targets=experiment.targets, root=root)
    except TreadleError as error:
        return Champions(present, lost=f"there is no way back to the champion before: {error}")
    return Champions(present, before)


def judge_by_log(
    champion: Judged, before: Judged, history: History, *, experiment: Experiment, log: Path, now: datetime
) -> Hindsight | None:
    """What the realised performance of the champion says; None where there is none yet, or the two answer otherwise.

    Args:
        champion: the present one.
        before: whom a rollback would lead back to.
        history: of the champions.
        experiment: of the decision.
        log: folder of `serving.log`.
        now: moment of the decision.

    Raises:
        TreadleError: a label cannot be read.
    """
    if not _answer_the_same(champion, before):
        return None
    assert history.champion is not None, "it is the present one"
    since = next(d.time for d in reversed(history.decisions) if d.action in _TAKES_OVER)
    try:
        return look_back(
            log,
            champion=history.champion,
            card=champion.bundle.card,
            since=parse_moment(since),
            now=now,
            alpha=1 - make_resampling(experiment).coverage,
            min_share=MIN_LABELS,
            before=before.predict_columns,
            columns=list(before.bundle.columns),
        )
    except UnpredictableError:  # there is no way back
        return None


def judge_by_rows(champion: Judged, before: Judged, rows: Path, *, experiment: Experiment) -> str | None:
    """Why the champion before should take over again: it is better on the newest rows beyond noise; None: it is not.

    Args:
        champion: the present one.
        before: whom a rollback would lead back to.
        rows: file of the newest rows with labels.
        experiment: of the decision.
    """
    if not _answer_the_same(champion, before):
        return None
    newest = pl.read_parquet(rows)
    try:
        predicted = [Candidate(one.predict(newest), one.bundle.card.thresholds) for one in (before, champion)]
    except UnpredictableError:  # of the champion before: there is no way back; of the present one: the rules tell it
        return None
    comparison = compare_predictions(
        *predicted,
        target=champion.read_target(newest),
        blocks=find_blocks(pl.scan_parquet(rows), experiment),
        experiment=experiment,
    )
    if comparison is None or not comparison.is_better:
        return None
    return f"the champion before is better on the newest rows: {comparison.describe()}"


def _answer_the_same(champion: Judged, before: Judged) -> bool:
    """Whether they answer the same question, so that losses can be compared."""
    return (champion.bundle.task, champion.bundle.classes) == (before.bundle.task, before.bundle.classes)
