"""The verb that a shell asks what may be typed next."""

from __future__ import annotations

import argparse
from pathlib import Path

from treadle.cli.output import print_lines
from treadle.cli.verb import Verb


def _add_completion(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("shell", choices=["bash", "zsh", "fish"])
    parser.add_argument("--words", action="store_true", help=argparse.SUPPRESS)


def _completion(options: argparse.Namespace) -> None:
    if not options.words:
        from treadle.cli.completion.scripts import make_script

        print_lines(make_script(options.shell))
    else:
        from treadle.cli.completion.verbs import complete

        print_lines(*complete(options.typed, root=Path.cwd(), parser=options.parser))


VERBS = (Verb("completion", "Print the completion script of a shell.", _add_completion, _completion),)
