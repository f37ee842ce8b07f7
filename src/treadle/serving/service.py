"""The bundle that answers: loaded, asked, and replaced by a newer one while requests go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from treadle.bundle import TARGETS, Predictor, load
from treadle.champions.bundles import digest_bundle, find_folder, find_history, is_reference
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Serving
from treadle.hints import nearest
from treadle.serving.log import PredictionLog
from treadle.serving.metrics import Metrics
from treadle.serving.scorer import Answer, Scorer

RETRY_S = 60.0  # until a bundle that could not be loaded is tried again

LOGGER = logging.getLogger("treadle.serving")


@dataclass(frozen=True)
class Source:
    """Where a bundle comes from."""

    reference: str  # a run's folder or a bundle's, or a champion
    root: Path
    targets: Sequence[str] = TARGETS
    code: Literal["same", "any"] = "same"

    def find(self) -> Path:
        """The folder of the run or the bundle.

        Raises:
            TreadleError: there is none.
        """
        return find_folder(self.reference, root=self.root)

    @property
    def name(self) -> str:
        """The name of the model: the champion's, or that of the run's folder."""
        if is_reference(self.reference):
            return find_history(self.reference, root=self.root).name
        folder = Path(self.reference).resolve()
        return folder.parent.name if folder.name == RunFolder(folder).bundle.name else folder.name


@dataclass(frozen=True)
class Served:
    """A loaded bundle, with what belongs to it."""

    scorer: Scorer
    digest: str
    log: PredictionLog | None

    @property
    def bundle(self) -> Predictor:
        """What predicts."""
        return self.scorer.bundle


class Service:
    """Answers rows by the current bundle.

    Args:
        source: of the bundle.
        serving: how requests are answered.
        count_waiting: gives the number of rows that wait, for the metrics.

    Raises:
        TreadleError: there is no bundle, or it is damaged.
    """

    def __init__(self, source: Source, serving: Serving, *, count_waiting: Callable[[], int]) -> None:
        self.source = source
        self.serving = serving
        self.name = serving.name or source.name
        self.metrics = Metrics(count_waiting=count_waiting)
        self.fault: str | None = None  # of the last reload
        self._refused: tuple[str, float] | None = None  # digest of the bundle that could not be loaded, and when
        self._retired: list[tuple[PredictionLog, float]] = []  # logs of earlier bundles, and when they end
        self.current = self._load()

    def score(self, rows: Sequence[Any]) -> Sequence[tuple[Served, Answer]]:
        """An answer for each row, with the bundle that gave it."""
        served = self.current
        before = served.scorer.num_by_polars
        answers = served.scorer.ask(rows)
        predicted = sum(answer.prediction is not None for answer in answers)
        self.metrics.count_batch(
            self.name,
            served.digest[:12],
            predicted=predicted,
            refused=len(rows) - predicted,
            by_polars=served.scorer.num_by_polars - before,
        )
        return [(served, answer) for answer in answers]

    def reload(self, *, again: bool = False) -> bool:
        """Take another bundle where there is one; a damaged one changes nothing.

        Args:
            again: whether one that could not be loaded is tried before `RETRY_S` have passed.
        """
        before = self.current
        try:
            digest = digest_bundle(self.source.find())
            if digest == before.digest:
                self.fault = self._refused = None  # what was wrong has been taken back
                return False
            if not again and self._was_refused(digest):
                return False
            self._refused = digest, time.monotonic()
            self.current = self._load()
        except (TreadleError, OSError) as error:
            if str(error) != self.fault:
                text = "the bundle %s goes on: another one was not loaded: %s"
                LOGGER.error(text, before.digest[:12], error)  # noqa: TRY400 - it says what is wrong
            self.fault = str(error)
            self.metrics.count_failed_reload()
            return False
        self.fault = self._refused = None
        LOGGER.warning("the bundle %s takes the place of %s", self.current.digest[:12], before.digest[:12])
        if before.log is not None:  # answers that are on their way belong to it
            self._retired.append((before.log, time.monotonic() + self.serving.limits.seconds + 1))
        return True

    def _was_refused(self, digest: str) -> bool:
        return (
            self._refused is not None and self._refused[0] == digest and time.monotonic() - self._refused[1] < RETRY_S
        )

    def flush(self) -> None:
        """Write what the log holds."""
        for log, ends in list(self._retired):
            if time.monotonic() > ends:
                self._retired.remove((log, ends))
                self._write(log, log.close)
        if self.current.log is not None:
            self._write(self.current.log, self.current.log.flush)

    def close(self) -> None:
        """Write everything that the logs hold, as whole files."""
        for log in [log for log, _ in self._retired] + [self.current.log]:
            if log is not None:
                self._write(log, log.close)

    def _write(self, log: PredictionLog, write: Callable[..., None]) -> None:
        lost = log.num_failed
        try:
            write(now=datetime.now(UTC))
        except OSError as error:
            text = "%d predictions were not recorded: %s"
            LOGGER.error(text, log.num_failed - lost, error)  # noqa: TRY400 - as above
            self.metrics.count_lost(log.num_failed - lost)

    def _load(self) -> Served:
        folder = self.source.find()
        digest = digest_bundle(folder)
        bundle = load(folder, targets=self.source.targets, code=self.source.code)
        scorer = Scorer(bundle)
        if scorer.reason:
            LOGGER.warning("all rows go through Polars, which takes longer: %s", scorer.reason)
        served = Served(scorer, digest, self._open_log(scorer))
        self.metrics.note_bundle(self.name, digest[:12], time=time.time())
        return served

    def _open_log(self, scorer: Scorer) -> PredictionLog | None:
        spec = self.serving.log
        if spec.folder is None:
            return None
        return PredictionLog(
            Path(spec.folder),
            types=scorer.types,
            kept=_choose_columns(spec.columns, scorer.bundle),
            outputs=scorer.outputs,
            share=spec.share,
            roll=parse_duration(spec.roll),
        )


def _choose_columns(asked: Sequence[str] | None, bundle: Predictor) -> list[str]:
    """The columns that are recorded: those asked for, without private ones.

    Raises:
        TreadleError: there is no such column, or it is private.
    """
    public = [name for name, column in bundle.columns.items() if not column.private]
    for name in asked or []:
        if name not in bundle.columns:
            raise TreadleError(f"serving.log.columns: no column {name!r}. {nearest(name, bundle.columns)}")
        if name not in public:
            raise TreadleError(f"serving.log.columns: {name!r} is private, and never recorded; leave it out")
    return [name for name in public if asked is None or name in asked]
