"""Verbs that make a project."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from treadle.cli.verb import Verb


def _add_init(parser: argparse.ArgumentParser) -> None:
    # NAME stands first: behind --from, --target, --keep, --drop or --missing it would be one more of theirs.
    parser.usage = "%(prog)s NAME --from FILE [FILE ...] --target COLUMN [COLUMN ...] [options]"
    parser.add_argument("folder", metavar="NAME", type=Path, help="the new project's folder")
    source = "files, patterns or an address (https://, s3://); or sqlite:///file.db, postgresql://host/database"
    parser.add_argument("--from", dest="sources", nargs="+", required=True, metavar="FILE", help=source)
    target = "the column to predict; several: each is a label of two values, and a row may have any of them"
    parser.add_argument("--target", nargs="+", required=True, metavar="COLUMN", help=target)
    time = "the time at which each prediction is made: the split tests on the latest rows"
    parser.add_argument("--time", metavar="COLUMN", help=time)
    parser.add_argument("--group", metavar="COLUMN", help="all rows of one group are in the same split")
    parser.add_argument("--weight", metavar="COLUMN", help="the weight of each row in training")
    task = "where the target leaves it open"
    parser.add_argument("--task", choices=["binary", "multiclass", "regression", "count"], help=task)
    parser.add_argument("--positive", metavar="VALUE", help="of a binary target, the value of the positive class")
    many: dict[str, Any] = {"nargs": "+", "default": [], "metavar": "COLUMN"}
    parser.add_argument("--keep", **many, help="use these, though they look like a leak or an identifier")
    parser.add_argument("--drop", **many, help="leave these out")
    parser.add_argument("--missing", **{**many, "metavar": "TEXT"}, help="further texts that stand for a missing value")
    parser.add_argument("--encoding", metavar="NAME", help="of text files, where it cannot be detected")
    parser.add_argument("--table", metavar="NAME", help="of a database; of an Excel file the sheet")


def _init(options: argparse.Namespace) -> None:
    from treadle.console import Console
    from treadle.scaffold.init import Origin, init
    from treadle.scaffold.planning.plan import Request
    from treadle.scaffold.summary import print_summary

    request = Request(
        target=options.target[0],
        labels=tuple(options.target[1:]),
        time=options.time,
        group=options.group,
        weight=options.weight,
        task=options.task,
        positive=options.positive,
        keep=tuple(options.keep),
        drop=tuple(options.drop),
    )
    origin = Origin(options.sources, table=options.table, missing=options.missing, encoding=options.encoding)
    made = init(options.folder, origin=origin, request=request)
    print_summary(made, Console(width=120))


VERBS = (Verb("init", "Make a project from a table: read, classify and document its columns.", _add_init, _init),)
