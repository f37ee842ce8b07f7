"""Verbs that predict with a bundle."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb
from treadle.printable import escape_lines

REJECTED = 3  # exit code: done, except for rows that break the contract


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or a bundle")
    rows = "Parquet or CSV; none for a learner, whose datamodule says what is predicted"
    parser.add_argument("rows", type=Path, nargs="?", metavar="ROWS", help=rows)
    parser.add_argument(
        "-o", "--output", type=Path, required=True, metavar="FILE", help="Parquet or CSV; of a learner also .pt"
    )
    breach = "rows that break the contract (default: as the experiment says): reject and list them, warn, or predict"
    parser.add_argument("--on-breach", choices=["refuse", "warn", "allow"], help=breach)
    own = "your own package, where the bundle uses it"
    parser.add_argument("--allow", action="append", default=[], metavar="PREFIX", help=own)
    code = "use the code that is here, where the bundle was trained with other code"
    parser.add_argument("--any-code", action="store_true", help=code)
    new = "of a learner: an argument of its datamodule, such as path=new.parquet"
    parser.add_argument("--datamodule", action="append", default=[], metavar="KEY=VALUE", help=new)


def _predict(options: argparse.Namespace) -> int:
    from treadle.bundle import TARGETS, load, predict_file
    from treadle.learners.bundle import holds_learner

    targets = [*TARGETS, *options.allow]
    code: Literal["same", "any"] = "any" if options.any_code else "same"
    if holds_learner(options.run_folder):
        return _predict_by_learner(options, targets=targets, code=code)
    _require_rows(options)
    bundle = load(options.run_folder, targets=targets, on_breach=options.on_breach, code=code)
    predicted = predict_file(bundle, options.rows, output=options.output)
    if predicted.message:
        sys.stderr.write(f"treadle predict: {escape_lines(predicted.message)}\n")
    print_lines(f"{predicted.num_rows:,} rows  {options.output}")
    return REJECTED if predicted.num_rejected else 0


def _predict_by_learner(options: argparse.Namespace, *, targets: Sequence[str], code: Literal["same", "any"]) -> int:
    from treadle.config.overrides import parse, read_value
    from treadle.errors import TreadleError
    from treadle.learners.bundle import load_bundle
    from treadle.learners.predict import predict

    if options.rows is not None or options.on_breach is not None:
        raise TreadleError(
            f"{options.run_folder} holds a learner, which predicts what its datamodule's predict_dataloader gives: "
            "leave out ROWS and --on-breach; --datamodule KEY=VALUE sets an argument of the datamodule"
        )
    arguments = {parse(text).key_or_group: read_value(text) for text in options.datamodule}
    bundle = load_bundle(options.run_folder, targets=targets, code=code)
    print_lines(f"{predict(bundle, output=options.output, datamodule=arguments):,} batches  {options.output}")
    return 0


def _require_rows(options: argparse.Namespace) -> None:
    from treadle.errors import TreadleError

    if options.rows is None:
        raise TreadleError("name a file of rows: treadle predict RUN ROWS -o FILE")
    if options.datamodule:
        raise TreadleError(f"--datamodule: {options.run_folder} holds no learner")


VERBS = (Verb("predict", "Predict the rows of a file with the bundle of a run.", _add_predict, _predict),)
