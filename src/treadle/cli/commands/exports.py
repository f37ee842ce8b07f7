"""The verbs that give a model to other runtimes, or make it smaller."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from treadle.cli.loading import add_loading, read_code
from treadle.cli.output import print_lines
from treadle.cli.verb import Verb

if TYPE_CHECKING:
    import polars as pl

    from treadle.bundle import Predictor

FORMATS = ("onnx", "pt2", "aoti")


def _add_export(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a run's folder, a bundle, or a champion")
    to = "onnx: for ONNX Runtime; pt2: for torch alone; aoti: machine code for torch, by a C++ compiler"
    parser.add_argument("--to", required=True, choices=FORMATS, help=to)
    where = "folder that is written (default: RUN/export/FORMAT, where `treadle serve` finds it)"
    parser.add_argument("-o", "--output", type=Path, metavar="FOLDER", help=where)
    rows = "Parquet or CSV that the graph is compared on (default: the run's test split)"
    parser.add_argument("--rows", type=Path, metavar="FILE", help=rows)
    add_loading(parser)


def _export(options: argparse.Namespace) -> None:
    from treadle.bundle import TARGETS, load
    from treadle.champions.bundles import digest_bundle, find_folder
    from treadle.errors import TreadleError
    from treadle.export.export import export, find_exports, require_network
    from treadle.export.formats import FORMATS as KINDS
    from treadle.learners.bundle import holds_learner

    run = find_folder(options.run_folder, root=Path.cwd())
    if holds_learner(run):
        raise TreadleError(
            f"{run} holds a learner of your own, whose inputs are those of its datamodule: export its network with "
            "torch.export"
        )
    KINDS[options.to].require()
    bundle = load(run, targets=[*TARGETS, *options.allow], code=read_code(options))
    require_network(bundle, source=options.run_folder)
    exports = find_exports(run)
    if options.output is None and exports is None:
        raise TreadleError(f"{run} is a bundle on its own, in no run's folder; name a folder with -o")
    folder = options.output or exports / options.to
    with _open_rows(bundle, run, options.rows) as rows:
        made = export(
            bundle, to=options.to, rows=rows, folder=folder, digest=digest_bundle(run), source=options.run_folder
        )
    size = made.file.stat().st_size
    print_lines(
        f"{options.to}  {made.file}  {size / 1e6:,.1f} MB",
        f"{made.parity.rows} rows differ from the bundle by at most {made.parity.largest_difference:.2g}; "
        f"{made.parity.allowed:g} is allowed",
    )


@contextmanager
def _open_rows(bundle: Predictor, run: Path, file: Path | None) -> Iterator[pl.LazyFrame]:
    """Rows of a file, or of the run's test split."""
    from treadle.bundle.rows import scan_rows
    from treadle.errors import TreadleError
    from treadle.experiment.run_folder import RunFolder
    from treadle.export.export import find_exports

    if file is None:
        exports = find_exports(run)
        file = None if exports is None else RunFolder(exports.parent).examples / "test.parquet"
        if file is None or not file.is_file():
            raise TreadleError(f"{run} has no examples to compare the graph on; name rows with --rows FILE")
    with scan_rows(file, table=bundle.table) as rows:
        yield rows


def _add_compress(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", metavar="RUN", help="a run's folder, or a champion")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FOLDER", help="folder of the bundle")
    tolerance = "by how much evaluation.metric may become worse, as a share of it (default: %(default)s)"
    parser.add_argument("--tolerance", type=float, default=0.001, metavar="SHARE", help=tolerance)
    add_loading(parser)


def _compress(options: argparse.Namespace) -> None:
    import polars as pl

    from treadle.bundle import TARGETS, load
    from treadle.champions.bundles import find_folder
    from treadle.errors import TreadleError
    from treadle.experiment.resolved import read
    from treadle.experiment.run_folder import RunFolder
    from treadle.experiment.spec import Experiment
    from treadle.export.compress import compress

    run = RunFolder(find_folder(options.run_folder, root=Path.cwd()))
    test = run.examples / "test.parquet"
    if not (run.bundle.is_dir() and test.is_file()):
        raise TreadleError(f"{run.path} has no bundle, or no test split to compare on: name the folder of a whole run")
    resolved = run.resolved if run.resolved.is_file() else run.path.parent / run.resolved.name  # DVC's: beside it
    experiment = read(resolved).experiment
    if not isinstance(experiment, Experiment):
        raise TreadleError(f"{run.path} holds a learner of your own, whose weights are its own to store")
    targets, code = [*TARGETS, *options.allow], read_code(options)
    made = compress(
        load(run.bundle, targets=targets, code=code),
        folder=options.output,
        source=run.bundle,
        test=pl.scan_parquet(test),
        experiment=experiment,
        tolerance=options.tolerance,
        targets=targets,
        code=code,
    )
    print_lines(
        f"int8  {made.folder}  {made.size_before:,} -> {made.size:,} bytes; "
        f"{made.num_packed} of {made.num_tensors} tensors are packed",
        f"{made.metric} of {made.num_rows:,} test rows {made.score_before:.6g} -> {made.score:.6g}; predictions differ "
        f"by at most {made.largest_difference:.2g}",
    )


VERBS = (
    Verb("export", "Write the model of a run as one graph for other runtimes.", _add_export, _export),
    Verb("compress", "Write the bundle of a run with its weights in 8 bits.", _add_compress, _compress),
)
