"""A server within this process: the application itself answers, through its paths and its log, without a socket."""

from __future__ import annotations

import base64
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, NamedTuple

import orjson

from treadle.serving.app import Application

_HEADERS = [(b"content-type", b"application/json")]


class Response(NamedTuple):
    """What was answered."""

    code: int
    body: Any


class LocalClient:
    """Asks an application as ASGI has it.

    Args:
        application: that is open.
    """

    def __init__(self, application: Application) -> None:
        self.application = application

    async def post(self, path: str, rows: Sequence[Any]) -> Response:
        """Send rows as JSON.

        Args:
            path: such as /predict, or /events/<table>.
            rows: as mappings; a moment becomes a text in ISO 8601, bytes become base64.
        """
        body = orjson.dumps(rows, default=_encode)
        given = [{"type": "http.request", "body": body, "more_body": False}, {"type": "http.disconnect"}]
        sent: list[Any] = []

        async def receive() -> Any:
            return given.pop(0)

        async def send(message: Any) -> None:
            sent.append(message)

        await self.application.starlette(_describe(path, len(body)), receive, send)
        text = b"".join(message.get("body", b"") for message in sent[1:])
        return Response(sent[0]["status"], orjson.loads(text))


@asynccontextmanager
async def open_locally(application: Application) -> AsyncIterator[LocalClient]:
    """A client, as long as the application lives; in the end its log is written as files of whole periods."""
    starlette = application.starlette
    async with starlette.router.lifespan_context(starlette):
        yield LocalClient(application)


def _describe(path: str, length: int) -> dict[str, Any]:
    return {
        "type": "http",
        "asgi": {"version": "3.0"},
        "http_version": "1.1",
        "method": "POST",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": b"",
        "headers": [*_HEADERS, (b"content-length", str(length).encode())],
        "client": None,
        "server": None,
    }


def _encode(value: Any) -> Any:
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    raise TypeError
