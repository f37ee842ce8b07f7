"""A verb of the command line: its arguments beside the function that they are for, and arguments that verbs share."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple  # not a dataclass: `dataclasses` alone takes 5 ms to import


class Verb(NamedTuple):
    """One verb, such as `treadle check`."""

    name: str
    purpose: str  # one sentence, for the help
    add_arguments: Callable[[argparse.ArgumentParser], None]
    execute: Callable[[argparse.Namespace], int | None]  # gives the exit code; None is 0


def add_overrides(parser: argparse.ArgumentParser) -> None:
    """Any number of Hydra overrides, anywhere between the options: `overrides`."""
    text = "Hydra overrides: experiment=flights_linear model=mlp schedule.max_epochs=3"
    parser.add_argument("overrides", nargs="*", metavar="OVERRIDE", help=text)


def add_selection(parser: argparse.ArgumentParser) -> None:
    """`--selection FILE`: the overrides that DVC keeps."""
    parser.add_argument("--selection", type=Path, metavar="FILE", help="take the selection of a params.yaml")
