"""The verbs that choose rows to label, and that label those of which a model is sure."""

from __future__ import annotations

import argparse
from pathlib import Path

from treadle.cli.loading import add_loading, read_code
from treadle.cli.output import print_lines
from treadle.cli.verb import Verb
from treadle.wording import number_of


def _add_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or a bundle")
    text = "rows without a label: Parquet, or text in the format of the run's table"
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE", help=text)
    parser.add_argument("--budget", type=int, required=True, metavar="N", help="how many rows are to be labelled")
    text = "margin between the two likeliest classes (default), entropy, or disagreement of a model's members"
    parser.add_argument("--by", choices=["margin", "entropy", "disagreement"], default="margin", help=text)
    text = "the file to fill in: Parquet, CSV or TSV; it must not exist"
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=text)
    add_loading(parser)


def _label(options: argparse.Namespace) -> None:
    from treadle.bundle import TARGETS, load
    from treadle.errors import TreadleError
    from treadle.labelling.select import describe_filling, select_rows, write_selected

    if options.budget < 1:
        raise TreadleError(f"--budget: must be at least 1; found {options.budget}")
    bundle = load(options.run_folder, targets=[*TARGETS, *options.allow], code=read_code(options))
    found = select_rows(bundle, options.rows, by=options.by, budget=options.budget)
    write_selected(found, options.output)
    labelled = f", {found.num_labelled:,} of them labelled already" if found.num_labelled else ""
    print_lines(
        f"{len(found.rows):,} of {number_of(found.num_rows, 'row')}{labelled}  {options.output}",
        *describe_filling(found, bundle.recipe.data),
    )


def _add_pseudo_label(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("run_folder", type=Path, metavar="RUN", help="a run's folder, or a bundle")
    text = "rows without a label: Parquet, or text in the format of the run's table"
    parser.add_argument("--rows", type=Path, required=True, metavar="FILE", help=text)
    text = "the least probability of the predicted class, such as 0.95"
    parser.add_argument("--threshold", type=float, required=True, metavar="P", help=text)
    text = "the file of pseudo-labels, by the table's key: Parquet, CSV or TSV; it must not exist"
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="FILE", help=text)
    add_loading(parser)


def _pseudo_label(options: argparse.Namespace) -> None:
    from treadle.bundle import TARGETS, load
    from treadle.labelling.pseudo import pseudo_label, write_pseudo_labels

    bundle = load(options.run_folder, targets=[*TARGETS, *options.allow], code=read_code(options))
    found = pseudo_label(bundle, options.rows, threshold=options.threshold)
    write_pseudo_labels(found, options.output)
    counts = ", ".join(f"{name} {count:,}" for name, count in found.counts.items())
    print_lines(
        f"{len(found.rows):,} of {number_of(found.num_open, 'row')} without a label  {options.output}",
        f"labels   {counts}",
        "read it  by a join and a rule of data.labels: `treadle explain data.labels`, docs/how-to/pseudo-labels.md",
    )


VERBS = (
    Verb(
        "label",
        "Choose the rows of a file whose labels would teach a model most; writes a file to fill in.",
        _add_label,
        _label,
    ),
    Verb(
        "pseudo-label",
        "Label the rows of a file of which a model is sure; writes a file that the next run reads by a rule.",
        _add_pseudo_label,
        _pseudo_label,
    ),
)
