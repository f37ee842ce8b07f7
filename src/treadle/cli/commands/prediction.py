"""The verb that predicts rows in batches."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.loading import add_loading, read_code, read_tables
from treadle.cli.output import print_lines
from treadle.cli.verb import Verb
from treadle.printable import escape_lines
from treadle.secrets import redact
from treadle.wording import number_of

if TYPE_CHECKING:
    from treadle.bundle import Predictor
    from treadle.bundle.batch import RowSource, Sink, Workers
    from treadle.schema import UsableCode

REJECTED = 3  # exit code: done, except for rows that break the contract


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or a bundle")
    rows = "a file, or its address; none with --tables, or for a learner, whose datamodule says what is predicted"
    parser.add_argument("rows", nargs="?", metavar="ROWS", help=rows)
    tables = "make the rows from raw tables, as the run declares it: flights=new.parquet weather=weather.parquet"
    parser.add_argument("--tables", nargs="+", default=[], metavar="NAME=FILE", help=tables)
    at = "with --tables: predict at this moment all rows whose prediction is made then or later (UTC, ISO 8601)"
    parser.add_argument("--at", metavar="MOMENT", help=at)
    output = "Parquet, CSV or TSV, of a learner also .pt; or a database: sqlite:///out.db, postgresql://user@host/db"
    parser.add_argument("-o", "--output", required=True, metavar="FILE", help=output)
    into = "the table that is made in the database"
    parser.add_argument("--into", metavar="TABLE", help=into)
    inputs = (
        "also write the columns of the rows, but private ones and images, and the bundle's digest: a log for "
        "`treadle monitor`"
    )
    parser.add_argument("--inputs", action="store_true", help=inputs)
    rejects = (
        "set rows that break the contract, or hold a value that cannot be read, apart as they came, with the reasons: "
        "in a file, or in a table of the database"
    )
    parser.add_argument("--rejects", metavar="FILE", help=rejects)
    breach = "rows that break the contract (default: as the experiment says): reject and list them, warn, or predict"
    parser.add_argument("--on-breach", choices=["refuse", "warn", "allow"], help=breach)
    add_loading(parser)
    ray = "predict on the CPUs of a Ray cluster, such as ray://head:10001 or auto; local: of this machine (extra ray)"
    parser.add_argument("--ray", metavar="ADDRESS", help=ray)
    new = "of a learner: an argument of its datamodule, such as path=new.parquet"
    parser.add_argument("--datamodule", action="append", default=[], metavar="KEY=VALUE", help=new)


def _predict(options: argparse.Namespace) -> int:
    from treadle.bundle import TARGETS, load
    from treadle.learners.bundle import holds_learner

    targets = [*TARGETS, *options.allow]
    code = read_code(options)
    if holds_learner(options.run_folder):
        return _predict_by_learner(options, targets=targets, code=code)
    _require_rows(options)
    bundle = load(options.run_folder, targets=targets, on_breach=options.on_breach, code=code)
    opened = _open_tables(bundle, options) if options.tables else _open_rows(bundle, options)
    with opened as (source, files), _open_workers(options, targets=targets, code=code) as workers:
        return _predict_source(bundle, source, files, options, workers=workers)


@contextmanager
def _open_workers(options: argparse.Namespace, *, targets: Sequence[str], code: UsableCode) -> Iterator[Workers | None]:
    """Those of `--ray`; None: this process predicts."""
    if options.ray is None:
        yield None
        return
    from treadle.bundle.batch.ray_workers import open_ray
    from treadle.bundle.store import find_bundle_folder

    bundle = find_bundle_folder(options.run_folder)
    breach = options.on_breach
    with open_ray(options.ray, bundle=bundle, targets=targets, on_breach=breach, code=code) as workers:
        yield workers


def _predict_source(
    bundle: Predictor, source: RowSource, files: Sequence[str], options: argparse.Namespace, *, workers: Workers | None
) -> int:
    from treadle.bundle.batch import Inputs, identify, predict_batch
    from treadle.bundle.store import find_bundle_folder
    from treadle.champions.bundles import digest_bundle
    from treadle.cli.progress import show_rows

    how = {name: getattr(options, name) for name in ("output", "into", "rejects", "at", "any_code")}
    how |= {"inputs": True} if options.inputs else {}
    beside = None
    if options.inputs:
        beside = Inputs.find(bundle, digest=digest_bundle(find_bundle_folder(options.run_folder)))
    identity = identify(bundle, files=files, options={**how, "on_breach": bundle.on_breach})
    sink = _open_sink(options, identity)
    if sink.tally.num_rows:
        print_lines(f"there already: {number_of(sink.tally.num_rows, 'row')}  {redact(options.output)}")
    with show_rows(done=sink.tally.num_rows, total=source.num_rows) as report:
        set_apart = options.rejects is not None
        tally = predict_batch(bundle, source, sink, set_apart=set_apart, report=report, workers=workers, beside=beside)
    if tally.num_broken:
        each = "is set apart" if options.rejects is not None else "is listed"
        where = options.rejects or _name_rejects(options)
        what = (
            f"they have no prediction; each {each} in {where}"
            if tally.num_rejected
            else "they were predicted nevertheless"
        )
        sys.stderr.write(f"treadle predict: {escape_lines(tally.describe())}\n  {escape_lines(what)}\n")
    print_lines(f"{number_of(tally.num_rows, 'row')}  {redact(options.output)}")
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
    from treadle.experiment.files import locate

    with FileSource.open(locate(options.rows, root=Path.cwd()), table=bundle.table) as source:
        yield source, [options.rows]


@contextmanager
def _open_tables(bundle: Predictor, options: argparse.Namespace) -> Iterator[tuple[RowSource, list[str]]]:
    """The examples of raw tables, and the names of the files; prints which rows are left out."""
    from tempfile import TemporaryDirectory

    from treadle.bundle.batch import TablesSource
    from treadle.data.unlabelled import build_unlabelled

    files, at = read_tables(options.tables), _read_moment(options.at)
    now = at or datetime.now(UTC).replace(tzinfo=None)
    with TemporaryDirectory() as scratch:
        folder = Path(scratch)
        made = build_unlabelled(bundle.recipe.data, files=files, at=at, root=Path.cwd(), now=now, scratch=folder)
        for warning in made.unmatched:
            sys.stderr.write(f"treadle predict: {escape_lines(warning)}\n")
        print_lines(*(f"{number_of(count, 'row')} left out  {reason}" for reason, count in made.excluded.items()))
        if made.left_aside:
            print_lines(f"not asked  {', '.join(made.left_aside)}: known only later")
        yield TablesSource(made), list(files.values())


def _read_moment(text: str | None) -> datetime | None:
    from treadle.errors import TreadleError
    from treadle.experiment.durations import parse_moment

    try:
        return None if text is None else parse_moment(text)
    except ValueError as error:
        raise TreadleError(f"--at: {error}; found {text!r}") from error


def _predict_by_learner(options: argparse.Namespace, *, targets: Sequence[str], code: UsableCode) -> int:
    from treadle.config.overrides import parse, read_value
    from treadle.errors import TreadleError
    from treadle.learners.bundle import load_bundle
    from treadle.learners.predict import predict

    others = (options.rows, options.on_breach, options.at, options.into, options.rejects, options.ray)
    if options.tables or options.inputs or any(value is not None for value in others):
        raise TreadleError(
            f"{options.run_folder} holds a learner, which predicts what its datamodule's predict_dataloader gives: "
            "leave out ROWS, --tables, --at, --into, --inputs, --rejects, --ray and --on-breach; "
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


VERBS = (Verb("predict", "Predict the rows of a file with the bundle of a run.", _add_predict, _predict),)
