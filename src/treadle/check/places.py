"""Where a problem stands: the file, line and column, or the override, that sets its key."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

from treadle.config.compose import Composed
from treadle.problems import NOWHERE, Place, Problem, Span


def locate_problems(problems: Iterable[Problem], composed: Composed) -> list[Problem]:
    """The same problems, each with its place: they are looked up here alone, as that takes longer than a check."""
    return [problem if problem.place != NOWHERE else _locate(problem, composed) for problem in problems]


def _locate(problem: Problem, composed: Composed) -> Problem:
    place = composed.locate(problem.key, part=problem.part)
    if problem.span is not None and place.file:
        place = _move(place, problem.span, composed.root / place.file)
    return replace(problem, place=place)


def _move(place: Place, span: Span, file: Path) -> Place:
    """The place inside an expression, where the file holds it as it is."""
    lines = file.read_text(encoding="utf-8").splitlines()
    before = span.text[: span.offset]
    row, column_in_row = before.count("\n"), span.offset - (before.rfind("\n") + 1)
    wanted = span.text.splitlines()[row] if span.text.strip() else ""
    for index in range(place.line - 1, min(len(lines), place.line + len(span.text.splitlines()) + 1)):
        column = lines[index].find(wanted, place.column - 1 if index == place.line - 1 else 0)
        if wanted and column >= 0:
            return replace(place, line=index + 1, column=column + column_in_row + 1)
    return place
