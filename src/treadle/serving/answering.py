"""A bundle's answers to rows; those that come without their past are completed from events."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from polars.exceptions import PanicException, PolarsError

from treadle.bundle import Predictor
from treadle.errors import TreadleError
from treadle.online.feeds import Online
from treadle.online.rows import RowsError
from treadle.serving.completion import Completion
from treadle.serving.engines import Engine
from treadle.serving.expressions import UnknownError
from treadle.serving.scorer import Answer, Problem, Scorer, refuse, say

Question = tuple[Any, datetime]  # a row, and until when events count for it


class Answerer:
    """Answers rows. It is used by one thread at a time.

    Args:
        bundle: that predicts.
        online: the state of its feeds; None: every row brings its past.
        engine: that computes the predictions; None: torch itself.
    """

    def __init__(self, bundle: Predictor, *, online: Online | None, engine: Engine | None = None) -> None:
        self.scorer = Scorer(bundle, engine)
        self.online = online
        self.program, self.reason = _compile(bundle, online)
        self._past = [] if online is None else _list_past(bundle, online)

    def ask(self, rows: Sequence[Any], *, moments: Sequence[datetime]) -> list[Answer]:
        """An answer for each row, in their order.

        Args:
            rows: as JSON has them: examples, or rows of the examples' table that have no column of the past.
            moments: of each row, until when events count.
        """
        bare = [place for place, row in enumerate(rows) if self._is_bare(row)]
        if not bare:
            return self.scorer.ask(rows)
        assert self.online is not None, "no row is bare without it"
        self.online.catch_up()
        questions = [(rows[place], moments[place]) for place in bare]
        completed = dict(zip(bare, self._complete(questions, self.online), strict=True))
        read = [completed[place] if place in completed else self.scorer.read(row) for place, row in enumerate(rows)]
        return self.scorer.predict(read)

    def _is_bare(self, row: Any) -> bool:
        return bool(self._past) and isinstance(row, dict) and not any(name in row for name in self._past)

    def _complete(self, questions: Sequence[Question], online: Online) -> list[Answer]:
        """Each row read, by the program where it can."""
        read = [self._complete_plainly(row, moment) for row, moment in questions]
        others = [question for question, answer in zip(questions, read, strict=True) if answer is None]
        if self.program is not None:
            self.scorer.num_by_polars += len(others)
        completed = iter(self._complete_by_polars(others, online))
        return [next(completed) if answer is None else answer for answer in read]

    def _complete_plainly(self, row: Any, moment: datetime) -> Answer | None:
        if self.program is None:
            return None
        try:
            return self.scorer.hold(self.program.complete(row, now=moment))
        except (ArithmeticError, ValueError):
            return None

    def _complete_by_polars(self, questions: Sequence[Question], online: Online) -> list[Answer]:
        """Where one cannot be completed, the others are."""
        if not questions:
            return []
        rows, moments = zip(*questions, strict=True)
        try:
            return self.scorer.read_frame(online.complete(list(rows), moments=moments))
        except RowsError as error:
            problems: dict[int, list[Problem]] = {}
            for fault in error.faults:
                problems.setdefault(fault.row, []).append(Problem(fault.column, fault.value, fault.rule))
            kept = [question for place, question in enumerate(questions) if place not in problems]
            others = iter(self._complete_by_polars(kept, online))
            return [refuse(*problems[place]) if place in problems else next(others) for place in range(len(rows))]
        except (TreadleError, PolarsError, PanicException, ArithmeticError) as error:
            if len(rows) == 1:
                return [refuse(Problem(None, None, say(error)))]
            middle = len(rows) // 2
            return [
                *self._complete_by_polars(questions[:middle], online),
                *self._complete_by_polars(questions[middle:], online),
            ]


def _compile(bundle: Predictor, online: Online | None) -> tuple[Completion | None, str]:
    """The completion program; or none, and why rows without their past go through Polars."""
    if online is None:
        return None, ""
    try:
        return Completion(online, bundle.columns), ""
    except UnknownError as error:
        return None, str(error)


def _list_past(bundle: Predictor, online: Online) -> list[str]:
    """The columns by which a row that brings its past is told from one that does not."""
    past = [name for name in online.columns if name in bundle.columns]
    return [name for name in past if name not in online.row_columns] or past
