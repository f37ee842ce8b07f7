"""What runs beside the decisions of a simulation: the server and its log, labels that come later, monitoring.

The server is that of `treadle serve`, within this process and on a simulated clock; its log is what `treadle feedback`
and `treadle monitor` read. A stretch is served into a folder that is named once it is whole, so that a kill leaves
nothing in the log that is served again.
"""

from __future__ import annotations

import asyncio
import json
import math
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from treadle.bundle import TARGETS, load
from treadle.bundle.bundle import one_thread
from treadle.champions.bundles import find_by_digest
from treadle.champions.ledger import History
from treadle.config.serving import read_serving
from treadle.disk import read_text, write_json
from treadle.errors import TreadleError
from treadle.experiment.run_folder import RunFolder
from treadle.experiment.spec import Experiment, Serving
from treadle.monitoring.labels import store_labels
from treadle.monitoring.log import open_log
from treadle.monitoring.monitor import Monitored, monitor
from treadle.monitoring.settings import Settings
from treadle.monitoring.usual import FALSE_ALARMS, MIN_LABELS
from treadle.profiles.blocks import Blocking
from treadle.profiles.reference import read_reference
from treadle.retraining.traffic import Delivery, Traffic
from treadle.schema import LABEL, PREDICT_AT, ROW
from treadle.serving.log import SHADOW

if TYPE_CHECKING:
    from treadle.serving.local import LocalClient

ID = "id"  # column of the log: names a prediction
ANSWER = "answer."  # before the names of the log's columns, beside those of examples
_PATIENCE_S = 600.0  # that a request may wait: nobody does, and the machine may be busy
_DONE = {"/predict": (200, 422)}  # codes of an answer that counts: a row that breaks the contract has no prediction
_TAKEN = (200,)  # of events, of which one that breaks the contract has all of its request refused
_IDS = "rows.arrow"  # of a stretch: the number of each row in its table, its moment, and the id of its prediction
_SENT = {ROW: pl.UInt32(), PREDICT_AT: pl.Datetime("us"), ID: pl.String()}  # columns of that file


@dataclass(frozen=True)
class Watched:
    """What monitoring says of the champion at a moment."""

    alarms: list[str]  # of the newest blocks, in words
    estimated: dict[str, float | None]  # metrics of the newest block, without labels
    realised: dict[str, float | None]  # of the newest block with labels
    note: str | None  # why nothing was judged

    def to_plain(self) -> dict[str, Any]:
        """For JSON."""
        return {"alarms": self.alarms, "estimated": self.estimated, "realised": self.realised, "note": self.note}


