"""Verbs that predict with a bundle."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Literal

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb
from treadle.printable import escape_lines

REJECTED = 3  # exit code: done, except for rows that break the contract


def _add_predict(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or a bundle")
    parser.add_argument("rows", type=Path, metavar="ROWS", help="Parquet or CSV")
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help="Parquet or CSV")
    breach = "rows that break the contract (default: as the experiment says): reject and list them, warn, or predict"
    parser.add_argument("--on-breach", choices=["refuse", "warn", "allow"], help=breach)
    own = "your own package, where the bundle uses it"
    parser.add_argument("--allow", action="append", default=[], metavar="PREFIX", help=own)
    code = "use the code that is here, where the bundle was trained with other code"
    parser.add_argument("--any-code", action="store_true", help=code)


def _predict(options: argparse.Namespace) -> int:
    from treadle.bundle import TARGETS, load, predict_file

    targets = [*TARGETS, *options.allow]
    code: Literal["same", "any"] = "any" if options.any_code else "same"
    bundle = load(options.run_folder, targets=targets, on_breach=options.on_breach, code=code)
    predicted = predict_file(bundle, options.rows, output=options.output)
    if predicted.message:
        sys.stderr.write(f"treadle predict: {escape_lines(predicted.message)}\n")
    print_lines(f"{predicted.num_rows:,} rows  {options.output}")
    return REJECTED if predicted.num_rejected else 0


VERBS = (Verb("predict", "Predict the rows of a file with the bundle of a run.", _add_predict, _predict),)
