"""A PostgreSQL server of a test's own, on a free port."""

import os
import shutil
import socket
import subprocess
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest

INITDB = next(iter(sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))), None) or shutil.which("initdb")


@contextmanager
def serve_postgresql():
    if INITDB is None:
        pytest.skip("PostgreSQL is not installed")
    programs, folder = Path(INITDB).parent, Path(tempfile.mkdtemp())
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    root = os.geteuid() == 0
    if root:  # the server refuses to run as root
        shutil.chown(folder, "postgres")

    def run(*command):
        words = ["runuser", "-u", "postgres", "--", *map(str, command)] if root else list(map(str, command))
        subprocess.run(words, check=True, capture_output=True, cwd="/")

    run(programs / "initdb", "-D", folder / "data", "-A", "trust", "-U", "postgres")
    options = f"-p {port} -k {folder} -c listen_addresses=127.0.0.1"
    run(programs / "pg_ctl", "-D", folder / "data", "-o", options, "-l", folder / "log", "-w", "start")
    yield f"postgresql://postgres@127.0.0.1:{port}/postgres"
    run(programs / "pg_ctl", "-D", folder / "data", "-m", "immediate", "stop")
    shutil.rmtree(folder)