class Production:
    """Serves a stretch after the other, and knows of each what was answered.

    Args:
        experiment: whose champions serve.
        read: gives what reaches the server; not called where all of it was served before.
        folder: of the simulation.
        every: time between two calls of monitoring.
        gap: from a prediction to its label.
        root: the project.

    Raises:
        TreadleError: a server's packages are not installed.
    """

    def __init__(
        self,
        experiment: Experiment,
        read: Callable[[], Traffic],
        *,
        folder: Path,
        every: timedelta,
        gap: timedelta,
        root: Path,
    ) -> None:
        _require_server()
        self._experiment, self._read, self._folder, self._root = experiment, read, folder, root
        self._new = every + gap  # time of the blocks that are over, or whose labels have come, since the last call
        serving = experiment.serving or read_serving([], root=root)
        changes = {
            "name": None,
            "reload": None,
            "limits": serving.limits.model_copy(update={"seconds": _PATIENCE_S}),
            "canary": serving.canary.model_copy(update={"bundle": None}),
        }
        self._serving = serving.model_copy(update=changes)
        self.log = folder / "log"

    # --- the server

    def serve(self, bundle: str, challenger: str | None, history: History, *, first: datetime, last: datetime) -> Path:
        """Answer what comes from a moment on, before another one; nothing where that is in the log already.

        Args:
            bundle: the digest of the champion.
            challenger: that of the bundle which is asked beside it; None: there is none.
            history: of the champions.
            first: of the stretch.
            last: its end.

        Raises:
            TreadleError: a bundle is nowhere, or a request fails.
        """
        done = self.log / f"{_write_moment(first)}-{_write_moment(last)}"
        if done.is_dir():
            return done
        for cut in self.log.glob(f"{_write_moment(first)}-*"):  # the last stretch of a clock that ended earlier
            shutil.rmtree(cut)
        part = self._folder / "serving"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        champion = find_by_digest(bundle, history, root=self._root)
        beside = None if challenger is None else find_by_digest(challenger, history, root=self._root)
        serving = self._declare_server(part, beside)
        with one_thread():
            answered = asyncio.run(self._answer(champion, serving, first, last))
        answered.write_ipc(part / _IDS)
        for recent in (part, part / SHADOW):
            shutil.rmtree(recent / "recent", ignore_errors=True)
        self.log.mkdir(exist_ok=True)
        part.rename(done)
        return done

    @cached_property
    def _traffic(self) -> Traffic:
        return self._read()

    def _declare_server(self, folder: Path, challenger: Path | None) -> Serving:
        log = self._serving.log.model_copy(update={"folder": str(folder)})
        events = self._serving.events.model_copy(update={"store": "memory" if self._traffic.events else None})
        beside = None if challenger is None else str(challenger)
        shadow = self._serving.shadow.model_copy(update={"bundle": beside})
        return self._serving.model_copy(update={"log": log, "events": events, "shadow": shadow})

    async def _answer(self, champion: Path, serving: Serving, first: datetime, last: datetime) -> pl.DataFrame:
        """The number, the moment and the id of each row that was sent; no id where it was refused."""
        from treadle.serving.app import Application
        from treadle.serving.local import open_locally
        from treadle.serving.service import Service, Source

        clock = first
        source = Source(str(champion), self._root, targets=[*TARGETS, *self._experiment.targets], code="any")
        traffic = self._traffic

        def make_service(count: Callable[[], int]) -> Service:
            return Service(source, serving, count_waiting=count, now=lambda: clock, shadow_in="server")

        application = Application(make_service, token=None)
        numbers: list[int] = []
        moments: list[datetime] = []
        ids: list[str | None] = []
        async with open_locally(application) as client:
            for table, rows in traffic.recall(first).items():
                await self._send(client, f"/events/{table}", rows)
            for delivery in traffic.deliver(first, last):
                for table, rows in delivery.events.items():
                    await self._send(client, f"/events/{table}", rows)
                for asked in _split(delivery, self._serving.limits.rows):
                    clock = asked.moments[-1]
                    (answer,) = await self._send(client, "/predict", asked.rows)
                    numbers += asked.numbers
                    moments += asked.moments
                    ids += [
                        None if predicted is None else f"{answer['id']}.{place}"
                        for place, predicted in enumerate(answer["predictions"])
                    ]
        return pl.DataFrame({ROW: numbers, PREDICT_AT: moments, ID: ids}, schema=_SENT)

    async def _send(self, client: LocalClient, path: str, rows: Sequence[Any]) -> list[Any]:
        bodies = []
        for start in range(0, len(rows), self._serving.limits.rows):
            answer = await client.post(path, rows[start : start + self._serving.limits.rows])
            if answer.code not in _DONE.get(path, _TAKEN):
                why = answer.body.get("error") or answer.body["errors"][0]
                raise TreadleError(f"the server answers {path} with {answer.code}: {why}")
            bodies.append(answer.body)
        return bodies

    # --- what comes back

    def read_answers(self, folder: Path, rows: pl.DataFrame, *, beside: bool) -> pl.DataFrame:
        """The rows of a stretch that have an answer in the log, with its columns under ANSWER.

        Args:
            folder: of the stretch.
            rows: with ROW.
            beside: whether the answers of the challenger are meant, not the champion's.
        """
        files = sorted((folder / SHADOW if beside else folder).glob("*.parquet"))
        ids = pl.read_ipc(folder / _IDS).drop_nulls().select(ROW, ID)
        if not files or ids.is_empty():
            return rows.clear()
        log = pl.concat(map(pl.read_parquet, files), how="diagonal_relaxed").rename(lambda name: f"{ANSWER}{name}")
        answers = ids.join(log, left_on=ID, right_on=f"{ANSWER}{ID}")
        return rows.join(answers, on=ROW, how="inner", maintain_order="left")

    def count(self, folder: Path) -> tuple[int, int]:
        """The rows of a stretch that were answered, and those that were refused."""
        ids = pl.read_ipc(folder / _IDS)[ID]
        return len(ids) - ids.null_count(), ids.null_count()

    def feed_back(self, rows: pl.LazyFrame, *, now: datetime, since: datetime, until: datetime) -> None:
        """Give the log the labels that have become known since the last time, and the rows that have none for good.

        Args:
            rows: with ROW, PREDICT_AT and LABEL; those without an outcome may be left out.
            now: the moment.
            since: up to where labels were known the last time.
            until: up to where they are known now: of predictions before it.
        """
        is_due = pl.col(PREDICT_AT).is_between(since, until, closed="left")
        answered = self._read_sent().drop_nulls(ID).filter(is_due)
        if answered.is_empty():
            return
        known = rows.filter(is_due).select(pl.col(ROW).cast(pl.UInt32), LABEL).collect()
        labels = answered.join(known, on=ROW, how="left", maintain_order="left")
        file = self._folder / "labels" / f"{_write_moment(now)}.parquet"
        file.parent.mkdir(exist_ok=True)
        named = labels[LABEL].struct.unnest() if isinstance(labels.schema[LABEL], pl.Struct) else labels.select(LABEL)
        named.with_columns(labels[ID]).write_parquet(file)
        store_labels(file, log=self.log, by=[ID], label=",".join(named.columns), empty="never", now=now)

    def _read_sent(self) -> pl.DataFrame:
        """What was sent in all stretches."""
        return pl.concat([pl.DataFrame(schema=_SENT), *map(pl.read_ipc, sorted(self.log.glob(f"*/{_IDS}")))])

    def watch(self, champion: str, history: History, *, now: datetime) -> tuple[Watched, Path]:
        """What monitoring says of the champion, as `treadle monitor` does, and the file of its findings.

        Args:
            champion: the digest of its bundle.
            history: of the champions.
            now: the moment.
        """
        folder = self._folder / "monitoring"
        file = folder / f"{_write_moment(now)}.json"
        if not file.is_file():
            folder.mkdir(parents=True, exist_ok=True)
            write_json(file, self._judge(champion, history, now=now))
        found = json.loads(read_text(file))
        blocks = [block for block in found.get("blocks", []) if not block["unjudged"]]
        known = [block for block in blocks if block["realised"] and block["realised"]["metrics"]]
        alarms = [_describe(block["block"], alarm) for block in reversed(blocks) for alarm in block["alarms"]]
        estimated = blocks[-1]["estimated"] if blocks else {}
        realised = known[-1]["realised"]["metrics"] if known else {}
        return Watched(alarms, estimated, realised, found.get("note")), file

    def _judge(self, champion: str, history: History, *, now: datetime) -> dict[str, Any]:
        where = find_by_digest(champion, history, root=self._root)
        try:
            reference = read_reference(RunFolder(where).reference)
            settings = Settings(
                false_alarms=FALSE_ALARMS,
                min_share=MIN_LABELS,
                season=False,
                min_effect=0.0,
                ignore=frozenset(),
                last=count_new(reference.blocking, self._read_sent(), now=now, new=self._new),
            )
            log = open_log(self.log, reference=reference, time=None, digest=champion)
            findings = monitor(
                log,
                reference=reference,
                settings=settings,
                load=lambda: load(where, targets=[*TARGETS, *self._experiment.targets], on_breach="allow", code="any"),
                monitored=Monitored(self._experiment.name, champion, str(self.log), now),
            )
        except TreadleError as error:  # such as a bundle that has no reference, or has answered nothing yet
            return {"alarm": False, "note": str(error)}
        return findings.to_plain()


