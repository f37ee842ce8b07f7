"""What may stand in place of a word that is unknown, and how a value is shown."""

from __future__ import annotations

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

SHOWN = 12  # options in a message


WIDTH = 60  # characters of a value in a message


@dataclass(frozen=True)
class Hint:
    """What may stand in place of a word that is unknown."""

    nearest: str = ""
    allowed: tuple[str, ...] = ()

    def __str__(self) -> str:
        listed = ", ".join(self.allowed[:SHOWN]) + (", …" if len(self.allowed) > SHOWN else "")
        parts = (f"Did you mean {self.nearest!r}?" if self.nearest else "", f"Allowed: {listed}" if listed else "")
        return " ".join(part for part in parts if part)


NO_HINT = Hint()


def nearest(word: str, among: Iterable[str]) -> Hint:
    """The closest spelling, and what else is allowed."""
    options = tuple(sorted(among))
    return Hint(find_nearest(word, options), options)


def nearest_key(key: str, siblings: Iterable[str]) -> Hint:
    """`nearest` among the keys of one section: that they share its name does not make two alike."""
    section, dot, name = key.rpartition(".")
    hint = nearest(name, [sibling.rpartition(".")[2] for sibling in siblings])
    full = [f"{section}{dot}{word}" for word in (hint.nearest, *hint.allowed)]
    return Hint(full[0] if hint.nearest else "", tuple(full[1:]))


def find_nearest(word: str, options: Iterable[str]) -> str:
    """The closest spelling, or an empty text where none is close; case does not count."""
    by_lower: dict[str, str] = {}
    for option in options:
        by_lower.setdefault(option.lower(), option)
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else ""


def show(value: Any) -> str:
    """A value as YAML writes it, on one line."""
    text = {None: "null", True: "true", False: "false"}.get(value) if value is None or isinstance(value, bool) else None
    text = repr(value) if text is None else text
    return text if len(text) <= WIDTH else f"{text[: WIDTH - 1]}…"
