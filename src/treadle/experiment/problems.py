"""What is wrong with a configuration: rule, value, place, fix, for every mistake at once."""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from treadle.experiment.locations import NOWHERE, Place
from treadle.printable import escape
from treadle.schema import TreadleError

SHOWN = 12  # options in a message
WIDTH = 60  # characters of a value in a message

Format = Literal["text", "json", "github"]


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


@dataclass(frozen=True)
class Problem:
    """One mistake at one key."""

    key: str  # dotted; empty where the mistake has no key
    rule: str  # what holds, and what stands there instead
    fix: str = ""  # in words
    place: Place = NOWHERE
    hint: Hint = NO_HINT
    mend: str = ""  # the override that would mend it, where one can

    def __str__(self) -> str:
        head = escape("  ".join(part for part in (self.key, str(self.place)) if part))
        mend = f"to mend it: {self.mend}" if self.mend else ""
        lines = "\n".join(part for part in (self.rule, str(self.hint), self.fix, mend) if part)
        return "\n".join(f"  {line}" for line in (head, *(f"  {line}" for line in lines.splitlines())) if line.strip())

    def to_plain(self) -> dict[str, Any]:
        """Plain values for editors and other programs."""
        return {
            "key": self.key,
            "rule": self.rule,
            "fix": self.fix,
            "nearest": self.hint.nearest,
            "allowed": list(self.hint.allowed),
            "mend": self.mend,
            "file": self.place.file,
            "line": self.place.line,
            "column": self.place.column,
            "override": self.place.override,
        }


class ConfigError(TreadleError):
    """Every problem of one configuration."""

    def __init__(self, problems: list[Problem]) -> None:
        self.problems = problems
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(f"{count} in the configuration\n\n" + "\n\n".join(map(str, problems)))


def report(problems: list[Problem], *, style: Format, severity: Literal["error", "warning"]) -> str:
    """Problems as text, as one JSON document, or as the annotations of GitHub Actions."""
    if style == "json":
        return json.dumps([{"severity": severity, **p.to_plain()} for p in problems], ensure_ascii=False, indent=1)
    if style == "github":
        return "\n".join(_annotate(problem, severity) for problem in problems)
    return "\n\n".join(map(str, problems))


def _annotate(problem: Problem, severity: str) -> str:
    """`::error file=…,line=…,col=…,title=…::message`, with the characters that the format reserves escaped."""
    place = problem.place
    fields = {"file": place.file, "line": place.line, "col": place.column, "title": problem.key or "configuration"}
    listed = ",".join(f"{name}={_escape(str(value), ',:')}" for name, value in fields.items() if value)
    text = "\n".join(line.strip() for line in str(problem).splitlines()[1:]) or problem.rule
    return f"::{severity} {listed}::{_escape(text, '')}"


def _escape(text: str, reserved: str) -> str:
    for character in ("%", "\r", "\n", *reserved):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


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


def unique(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Each mistake once, in the order in which they were found."""
    seen: set[tuple[str, str]] = set()
    for problem in problems:
        if (problem.key, problem.rule) not in seen:
            seen.add((problem.key, problem.rule))
            yield problem