def count_new(blocking: Blocking, sent: pl.DataFrame, *, now: datetime, new: timedelta) -> int:
    """The newest blocks of a log, those that are over, or whose labels have come, since the last call of monitoring.

    Args:
        blocking: into blocks.
        sent: what the server was sent, with its moment, and with its id where it was answered.
        now: the moment.
        new: the time that they cover.
    """
    if blocking.length is not None:
        return math.ceil(new / blocking.length)
    num_rows = len(sent.filter(pl.col(PREDICT_AT) >= now - new).drop_nulls(ID))
    return max(1, math.ceil(num_rows / blocking.size))


def _describe(block: str, alarm: dict[str, Any]) -> str:
    return f"{block}: {', '.join(alarm['columns']) or alarm['kind']}: {alarm['words']}"


def _split(delivery: Delivery, most: int) -> Iterator[Delivery]:
    """Rows as requests of a size that the server takes."""
    rows = iter(zip(delivery.rows, delivery.numbers, delivery.moments, strict=True))
    while part := list(islice(rows, most)):
        asked, numbers, moments = zip(*part, strict=True)
        yield Delivery({}, list(asked), list(numbers), list(moments))


def _write_moment(moment: datetime) -> str:
    return moment.strftime("%Y%m%dT%H%M%S")


def _require_server() -> None:
    try:
        import treadle.serving.app  # noqa: F401
    except ImportError as error:
        fix = "`pip install 'treadle[serve]'`"
        raise TreadleError(f"a simulation serves, for which {error.name} is not installed: {fix}") from error
