"""Problems of a configuration: rule, value, place and fix of every mistake at once."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from treadle.errors import TreadleError
from treadle.hints import NO_HINT, Hint
from treadle.printable import escape
from treadle.secrets import redact

Format = Literal["text", "json", "github"]
Part = Literal["key", "value"]


@dataclass(frozen=True)
class Place:
    """A position in a file, or an override on the command line."""

    file: str = ""
    line: int = 0  # from 1; 0: unknown
    column: int = 0  # from 1
    override: str = ""
    position: int = 0  # of the override on the command line, from 1

    def __str__(self) -> str:
        if self.file:
            return ":".join(str(part) for part in (self.file, self.line, self.column) if part)
        number = f" {self.position}:" if self.position else ""
        return f"override{number} {self.override!r}" if self.override or self.position else ""


NOWHERE = Place()


@dataclass(frozen=True)
class Span:
    """A position inside an expression."""

    text: str  # the whole expression
    offset: int = 0  # characters from its start


@dataclass(frozen=True)
class Problem:
    """One mistake at one key. A check of values finds it without a place: `check.places` adds that."""

    key: str  # dotted; empty where the mistake has no key
    rule: str  # what must hold, and what was found instead
    fix: str = ""  # in words
    place: Place = NOWHERE
    hint: Hint = NO_HINT
    fix_override: str = ""  # the override that fixes it, where one can
    part: Part = "value"  # what is wrong: the key itself, or its value
    span: Span | None = None  # where in the value, of an expression

    def __str__(self) -> str:
        head = escape("  ".join(part for part in (self.key, str(self.place)) if part))
        lines = (head, *(f"  {line}" for line in self.describe().splitlines()))
        return "\n".join(f"  {line}" for line in lines if line.strip())

    def describe(self) -> str:
        """The problem without its key and place."""
        override = f"fix: {self.fix_override}" if self.fix_override else ""
        return "\n".join(part for part in (self.rule, str(self.hint), self.fix, override) if part)

    def to_plain(self) -> dict[str, Any]:
        """Plain values for editors and other programs."""
        return {
            "key": self.key,
            "rule": self.rule,
            "fix": self.fix,
            "nearest": self.hint.nearest,
            "allowed": list(self.hint.allowed),
            "fix_override": self.fix_override,
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
        super().__init__(redact(f"{count} in the configuration\n\n" + "\n\n".join(map(str, problems))))


def report(problems: list[Problem], *, style: Format, severity: Literal["error", "warning"]) -> str:
    """Problems as text, as one JSON document, or as the annotations of GitHub Actions; without passwords."""
    return redact(_report(problems, style, severity))


def _report(problems: list[Problem], style: Format, severity: str) -> str:
    if style == "json":
        return json.dumps([{"severity": severity, **p.to_plain()} for p in problems], ensure_ascii=False, indent=1)
    if style == "github":
        return "\n".join(_annotate(problem, severity) for problem in problems)
    return "\n\n".join(map(str, problems))


def _annotate(problem: Problem, severity: str) -> str:
    """`::error file=…,line=…,col=…,title=…::message`, with the characters that the format reserves escaped."""
    place = problem.place
    fields = {"file": place.file, "line": place.line, "col": place.column, "title": problem.key or "configuration"}
    listed = ",".join(f"{name}={escape_annotation(str(value), ',:')}" for name, value in fields.items() if value)
    return f"::{severity} {listed}::{escape_annotation(problem.describe(), '')}"


def escape_annotation(text: str, reserved: str) -> str:
    """A text of an annotation of GitHub Actions, with what the format reserves escaped."""
    for character in ("%", "\r", "\n", *reserved):
        text = text.replace(character, f"%{ord(character):02X}")
    return text


def unique(problems: Iterable[Problem]) -> Iterator[Problem]:
    """Each mistake once, in the order in which they were found."""
    seen: set[tuple[str, str]] = set()
    for problem in problems:
        if (problem.key, problem.rule) not in seen:
            seen.add((problem.key, problem.rule))
            yield problem
