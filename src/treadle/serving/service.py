"""The bundle that answers: loaded, asked, and replaced by a newer one while requests go on."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any, Literal

import polars as pl

from treadle.bundle import TARGETS, Predictor, load
from treadle.champions.bundles import digest_bundle, find_digest, find_folder, find_history, is_reference
from treadle.data.casting import DECODED
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Serving
from treadle.export.export import find_exports
from treadle.hints import nearest
from treadle.online.feeds import Online
from treadle.schema import UsableCode
from treadle.serving.answering import Answerer
from treadle.serving.canary import Canary
from treadle.serving.challenger import Challenger
from treadle.serving.engines import choose_engine
from treadle.serving.feeds import Feeds, Given, Outcome, read_clock, take_events
from treadle.serving.inline import InlineShadow
from treadle.serving.log import SHADOW, PredictionLog
from treadle.serving.metrics import Metrics
from treadle.serving.scorer import Answer, Scorer
from treadle.serving.shadow import Shadow

RETRY_S = 60.0  # until a bundle that could not be loaded is tried again
TIDY_S = 60.0  # between two times that old events are forgotten

LOGGER = logging.getLogger("treadle.serving")


@dataclass(frozen=True)
class Source:
    """Where a bundle comes from."""

    reference: str  # a run's folder or a bundle's, or a champion
    root: Path
    targets: Sequence[str] = TARGETS
    code: UsableCode = "same"

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

    answerer: Answerer
    digest: str
    log: PredictionLog | None

    @property
    def scorer(self) -> Scorer:
        """What computes."""
        return self.answerer.scorer

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
        now: the current time, in UTC without a zone: of the log, and until when events count.
        shadow_in: where the challenger of `serving.shadow` answers: in a process of its own, for which nobody waits; or
            within the server, which waits for it, so that all of its answers are there.

    Raises:
        TreadleError: there is no bundle, or it is damaged.
    """

    def __init__(
        self,
        source: Source,
        serving: Serving,
        *,
        count_waiting: Callable[[], int],
        now: Callable[[], datetime] = read_clock,
        shadow_in: Literal["process", "server"] = "process",
    ) -> None:
        self.source = source
        self.now = now
        self.serving = serving
        self.name = serving.name or source.name
        self.metrics = Metrics(count_waiting=count_waiting)
        self.fault: str | None = None  # of the last reload
        self._refused: tuple[str, float] | None = None  # digest of the bundle that could not be loaded, and when
        self._retired: list[tuple[PredictionLog, float]] = []  # logs of earlier bundles, and when they end
        has_events = serving.events.store is not None
        self.feeds = Feeds(serving.events, name=self.name, root=source.root, now=now) if has_events else None
        self._tidied = time.monotonic()
        self.shadow: Shadow | InlineShadow | None = None
        try:
            self.current = self._load(source, is_first=True)
            self.metrics.note_bundle(self.name, self.current.digest[:12], time=time.time())
            self.canary = self._open_canary()
            self.shadow = self._open_shadow() if shadow_in == "process" else self._open_inline()
        except BaseException:
            self._close_feeds()
            raise

    def score(self, rows: Sequence[Any]) -> Sequence[tuple[Served, Answer]]:
        """An answer for each row, with the bundle that gave it."""
        canary = None if self.canary is None else self.canary.served
        if self.canary is None or canary is None:
            return self._score(self.current, rows)
        chosen = [self.canary.chooses(row, canary.digest) for row in rows]
        parts = {
            True: self._score_by_canary(canary, [row for row, own in zip(rows, chosen, strict=True) if own]),
            False: self._score(self.current, [row for row, own in zip(rows, chosen, strict=True) if not own]),
        }
        answers = {own: iter(part) for own, part in parts.items()}
        return [next(answers[own]) for own in chosen]

    def _score_by_canary(self, canary: Served, rows: Sequence[Any]) -> Sequence[tuple[Served, Answer]]:
        """A canary that fails, or refuses a row, costs nobody an answer: the champion is asked instead."""
        try:
            pairs = list(self._score(canary, rows))
        except Exception as error:  # noqa: BLE001 - whatever it is, the champion answers
            LOGGER.error("the canary %s failed, and the champion answers: %s", canary.digest[:12], error)  # noqa: TRY400
            self.metrics.count_canary_failures(self.name, canary.digest[:12], len(rows))
            return self._score(self.current, rows)
        refused = [place for place, (_, answer) in enumerate(pairs) if answer.prediction is None]
        instead = self._score(self.current, [rows[place] for place in refused])
        for place, pair in zip(refused, instead, strict=True):
            pairs[place] = pair
        helped = sum(answer.prediction is not None for _, answer in instead)
        self.metrics.count_canary_refusals(self.name, canary.digest[:12], helped)
        return pairs

    def _score(self, served: Served, rows: Sequence[Any]) -> Sequence[tuple[Served, Answer]]:
        if not rows:
            return []
        before = served.scorer.num_by_polars
        answers = served.answerer.ask(rows, moments=[self.now()] * len(rows))
        predicted = sum(answer.prediction is not None for answer in answers)
        self.metrics.count_batch(
            self.name,
            served.digest[:12],
            predicted=predicted,
            refused=len(rows) - predicted,
            by_polars=served.scorer.num_by_polars - before,
            engine=served.scorer.engine,
        )
        return [(served, answer) for answer in answers]

    @property
    def online(self) -> Online | None:
        """The state of the feeds of the current bundle; None: it takes no events."""
        return self.current.answerer.online

    def take(self, requests: Sequence[Given]) -> list[Outcome]:
        """What became of the events of each request, by the declarations of the current bundle."""
        online = self.online
        assert online is not None, "the application asks whether there are feeds"
        return take_events(online, requests, model=self.name, metrics=self.metrics, now=self.now())

    def reload(self, *, again: bool = False) -> bool:
        """Take another bundle where there is one; a damaged one changes nothing.

        Args:
            again: whether one that could not be loaded is tried before `RETRY_S` have passed.
        """
        changed = self._reload_champion(again=again)
        if self.canary is not None and (ended := self.canary.look(champion=self.current.digest)) is not None:
            self._retire(ended)
        if self.shadow is not None:
            self.shadow.look()
        return changed

    def _reload_champion(self, *, again: bool) -> bool:
        before = self.current
        try:
            digest = digest_bundle(self.source.find())
            if digest == before.digest:
                self.fault = self._refused = None  # what was wrong has been taken back
                return False
            if not again and self._was_refused(digest):
                return False
            self._refused = digest, time.monotonic()
            self.current = self._load(self.source)
        except (TreadleError, OSError) as error:
            if str(error) != self.fault:
                text = "the bundle %s goes on: another one was not loaded: %s"
                LOGGER.error(text, before.digest[:12], error)  # noqa: TRY400 - it says what is wrong
            self.fault = str(error)
            self.metrics.count_failed_reload()
            return False
        self.fault = self._refused = None
        current = self.current
        self.metrics.note_bundle(self.name, current.digest[:12], time=time.time())
        text = "the bundle %s takes the place of %s; engine %s"
        LOGGER.warning(text, current.digest[:12], before.digest[:12], current.scorer.engine)
        self._retire(before)
        return True

    def _retire(self, served: Served) -> None:
        if served.log is not None:  # answers that are on their way belong to it
            self._retired.append((served.log, time.monotonic() + self.serving.limits.seconds + 1))

    def _was_refused(self, digest: str) -> bool:
        return (
            self._refused is not None and self._refused[0] == digest and time.monotonic() - self._refused[1] < RETRY_S
        )

    def flush(self) -> None:
        """Write what the log holds, and now and then forget old events."""
        self._tidy()
        for log, ends in list(self._retired):
            if time.monotonic() > ends:
                self._retired.remove((log, ends))
                self._write(log, log.close)
        for served in self._list_served():
            if served.log is not None:
                self._write(served.log, served.log.flush)
        if self.shadow is not None and self.shadow.log is not None:
            self._write(self.shadow.log, self.shadow.log.flush)

    def _list_served(self) -> list[Served]:
        canary = None if self.canary is None else self.canary.served
        return [self.current, *([] if canary is None else [canary])]

    def _tidy(self) -> None:
        if self.online is not None:
            self.metrics.note_event_log(up=self.online.fault is None, rebuilds=self.online.num_rebuilt)
        if self.feeds is not None and time.monotonic() > self._tidied + TIDY_S:
            self._tidied = time.monotonic()
            self.feeds.tidy()

    def close(self) -> None:
        """Write everything that the logs hold, as whole files."""
        self._close_feeds()
        own = [served.log for served in self._list_served()]
        if self.shadow is not None:
            self.shadow.close()
            own.append(self.shadow.log)
        for log in [log for log, _ in self._retired] + own:
            if log is not None:
                self._write(log, log.close)

    def _close_feeds(self) -> None:
        if self.feeds is not None:
            self.feeds.close()

    def _write(self, log: PredictionLog, write: Callable[..., None]) -> None:
        lost = log.num_failed
        try:
            write(now=self.now().replace(tzinfo=UTC))
        except OSError as error:
            text = "%d predictions were not recorded: %s"
            LOGGER.error(text, log.num_failed - lost, error)  # noqa: TRY400 - as above
            self.metrics.count_lost(log.num_failed - lost)

    def _load(self, source: Source, *, is_first: bool = False) -> Served:
        """The bundle, with the engine that is wanted; a later one that has no export yet is computed by torch."""
        folder = source.find()
        digest = digest_bundle(folder)
        bundle = load(folder, targets=source.targets, code=source.code)
        wanted = self.serving.engine
        engine, why = choose_engine(bundle, wanted=wanted, exports=find_exports(folder), digest=digest)
        if why and wanted != "auto" and is_first:
            raise TreadleError(f"serving.engine={wanted}: {why}; or set serving.engine=auto")
        if why:
            LOGGER.warning("torch itself computes the predictions: %s", why)
        online = None if self.feeds is None else self.feeds.follow(bundle)
        answerer = Answerer(bundle, online=online, engine=engine)
        scorer = answerer.scorer
        if scorer.reason:
            LOGGER.warning("all rows go through Polars, which takes longer: %s", scorer.reason)
        if answerer.reason:
            LOGGER.warning("rows without their past go through Polars, which takes longer: %s", answerer.reason)
        kept = _choose_columns(self.serving.log.columns, bundle)
        return Served(answerer, digest, self._open_log(Path(), scorer.types, kept, scorer.outputs))

    def _open_log(
        self, inside: Path, types: Mapping[str, pl.DataType], kept: Sequence[str], outputs: Mapping[str, pl.DataType]
    ) -> PredictionLog | None:
        spec = self.serving.log
        if spec.folder is None:
            return None
        folder = Path(spec.folder) / inside
        return PredictionLog(
            folder,
            types=types,
            kept=kept,
            outputs=outputs,
            share=spec.share,
            roll=parse_duration(spec.roll),
            keyed=self.serving.canary.bundle is not None,
        )

    def _open_canary(self) -> Canary | None:
        spec = self.serving.canary
        if spec.bundle is None:
            return None
        source = replace(self.source, reference=spec.bundle)
        find = partial(find_digest, spec.bundle, root=source.root)

        def load() -> Served:
            served = self._load(source)
            if served.scorer.outputs != self.current.scorer.outputs:
                given = " and ".join(", ".join(each.scorer.outputs) for each in (served, self.current))
                raise TreadleError(f"serving.canary.bundle: it must give what the champion gives; found {given}")
            return served

        return Canary(spec, find=find, load=load)

    def _open_shadow(self) -> Shadow | None:
        spec = self.serving.shadow
        if spec.bundle is None:
            return None
        if self.serving.log.folder is None:
            raise TreadleError("serving.shadow.bundle needs serving.log.folder, where its answers are recorded")
        if self.serving.events.store == "memory":
            raise TreadleError(
                "serving.shadow.bundle: the challenger's process cannot read events in memory; "
                "set serving.events.store=sqlite"
            )
        find_digest(spec.bundle, root=self.source.root)  # raises where it names nothing
        return Shadow(
            find=partial(self._find_challenger, replace(self.source, reference=spec.bundle)),
            open_log=lambda outputs: self._open_log(Path(SHADOW), {}, [], outputs),
            spec=spec,
            batch_rows=self.serving.batch_rows,
            model=self.name,
            metrics=self.metrics,
        )

    def _open_inline(self) -> InlineShadow | None:
        spec = self.serving.shadow
        if spec.bundle is None:
            return None
        folder = replace(self.source, reference=spec.bundle).find()
        bundle = load(folder, targets=self.source.targets, code=self.source.code)
        answerer = Answerer(bundle, online=None if self.feeds is None else self.feeds.follow(bundle))
        log = self._open_log(Path(SHADOW), {}, [], answerer.scorer.outputs)
        return InlineShadow(answerer, digest_bundle(folder), log=log, model=self.name, metrics=self.metrics)

    def _find_challenger(self, source: Source) -> tuple[str, Challenger] | None:
        """What the shadow asks: nothing where there is no challenger, or it has become champion."""
        digest = find_digest(source.reference, root=source.root)
        if digest is None or digest == self.current.digest:
            return None
        return digest, Challenger(source, self.serving.events, self.name)


def _choose_columns(asked: Sequence[str] | None, bundle: Predictor) -> list[str]:
    """The columns that are recorded: those asked for, or all but private ones and images.

    Raises:
        TreadleError: there is no such column, or it is private.
    """
    public = [name for name in bundle.columns if name not in bundle.private]
    for name in asked or []:
        if name not in bundle.columns:
            raise TreadleError(f"serving.log.columns: no column {name!r}. {nearest(name, bundle.columns)}")
        if name not in public:
            raise TreadleError(f"serving.log.columns: {name!r} is private, and never recorded; leave it out")
    if asked is None:
        return [name for name in public if bundle.columns[name].dtype not in DECODED]
    return [name for name in public if name in asked]
