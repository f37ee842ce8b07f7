"""What does a request cost? `treadle serve` beside FastAPI and MLflow with LightGBM, on the same rows.

    python benchmarks/serving.py RUN [--seconds 5] [--connections 1 16 64] [--peer PYTHON] [--servers treadle mlflow]

RUN is a run's folder with `examples/`. A client on this machine keeps some connections busy, with one row a request.
Printed is for each server and number of connections: processor time of the server [ms a request], requests a second,
and the 50th and 99th percentile of their durations [ms]. On a busy machine only the processor time tells something.

PYTHON is an interpreter that has fastapi, uvicorn, pandas, scikit-learn and lightgbm, and mlflow where that is to be
compared: serving_peer.py trains a pipeline of scikit-learn on the run's training examples there, and serves it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import orjson
import polars as pl

SERVERS = ["treadle", "fastapi", "mlflow"]
ROWS = 500  # that are asked for in turn
TICKS = os.sysconf("SC_CLK_TCK")
PEER = Path(__file__).with_name("serving_peer.py")


@dataclass(frozen=True)
class Server:
    """A server that answers."""

    name: str
    url: str
    pid: int
    wrap: str  # "" or the key under which MLflow takes rows


def read_rows(run: Path) -> list[dict[str, object]]:
    card = json.loads((run / "bundle" / "bundle.json").read_text())
    rows = pl.scan_parquet(run / "examples" / "test.parquet").select(list(card["columns"])).head(ROWS).collect()
    return [orjson.loads(orjson.dumps(row)) for row in rows.to_dicts()]


def measure_cpu(pid: int) -> float:
    """Processor time of a process and its children [s]."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS + sum(measure_cpu(int(child)) for child in children)


async def keep_busy(server: Server, bodies: Sequence[bytes], durations: list[float], *, until: float) -> None:
    """One connection: ask, wait for the answer, ask again."""
    address = urlsplit(server.url)
    reader, writer = await asyncio.open_connection(address.hostname, address.port)
    head = f"POST {address.path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: "
    place = 0
    while time.perf_counter() < until:
        body = bodies[place % len(bodies)]
        place += 1
        begin = time.perf_counter()
        writer.write(f"{head}{len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 200"), answer
        length = answer.lower().split(b"content-length:")[1].split(b"\r\n")[0]
        await reader.readexactly(int(length))
        durations.append(time.perf_counter() - begin)
    writer.close()


async def load(server: Server, bodies: Sequence[bytes], *, connections: int, seconds: float) -> list[float]:
    durations: list[float] = []
    until = time.perf_counter() + seconds
    shares = [[*bodies[start:], *bodies[:start]] for start in range(connections)]
    await asyncio.gather(*(keep_busy(server, share, durations, until=until) for share in shares))
    return sorted(durations)


def measure(server: Server, rows: Sequence[object], *, connections: int, seconds: float) -> str:
    bodies = [orjson.dumps({server.wrap: [row]} if server.wrap else row) for row in rows]
    asyncio.run(load(server, bodies, connections=connections, seconds=1.0))  # warms up
    before = measure_cpu(server.pid)
    durations = asyncio.run(load(server, bodies, connections=connections, seconds=seconds))
    cpu = (measure_cpu(server.pid) - before) / len(durations) * 1_000
    p50, p99 = (durations[int(share * (len(durations) - 1))] * 1_000 for share in (0.5, 0.99))
    rate = len(durations) / seconds
    return f"{server.name:<10} {connections:>3}  {cpu:7.2f} ms CPU  {rate:8.0f} a second  {p50:7.1f} {p99:8.1f} ms"


def wait_until_open(base: str) -> None:
    """A peer says its address before it listens there."""
    address = urlsplit(base)
    while True:
        try:
            socket.create_connection((address.hostname, address.port)).close()
        except OSError:
            time.sleep(0.1)
        else:
            return


@contextmanager
def start(name: str, command: Sequence[str], *, path: str, wrap: str = "") -> Iterator[Server]:
    """A server whose output has a line with its address, once it answers."""
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    try:
        line = next((line for line in process.stdout if "http://" in line), "")
        if not line:
            sys.exit(f"{name} has ended: {' '.join(command)}")
        base = next(word for word in line.split() if word.startswith("http://")).rstrip("/").removesuffix("/docs")
        wait_until_open(base)
        yield Server(name, base + path, process.pid, wrap)
    finally:
        process.terminate()
        process.wait()


def list_servers(run: Path, peer: str | None, scratch: Path) -> Iterator[tuple[str, list[str], str, str]]:
    own = [sys.executable, "-m", "treadle", "serve", str(run), "--any-code", "serving.port=0"]
    yield "treadle", own, "/predict", ""
    if peer is not None:
        train = [peer, str(PEER), "train", str(run), str(scratch)]
        subprocess.run(train, check=True)
        yield "fastapi", [peer, str(PEER), "fastapi", str(run), str(scratch)], "/predict", ""
        if (scratch / "mlflow").is_dir():
            yield "mlflow", [peer, str(PEER), "mlflow", str(run), str(scratch)], "/invocations", "dataframe_records"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 16, 64])
    parser.add_argument("--peer", metavar="PYTHON")
    parser.add_argument("--servers", nargs="+", choices=SERVERS, default=SERVERS)
    options = parser.parse_args()
    rows = read_rows(options.run)
    with tempfile.TemporaryDirectory() as scratch:
        servers = list_servers(options.run, options.peer, Path(scratch))
        for name, command, path, wrap in (server for server in servers if server[0] in options.servers):
            with start(name, command, path=path, wrap=wrap) as server:
                for connections in options.connections:
                    print(measure(server, rows, connections=connections, seconds=options.seconds), flush=True)


if __name__ == "__main__":
    main()
