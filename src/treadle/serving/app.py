"""The web application: paths, limits, answers. The only module that imports Starlette."""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from functools import partial
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from treadle import __version__
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.hints import nearest
from treadle.online.feeds import Online
from treadle.online.log import LogError
from treadle.online.rows import RowsError
from treadle.printable import SHOWN
from treadle.serving import protocols
from treadle.serving.batcher import Batcher, FullError, LateError
from treadle.serving.feeds import Given, Outcome, describe_feeds
from treadle.serving.log import Record
from treadle.serving.openapi import describe, make_example, write_page
from treadle.serving.scorer import Answer
from treadle.serving.service import LOGGER, Served, Service
from treadle.serving.shadow import Asked

FLUSH_S = 1.0  # between writes of the log
OPEN = ("/health/live", "/health/ready", "/v2/health/live", "/v2/health/ready", "/ping")  # without a token
EVENT_REQUESTS = 1_024  # that may wait
MOMENT_S = 0.002  # for which other connections may stand still
_MEGABYTE = 1_000_000

Pairs = Sequence[tuple[Served, Answer]]
Write = Callable[[Pairs, Served, str], dict[str, Any]]


class Application:
    """Requests to answers.

    Args:
        make_service: loads the bundle; it is given what counts the rows that wait.
        token: that every request must bring; None: none.
    """

    def __init__(self, make_service: Callable[[Callable[[], int]], Service], *, token: str | None) -> None:
        self.service = make_service(lambda: self.batcher.num_waiting)
        serving = self.service.serving
        self._token = token
        self._limits = serving.limits
        self.batcher: Batcher[tuple[Served, Answer]] = Batcher(
            self.service.score,
            batch_rows=serving.batch_rows,
            queue_rows=serving.limits.queue,
            seconds=serving.limits.seconds,
            moment=MOMENT_S if self.service.feeds is None else 0.0,  # a log of events may have to be waited for
        )
        self._events: Batcher[Outcome] = Batcher(  # of requests, each of which is taken whole
            self.service.take,
            batch_rows=serving.batch_rows,
            queue_rows=EVENT_REQUESTS,
            seconds=serving.limits.seconds,
            moment=0.0,
        )
        self._reloading = asyncio.Lock()
        self.starlette = Starlette(
            routes=self._list_routes(),
            lifespan=self._live,
            exception_handlers={HTTPException: _tell, Exception: _tell_fault},
        )

    def _list_routes(self) -> list[Route]:
        name, spoken = self.service.name, self.service.serving.protocols
        routes: list[Route] = []  # those of predictions first: they are looked through in this order
        if "rows" in spoken:
            routes.append(self._post("/predict", "rows", protocols.read_rows, self._write_rows))
        if "oip" in spoken:
            routes += [
                self._post(f"/v2/models/{name}/infer", "oip", protocols.read_oip, self._write_oip),
                self._route(f"/v2/models/{name}", self._describe_model),
                self._route(f"/v2/models/{name}/ready", self._ready_answer),
                self._route("/v2", self._describe_server),
                self._route("/v2/health/live", self._live_answer),
                self._route("/v2/health/ready", self._ready_answer),
            ]
        if "mlflow" in spoken:
            routes += [
                self._post("/invocations", "mlflow", protocols.read_mlflow, self._write_mlflow),
                self._route("/ping", self._live_answer),
            ]
        routes += [
            self._route("/health/live", self._live_answer),
            self._route("/health/ready", self._ready_answer),
            self._route("/metrics", self._write_metrics),
            self._route("/openapi.json", self._write_openapi),
            self._route("/docs", self._write_page),
        ]
        if self.service.feeds is not None:
            routes += [
                Route("/events/{table}", self._take_events, methods=["POST"]),
                self._route("/events", self._describe_events),
            ]
        return routes

    def _route(self, path: str, answer: Callable[[], Response], *, methods: Sequence[str] = ("GET",)) -> Route:
        async def endpoint(request: Request) -> Response:
            self._authorise(request)
            return answer()

        return Route(path, endpoint, methods=list(methods))

    def _post(self, path: str, protocol: str, read: Callable[[Any], list[Any]], write: Write) -> Route:
        return Route(path, partial(self._predict, protocol=protocol, read=read, write=write), methods=["POST"])

    # --- predictions

    async def _predict(
        self, request: Request, *, protocol: str, read: Callable[[Any], list[Any]], write: Write
    ) -> Response:
        begin, served = time.perf_counter(), self.service.current
        try:
            self._authorise(request)
            rows = await self._read(request, read)
            pairs = await self._ask(rows)
        except HTTPException as error:
            self._count(served, protocol, error.status_code, begin)
            raise
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            self._count(served, protocol, 500, begin)
            raise
        served = pairs[0][0] if pairs else served
        identity = os.urandom(12).hex()
        code = 200 if all(answer.prediction is not None for _, answer in pairs) else 422
        response = _to_json(write(pairs, served, identity), code=code)
        self._count(served, protocol, code, begin)
        self._record(rows, pairs, identity, ms=(time.perf_counter() - begin) * 1_000)
        return response

    async def _read(self, request: Request, read: Callable[[Any], list[Any]]) -> list[Any]:
        data = await self._read_body(request)
        try:
            rows = read(orjson.loads(data))
        except orjson.JSONDecodeError as error:
            raise HTTPException(400, f"the body is no JSON: {error}") from error
        except protocols.FormError as error:
            raise HTTPException(400, str(error)) from error
        if len(rows) > self._limits.rows:
            raise HTTPException(413, f"a request has at most {self._limits.rows:,} rows, found {len(rows):,}")
        return rows

    async def _read_body(self, request: Request) -> bytes:
        most = int(self._limits.body_mb * _MEGABYTE)
        told = request.headers.get("content-length", "0")
        parts, size = [], int(told) if told.isdecimal() and len(told) < 20 else 0  # noqa: PLR2004 - digits
        try:
            async with asyncio.timeout(self._limits.seconds):
                if size <= most:
                    size = 0
                    async for part in request.stream():
                        size += len(part)
                        if size > most:
                            break
                        parts.append(part)
        except TimeoutError as error:
            raise HTTPException(408, f"the body did not arrive in {self._limits.seconds:g} s") from error
        if size > most:
            raise HTTPException(413, f"a body has at most {self._limits.body_mb:g} MB", {"connection": "close"})
        return b"".join(parts)

    async def _ask(self, rows: list[Any]) -> Pairs:
        if not rows:
            return []
        try:
            return await self.batcher.ask(rows)
        except FullError as error:
            text = f"more than {self._limits.queue:,} rows are waiting; ask again later"
            raise HTTPException(503, text, {"retry-after": "1"}) from error
        except LateError as error:
            raise HTTPException(504, f"no answer in {self._limits.seconds:g} s") from error

    def _count(self, served: Served, protocol: str, code: int, begin: float) -> None:
        self.service.metrics.count_request(
            self.service.name,
            served.digest[:12],
            protocol=protocol,
            code=code,
            seconds=time.perf_counter() - begin,
        )

    def _record(self, rows: Sequence[Any], pairs: Pairs, request: str, *, ms: float) -> None:
        now = self.service.now()
        asked: list[Asked] = []
        for place, (served, answer) in enumerate(pairs):
            log = served.log
            if log is not None and answer.prediction is not None and answer.cells is not None and log.wants(request):
                identity = f"{request}.{place}"
                key = None if self.service.canary is None else self.service.canary.name_key(rows[place])
                engine = served.scorer.engine
                log.add(Record(identity, now, served.digest, ms, answer.cells, answer.prediction, key, engine))
                asked.append(Asked(identity, rows[place], now))
        if asked and self.service.shadow is not None:
            self.service.shadow.offer(asked)

    # --- events

    async def _take_events(self, request: Request) -> Response:
        table, begin, served = str(request.path_params["table"]), time.perf_counter(), self.service.current
        try:
            self._authorise(request)
            response = await self._take(table, request)
        except HTTPException as error:
            self._count(served, "events", error.status_code, begin)
            raise
        except ClientDisconnect:
            return Response(status_code=499)
        except Exception:
            self._count(served, "events", 500, begin)
            raise
        self._count(served, "events", response.status_code, begin)
        return response

    async def _take(self, table: str, request: Request) -> Response:
        online = self.service.online
        feeds = () if online is None else online.state.feeds
        if table not in feeds:
            raise HTTPException(404, f"no feed {table[:SHOWN]!r}. {nearest(table, feeds) if feeds else ''}".strip())
        rows = await self._read(request, protocols.read_rows)
        try:
            (outcome,) = await self._events.ask([Given(table, rows)])
        except FullError as error:
            text = f"more than {EVENT_REQUESTS:,} requests of events are waiting; ask again later"
            raise HTTPException(503, text, {"retry-after": "1"}) from error
        except LateError as error:  # they may still be taken: an event with a key that comes again replaces itself
            raise HTTPException(504, f"no answer in {self._limits.seconds:g} s") from error
        if isinstance(outcome, LogError):  # as above: a log that stopped answering may have written them
            raise HTTPException(503, f"the events may not have been taken: {outcome}", {"retry-after": "1"})
        if isinstance(outcome, RowsError):
            return _to_json({"taken": 0, "errors": [fault._asdict() for fault in outcome.faults]}, code=422)
        if isinstance(outcome, TreadleError):
            raise HTTPException(422, f"no event was taken: {outcome}")
        return _to_json({"taken": outcome.num_events, "late": outcome.num_late, "never_known": outcome.num_unknown})

    def _describe_events(self) -> Response:
        online = self.service.online
        return _to_json({"feeds": {} if online is None else describe_feeds(online)} | _tell_log(online))

    # --- how each protocol is written

    def _write_rows(self, pairs: Pairs, served: Served, request: str) -> dict[str, Any]:
        answers = [answer for _, answer in pairs]
        found = protocols.write_rows(answers, model=self.service.name, bundle=served.digest, request=request)
        is_split = self.service.canary is not None and self.service.canary.served is not None
        return found | ({"bundles": [each.digest for each, _ in pairs]} if is_split else {})

    def _write_oip(self, pairs: Pairs, served: Served, request: str) -> dict[str, Any]:
        answers, names = [answer for _, answer in pairs], served.scorer.outputs
        return protocols.write_oip(
            answers, model=self.service.name, bundle=served.digest, request=request, outputs=names
        )

    def _write_mlflow(self, pairs: Pairs, served: Served, request: str) -> dict[str, Any]:  # noqa: ARG002 - as the others
        return protocols.write_mlflow([answer for _, answer in pairs], outputs=served.scorer.outputs)

    # --- what else it tells

    def _live_answer(self) -> Response:
        return _to_json({"live": True})

    def _ready_answer(self) -> Response:
        found = {"ready": True, "model": self.service.name, "bundle": self.service.current.digest}
        service = self.service
        faults = {
            "reload_error": service.fault,
            "canary_error": None if service.canary is None else service.canary.fault,
            "shadow_error": None if service.shadow is None else service.shadow.fault,
        }
        found |= {name: fault for name, fault in faults.items() if fault}
        return _to_json(found | _tell_log(self.service.online))

    def _write_metrics(self) -> Response:
        return Response(self.service.metrics.write(), media_type="text/plain; version=0.0.4; charset=utf-8")

    def _describe_server(self) -> Response:
        return _to_json({"name": "treadle", "version": __version__, "extensions": []})

    def _describe_model(self) -> Response:
        scorer = self.service.current.scorer
        return _to_json(
            protocols.describe_oip(
                model=self.service.name, bundle=self.service.current.digest, types=scorer.types, outputs=scorer.outputs
            )
        )

    def _describe(self) -> dict[str, Any]:
        served, online = self.service.current, self.service.online
        return describe(
            served.bundle,
            model=self.service.name,
            digest=served.digest,
            outputs=served.scorer.outputs,
            protocols=self.service.serving.protocols,
            secured=self._token is not None,
            feeds={} if online is None else {feed: online.list_columns(feed) for feed in online.state.feeds},
            raw={} if online is None else online.row_columns,
        )

    def _write_openapi(self) -> Response:
        return _to_json(self._describe())

    def _write_page(self) -> Response:
        return HTMLResponse(write_page(self._describe(), example=make_example(self.service.current.bundle)))

    def _authorise(self, request: Request) -> None:
        """Compare the token in a time that tells nothing about it."""
        if self._token is None or request.url.path in OPEN:
            return
        given = request.headers.get("authorization", "").removeprefix("Bearer ")
        if not hmac.compare_digest(given.encode("latin-1"), self._token.encode()):
            raise HTTPException(401, "a token is needed: `Authorization: Bearer …`", {"www-authenticate": "Bearer"})

    # --- as long as it runs

    @contextlib.asynccontextmanager
    async def _live(self, _app: Starlette) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        tasks = [asyncio.create_task(self._repeat(FLUSH_S, partial(asyncio.to_thread, self.service.flush)))]
        every = self.service.serving.reload
        if every is not None:
            seconds = parse_duration(every).total_seconds()
            tasks.append(asyncio.create_task(self._repeat(seconds, self._reload)))
        pending: set[asyncio.Task[None]] = set()

        def reload_now() -> None:
            task = loop.create_task(self._reload(again=True))
            pending.add(task)
            task.add_done_callback(pending.discard)

        with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):  # no signals here
            loop.add_signal_handler(signal.SIGHUP, reload_now)
        try:
            yield
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, *pending, return_exceptions=True)
            await self.batcher.close()
            await self._events.close()
            await asyncio.to_thread(self.service.close)

    async def _reload(self, *, again: bool = False) -> None:
        async with self._reloading:
            await asyncio.to_thread(partial(self.service.reload, again=again))

    async def _repeat(self, seconds: float, work: Callable[[], Awaitable[Any]]) -> None:
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
            except Exception:  # noqa: BLE001 - the server goes on
                LOGGER.exception("what a server does every %g s has failed", seconds)


async def _tell(_request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "it is registered for these"
    return _to_json({"error": error.detail}, code=error.status_code, headers=error.headers)


async def _tell_fault(_request: Request, _error: Exception) -> Response:
    # The error is raised again, for the log; Uvicorn then closes the connection, which a client must know.
    return _to_json({"error": "the server has failed; its log says how"}, code=500, headers={"connection": "close"})


def _tell_log(online: Online | None) -> dict[str, str]:
    """Why the log of events is out of reach."""
    return {"events_error": online.fault} if online is not None and online.fault is not None else {}


def _to_json(values: Any, *, code: int = 200, headers: Any = None) -> Response:
    return Response(orjson.dumps(values), status_code=code, headers=headers, media_type="application/json")
