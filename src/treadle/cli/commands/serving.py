"""Verbs that predict with a bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb, add_overrides
from treadle.printable import escape_lines

if TYPE_CHECKING:
    from treadle.bundle import Predictor
    from treadle.bundle.batch import RowSource, Sink
    from treadle.serving.service import Source

REJECTED = 3  # exit code: done, except for rows that break the contract


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or a bundle")
    rows = "Parquet or CSV; none with --tables, or for a learner, whose datamodule says what is predicted"
    parser.add_argument("rows", type=Path, nargs="?", metavar="ROWS", help=rows)
    tables = "make the rows from raw tables, as the run declares it: flights=new.parquet weather=weather.parquet"
    parser.add_argument("--tables", nargs="+", default=[], metavar="NAME=FILE", help=tables)
    at = "with --tables: predict at this moment all rows whose prediction is made then or later (UTC, ISO 8601)"
    parser.add_argument("--at", metavar="MOMENT", help=at)
    output = "Parquet, CSV or TSV, of a learner also .pt; or a database: sqlite:///out.db, postgresql://user@host/db"
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    into = "the table that is made in the database"
    parser.add_argument("--into", metavar="TABLE", help=into)
    rejects = (
        "set rows that break the contract, or hold a value that cannot be read, apart as they came, with the reasons: "
        "in a file, or in a table of the database"
    )
    parser.add_argument("--rejects", metavar="FILE", help=rejects)
    breach = "rows that break the contract (default: as the experiment says): reject and list them, warn, or predict"
    parser.add_argument("--on-breach", choices=["refuse", "warn", "allow"], help=breach)
    _add_loading(parser)
    new = "of a learner: an argument of its datamodule, such as path=new.parquet"
    parser.add_argument("--datamodule", action="append", default=[], metavar="KEY=VALUE", help=new)


def _add_loading(parser: argparse.ArgumentParser) -> None:
    own = "your own package, where the bundle uses it"
    parser.add_argument("--allow", action="append", default=[], metavar="PREFIX", help=own)
    code = "use the code that is here, where the bundle was trained with other code"
    parser.add_argument("--any-code", action="store_true", help=code)


def _predict(options: argparse.Namespace) -> int:
    from treadle.bundle import TARGETS, load
    from treadle.learners.bundle import holds_learner

    targets = [*TARGETS, *options.allow]
    code: Literal["same", "any"] = "any" if options.any_code else "same"
    if holds_learner(options.run_folder):
        return _predict_by_learner(options, targets=targets, code=code)
    _require_rows(options)
    bundle = load(options.run_folder, targets=targets, on_breach=options.on_breach, code=code)
    opened = _open_tables(bundle, options) if options.tables else _open_rows(bundle, options)
    with opened as (source, files):
        return _predict_source(bundle, source, files, options)


def _predict_source(bundle: Predictor, source: RowSource, files: Sequence[str], options: argparse.Namespace) -> int:
    from treadle.bundle.batch import identify, predict_batch
    from treadle.cli.progress import show_rows

    how = {name: getattr(options, name) for name in ("output", "into", "rejects", "at", "any_code")}
    identity = identify(bundle, files=files, options={**how, "on_breach": bundle.on_breach})
    sink = _open_sink(options, identity)
    if sink.tally.num_rows:
        print_lines(f"{sink.tally.num_rows:,} rows are there already  {options.output}")
    with show_rows(done=sink.tally.num_rows, total=source.num_rows) as report:
        tally = predict_batch(bundle, source, sink, set_apart=options.rejects is not None, report=report)
    if tally.num_broken:
        each = "is set apart" if options.rejects is not None else "is listed"
        where = options.rejects or _name_rejects(options)
        what = (
            f"they have no prediction; each {each} in {where}"
            if tally.num_rejected
            else "they were predicted nevertheless"
        )
        sys.stderr.write(f"treadle predict: {escape_lines(tally.describe())}\n  {escape_lines(what)}\n")
    print_lines(f"{tally.num_rows:,} rows  {options.output}")
    return REJECTED if tally.num_rejected else 0


def _open_sink(options: argparse.Namespace, identity: str) -> Sink:
    from treadle.bundle.batch import DatabaseSink, FileSink
    from treadle.databases import is_database

    rejects = options.rejects or _name_rejects(options)
    if is_database(options.output):
        return DatabaseSink(options.output, table=options.into, rejects=rejects, identity=identity)
    return FileSink(Path(options.output), rejects=Path(rejects), identity=identity)


def _name_rejects(options: argparse.Namespace) -> str:
    if options.into is not None:
        return f"{options.into}_rejected"
    output = Path(options.output)
    return str(output.with_suffix(f".rejected{output.suffix}"))


@contextmanager
def _open_rows(bundle: Predictor, options: argparse.Namespace) -> Iterator[tuple[RowSource, list[str]]]:
    """The rows of a file, and its name."""
    from treadle.bundle.batch import FileSource

    with FileSource.open(options.rows, table=bundle.table) as source:
        yield source, [str(options.rows)]


@contextmanager
def _open_tables(bundle: Predictor, options: argparse.Namespace) -> Iterator[tuple[RowSource, list[str]]]:
    """The examples of raw tables, and the names of the files; prints which rows are left out."""
    from tempfile import TemporaryDirectory

    from treadle.bundle.batch import TablesSource
    from treadle.data.unlabelled import build_unlabelled

    files, at = _read_tables(options.tables), _read_moment(options.at)
    now = at or datetime.now(UTC).replace(tzinfo=None)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = build_unlabelled(bundle.recipe.data, files=files, at=at, root=Path.cwd(), now=now, scratch=folder)
        for warning in made.unmatched:
            sys.stderr.write(f"treadle predict: {escape_lines(warning)}\n")
        print_lines(*(f"{count:,} rows left out  {reason}" for reason, count in made.excluded.items()))
        if made.left_aside:
            print_lines(f"not asked  {', '.join(made.left_aside)}: known only later")
        yield TablesSource(made), list(files.values())


def _read_tables(given: Sequence[str], *, option: str = "--tables") -> dict[str, str]:
    from treadle.errors import TreadleError

    tables: dict[str, str] = {}
    for text in given:
        name, equals, path = text.partition("=")
        if not (name and equals and path):
            raise TreadleError(f"{option}: write NAME=FILE, such as flights=new.parquet; found {text!r}")
        if name in tables:
            raise TreadleError(
                f"{option}: {name!r} is given twice; a pattern reads several files: {name}='new/*.parquet'"
            )
        tables[name] = path
    return tables


def _read_moment(text: str | None) -> datetime | None:
    from treadle.errors import TreadleError
    from treadle.experiment.durations import parse_moment

    try:
        return None if text is None else parse_moment(text)
    except ValueError as error:
        raise TreadleError(f"--at: {error}; found {text!r}") from error


def _predict_by_learner(options: argparse.Namespace, *, targets: Sequence[str], code: Literal["same", "any"]) -> int:
    from treadle.config.overrides import parse, read_value
    from treadle.errors import TreadleError
    from treadle.learners.bundle import load_bundle
    from treadle.learners.predict import predict

    others = (options.rows, options.on_breach, options.at, options.into, options.rejects)
    if options.tables or any(value is not None for value in others):
        raise TreadleError(
            f"{options.run_folder} holds a learner, which predicts what its datamodule's predict_dataloader gives: "
            "leave out ROWS, --tables, --at, --into, --rejects and --on-breach; "
            "--datamodule KEY=VALUE sets an argument of the datamodule"
        )
    arguments = {parse(text).key_or_group: read_value(text) for text in options.datamodule}
    bundle = load_bundle(options.run_folder, targets=targets, code=code)
    print_lines(f"{predict(bundle, output=Path(options.output), datamodule=arguments):,} batches  {options.output}")
    return 0


def _require_rows(options: argparse.Namespace) -> None:
    from treadle.databases import is_database
    from treadle.errors import TreadleError

    is_table = is_database(options.output)
    if is_table != (options.into is not None):
        fix = "--into TABLE names the table" if is_table else f"--into goes with a database; {options.output} is a file"
        raise TreadleError(f"-o: {fix}")
    if options.rejects is not None and options.on_breach in {"warn", "allow"}:
        raise TreadleError(
            f"--rejects sets rows apart, and --on-breach {options.on_breach} predicts them: leave one out"
        )
    if options.at is not None and not options.tables:
        raise TreadleError("--at goes with --tables: the rows of a file hold already what was known")
    if options.rows is None and not options.tables:
        raise TreadleError("name a file of rows: treadle predict RUN ROWS -o FILE, or give --tables NAME=FILE …")
    if options.rows is not None and options.tables:
        raise TreadleError(f"name either a file of rows, {options.rows}, or --tables, from which rows are made")
    if options.datamodule:
        raise TreadleError(f"--datamodule: {options.run_folder} holds no learner")


def _add_serve(parser: argparse.ArgumentParser) -> None:
    run = "a run's folder, a bundle, or `champion`, whose changes it follows (default: champion)"
    parser.add_argument("run_folder", nargs="?", default="champion", metavar="RUN", help=run)
    _add_loading(parser)
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
    _add_loading(parser)


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
    code: Literal["same", "any"] = "any" if options.any_code else "same"
    return Source(options.run_folder, Path.cwd(), targets=[*TARGETS, *options.allow], code=code)


def _replay(options: argparse.Namespace) -> int:
    """Compare both ways, and print the first row that differs."""
    from tempfile import TemporaryDirectory

    from treadle.bundle import TARGETS, load
    from treadle.online.replay import replay

    bundle = load(options.run_folder, targets=[*TARGETS, *options.allow], code="any" if options.any_code else "same")
    now, files = datetime.now(UTC).replace(tzinfo=None), _read_tables(options.replay, option="--replay")
    with TemporaryDirectory() as scratch:
        found = replay(bundle.recipe.data, files=files, root=Path.cwd(), now=now, scratch=Path(scratch))
    print_lines(*(f"{counts.num_events:,} events  {table}" for table, counts in found.counts.items()))
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
    Verb("predict", "Predict the rows of a file with the bundle of a run.", _add_predict, _predict),
    Verb("serve", "Answer requests for predictions over HTTP.", _add_serve, _serve),
    Verb("package", "Write a folder with a bundle and its server, for a container.", _add_package, _package),
)
