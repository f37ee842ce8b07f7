"""Parts of an error message: what is wrong with a value, the nearest spelling, and the value itself."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from treadle.keys import get_name, get_section, join

SHOWN = 12  # options in a message
FEW = 5  # options that a message lists beside the nearest one
WIDTH = 60  # characters of a value in a message


@dataclass(frozen=True)
class Hint:
    """What may replace an unknown name or value, or what was given in place of one that is wanted."""

    nearest: str = ""
    allowed: tuple[str, ...] = ()
    command: str = ""  # lists all that is allowed
    heading: str = "Allowed"  # of the names

    def __str__(self) -> str:
        """The nearest spelling; what is allowed, if there is little of it or nothing is near."""
        shown = () if self.nearest and len(self.allowed) > FEW else self.allowed[:SHOWN]
        is_cut = len(shown) < len(self.allowed)
        parts = (
            f"Did you mean {self.nearest!r}?" if self.nearest else "",
            f"{self.heading}: {', '.join(shown)}{', …' if is_cut else ''}" if shown else "",
            f"`{self.command}` lists all." if self.command and is_cut else "",
        )
        return " ".join(part for part in parts if part)


NO_HINT = Hint()


@dataclass(frozen=True)
class Fault:
    """What is wrong with a single value, independent of its key."""

    rule: str  # what must hold, and what was found instead
    fix: str = ""  # in words
    hint: Hint = NO_HINT
    offset: int = 0  # of an expression: characters from the start of its text


def nearest(word: str, among: Iterable[str], *, command: str = "") -> Hint:
    """The closest spelling, and what else is allowed; `command` lists all of it."""
    options = tuple(sorted(among))
    return Hint(find_nearest(word, options), options, command)


def nearest_given(wanted: str, given: Iterable[str]) -> Hint:
    """The closest spelling among what was given in place of a name that is wanted, and all of it."""
    options = tuple(sorted(given))
    return Hint(find_nearest(wanted, options), options, heading="Given")


def nearest_key(key: str, siblings: Iterable[str]) -> str:
    """The closest spelling among the keys of one section: that they share its name does not make two alike."""
    found = find_nearest(get_name(key), map(get_name, siblings))
    return join(get_section(key), found) if found else ""


def find_nearest(word: str, options: Iterable[str]) -> str:
    """The closest spelling, or an empty text where none is close; case does not count."""
    by_lower: dict[str, str] = {}
    for option in options:
        by_lower.setdefault(option.lower(), option)
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else ""


def show(value: Any) -> str:
    """A value as YAML writes it, on one line."""
    text = _write(value)
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"


def _write(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_write(inner)}" for name, inner in value.items()) + "}"
    return f"[{', '.join(map(_write, value))}]" if isinstance(value, list) else repr(value)
