"""A server process: address, token, signals. The only module that imports uvicorn."""

from __future__ import annotations

import ipaddress
import logging
import os
import signal
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
import uvicorn

from treadle.disk import read_text
from treadle.errors import TreadleError
from treadle.experiment.durations import parse_duration
from treadle.experiment.spec import Serving
from treadle.serving.app import Application
from treadle.serving.service import Service, Source


def serve(source: Source, serving: Serving, *, say: Callable[[str], None]) -> None:
    """Answer requests until SIGTERM or SIGINT, and then those that were accepted.

    Args:
        source: of the bundle.
        serving: how requests are answered.
        say: is told the address, once requests are accepted there.

    Raises:
        TreadleError: there is no bundle, the address is taken, or the token is missing.
    """
    logging.basicConfig(level=logging.WARNING, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    torch.set_num_threads(1)  # requests share the cores; and the order of a sum depends on it
    token = read_token(serving, os.environ)
    application = Application(lambda count: Service(source, serving, count_waiting=count), token=token)
    listening = _listen(serving)
    config = uvicorn.Config(
        application.starlette,
        log_level="warning",
        access_log=False,
        server_header=False,
        timeout_graceful_shutdown=int(parse_duration(serving.drain).total_seconds()),
    )
    host, port = listening.getsockname()[:2]
    for number in (signal.SIGTERM, signal.SIGINT):  # uvicorn raises them again when it has ended: that is no failure
        signal.signal(number, lambda *_: None)
    service = application.service
    current = service.current
    say(
        f"{service.name}  bundle {current.digest[:12]}  engine {current.scorer.engine}  http://{_show(host)}:{port}/docs"
    )
    uvicorn.Server(config).run(sockets=[listening])


def read_token(serving: Serving, environment: Mapping[str, str]) -> str | None:
    """The token that every request must bring; None: it is a server for this machine alone, or told to do without.

    Raises:
        TreadleError: there is none, and other machines could connect.
    """
    token = environment.get(serving.token_env)
    if serving.token_file is not None:
        try:
            token = read_text(Path(serving.token_file)).strip()
        except OSError as error:
            raise TreadleError(f"serving.token_file: cannot read {serving.token_file}: {error.strerror}") from error
    if token is not None and not token:
        raise TreadleError(f"the token is empty, in serving.token_file or the variable {serving.token_env}")
    if token is None and not serving.allow_anonymous and not _is_local(serving.host):
        raise TreadleError(
            f"serving.host={serving.host} lets other machines connect, and there is no token; set serving.token_file, "
            f"or the variable {serving.token_env}, or serving.allow_anonymous=true"
        )
    return token


def _is_local(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _listen(serving: Serving) -> socket.socket:
    family = socket.AF_INET6 if ":" in serving.host else socket.AF_INET
    try:
        return socket.create_server((serving.host, serving.port), family=family, backlog=2_048)
    except OSError as error:
        reason = error.strerror or str(error)
        raise TreadleError(
            f"cannot listen on {_show(serving.host)}:{serving.port}: {reason}; set serving.host and serving.port "
            "(0: any port that is free)"
        ) from error


def _show(host: str) -> str:
    return f"[{host}]" if ":" in host else host
