"""What is wrong with a configuration: rule, value, place, fix, for every mistake at once."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass

from treadle.schema import TreadleError

SHOWN = 12  # options in a message


@dataclass(frozen=True)
class Problem:
    """One mistake at one key."""

    key: str  # dotted; empty where the mistake has no key
    rule: str  # what holds, and what stands there instead
    fix: str = ""
    place: str = ""  # file:line, or the override on the command line

    def __str__(self) -> str:
        head = "  ".join(part for part in (self.key, self.place) if part)
        return "\n".join(f"  {line}" for line in (head, f"  {self.rule}", f"  {self.fix}") if line.strip())


class ConfigError(TreadleError):
    """Every problem of one configuration."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{count} in the configuration\n\n" + "\n\n".join(map(str, problems)))


def nearest(word: str, among: Iterable[str]) -> str:
    """A sentence that names the closest spelling and what else is allowed."""
    options = sorted(among)
    if not options:
        return ""
    close = difflib.get_close_matches(word, options, n=1, cutoff=0.6)
    listed = ", ".join(options[:SHOWN]) + (", …" if len(options) > SHOWN else "")
    return (f"Did you mean {close[0]!r}? " if close else "") + f"Allowed: {listed}"
