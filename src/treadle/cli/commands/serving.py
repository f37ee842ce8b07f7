"""Verbs that serve a bundle, and pack it for a container."""

from __future__ import annotations

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.loading import add_loading, read_code, read_tables
from treadle.cli.output import print_lines
from treadle.cli.verb import Verb, add_overrides
from treadle.printable import escape_lines
from treadle.wording import number_of

if TYPE_CHECKING:
    from treadle.serving.service import Source


def _add_serve(parser: argparse.ArgumentParser) -> None:
    run = "a run's folder, a bundle, or `champion`, whose changes it follows (default: champion)"
    parser.add_argument("run_folder", nargs="?", default="champion", metavar="RUN", help=run)
    add_loading(parser)
    replay = "serve nothing: replay this table's events and prove that asof and history are the same online as offline"
    parser.add_argument("--replay", action="append", default=[], metavar="NAME=FILE", help=replay)
    add_overrides(parser)


def _serve(options: argparse.Namespace) -> int:
    from treadle.config.serving import read_serving

    if options.replay:
        return _replay(options)

    if "=" in options.run_folder:  # the first override, where no run is named
        options.overrides.insert(0, options.run_folder)
        options.run_folder = "champion"
    serving = read_serving(options.overrides, root=Path.cwd())
    source = _read_source(options)
    from treadle.serving.server import serve

    serve(source, serving, say=_say)
    return 0


def _add_package(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a run's folder, a bundle, or a champion")
    where = "folder that is written, with a Dockerfile"
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help=where)
    add_loading(parser)


def _package(options: argparse.Namespace) -> int:
    from treadle.serving.package import package

    requirements = package(_read_source(options), into=options.output)
    print_lines(f"{len(requirements)} packages  {options.output / 'requirements.txt'}")
    print_lines(f"docker build {options.output}")
    return 0


def _read_source(options: argparse.Namespace) -> Source:
    """Where the bundle is, and what it may build."""
    from treadle.bundle import TARGETS
    from treadle.errors import TreadleError

    try:
        from treadle.serving.service import Source
    except ImportError as error:
        fix = "`pip install treadle[serve]`"
        raise TreadleError(f"a server needs {error.name}, which is not installed: {fix}") from error
    return Source(options.run_folder, Path.cwd(), targets=[*TARGETS, *options.allow], code=read_code(options))


def _replay(options: argparse.Namespace) -> int:
    """Compare both ways, and print the first row that differs."""
    from tempfile import TemporaryDirectory

    from treadle.bundle import TARGETS, load
    from treadle.online.replay import replay

    bundle = load(options.run_folder, targets=[*TARGETS, *options.allow], code=read_code(options))
    now, files = datetime.now(UTC).replace(tzinfo=None), read_tables(options.replay, option="--replay")
    with TemporaryDirectory() as scratch:
        found = replay(bundle.recipe.data, files=files, root=Path.cwd(), now=now, scratch=Path(scratch))
    print_lines(*(f"{number_of(counts.num_events, 'event')}  {table}" for table, counts in found.counts.items()))
    if found.difference is None:
        print_lines(f"{found.num_questions:,} rows are equal in all {len(found.columns)} columns of the past")
        return 0
    counted = ", ".join(f"{name} in {count:,}" for name, count in found.num_different.items())
    sys.stderr.write(f"treadle serve: online and offline differ, first in {escape_lines(str(found.difference))}\n")
    sys.stderr.write(f"  of {found.num_questions:,} rows: {escape_lines(counted)}\n")
    return 1


def _say(line: str) -> None:
    print_lines(line)
    sys.stdout.flush()


VERBS = (
    Verb("serve", "Answer requests for predictions over HTTP.", _add_serve, _serve),
    Verb("package", "Write a folder with a bundle and its server, for a container.", _add_package, _package),
)
