"""What verbs that load a bundle share on the command line."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.schema import UsableCode


def add_loading(parser: argparse.ArgumentParser) -> None:
    """Add what a bundle may build, and which code it may run."""
    own = "your own package, where the bundle uses it"
    parser.add_argument("--allow", action="append", default=[], metavar="PREFIX", help=own)
    code = "use the code that is here, where the bundle was trained with other code"
    parser.add_argument("--any-code", action="store_true", help=code)


def read_code(options: argparse.Namespace) -> UsableCode:
    """Whether code other than the bundle was trained with may run."""
    return "any" if options.any_code else "same"


def read_tables(given: Sequence[str], *, option: str = "--tables") -> dict[str, str]:
    """Files by table's name, from `NAME=FILE` each."""
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
