"""What the command line takes: verbs, their options, and overrides anywhere between them."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import NoReturn

from treadle.cli.commands import VERBS
from treadle.hints import find_nearest


class _Parser(argparse.ArgumentParser):
    """Tells of a missing argument which option may have taken it, and of an unknown option which one is near."""

    def error(self, message: str) -> NoReturn:
        places = {action.metavar for action in self._actions if not action.option_strings}
        missing = places.intersection(message.rpartition(": ")[2].split(", "))
        lists = (action for action in self._actions if action.option_strings and action.nargs == "+")
        greedy = [action.option_strings[-1] for action in lists]
        if greedy and missing and "required" in message:
            message += f"; write it before {', '.join(greedy)}: they take every word that follows"
        super().error(message)

    def refuse(self, words: Sequence[str]) -> NoReturn:
        """Tell of words that are no argument of this verb, and the option that the first one may mean."""
        wrong = next((word.partition("=")[0] for word in words if word.startswith("-")), "")
        meant = find_nearest(wrong, [name for action in self._actions for name in action.option_strings])
        hint = f"; did you mean {meant}?" if meant else ""
        self.error(f"unrecognized arguments: {' '.join(words)}{hint}")


def read_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Options and overrides in any order, as Hydra takes them (argparse alone wants overrides in one piece)."""
    parser = build_parser()
    given, typed = _split_typed(list(arguments))
    options, rest = parser.parse_known_args(given)
    if any(word.startswith("-") for word in rest) or (rest and not hasattr(options, "overrides")):
        options.own_parser.refuse(rest)
    if rest:
        options.overrides += rest
    options.typed, options.parser = typed, parser
    return options


def _split_typed(arguments: list[str]) -> tuple[list[str], list[str]]:
    """Apart from what follows `completion SHELL --words`: any half-typed word, `--` too, which argparse would take."""
    end = 3 if arguments[:1] == ["completion"] and arguments[2:3] == ["--words"] else len(arguments)
    return arguments[:end], arguments[end:]


def build_parser() -> argparse.ArgumentParser:
    """Every verb, in the order of the help."""
    from treadle import __version__

    parser = _Parser(
        prog="treadle",
        description="One composed configuration describes the whole ML lifecycle.",
        epilog="Start with: treadle run. Overrides: treadle run model=mlp schedule.max_epochs=3",
        formatter_class=lambda prog: argparse.HelpFormatter(prog, max_help_position=16),
    )
    parser.add_argument("--version", action="version", version=f"treadle {__version__}")
    verbs = parser.add_subparsers(dest="verb", required=True, metavar="VERB")
    for verb in VERBS.values():
        inner = verbs.add_parser(verb.name, help=verb.purpose, description=verb.purpose)
        inner.add_argument("--traceback", action="store_true", help="show where in the code an error comes from")
        inner.set_defaults(own_parser=inner)
        verb.add_arguments(inner)
    return parser
