"""Rows of a request to predictions, with one bundle: the row program where there is one, else Polars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any, NamedTuple

import polars as pl
import torch
from polars.exceptions import PanicException, PolarsError
from torch import Tensor, nn

from treadle.bundle import Bundle, Predictor
from treadle.errors import TreadleError
from treadle.features.featurizer import Raw
from treadle.hints import nearest_given
from treadle.printable import SHOWN, abbreviate, escape
from treadle.serving.engines import EAGER, Engine
from treadle.serving.expressions import Cells, UnknownError
from treadle.serving.readers import Check, OddError, Reader, list_types, make_check, make_reader, to_cells, to_frame
from treadle.serving.row import RowProgram

_OF_ROW = ": row 1 holds"  # which a batch needs to say


class Problem(NamedTuple):
    """Why a row has no prediction, or should not have one."""

    column: str | None  # None: the whole row
    value: str | None  # as it came
    rule: str


@dataclass(frozen=True)
class Answer:
    """What a row gets: a prediction, or problems."""

    cells: Cells | None  # as they were read; None: they could not be
    prediction: Mapping[str, Any] | None
    problems: tuple[Problem, ...] = ()  # with a prediction: warnings


class _Field(NamedTuple):
    name: str
    source: str  # the name that it may have instead
    read: Reader
    check: Check | None


class Scorer:
    """Predicts rows with a bundle, by an engine where there is one. It is used by one thread at a time."""

    def __init__(self, bundle: Predictor, engine: Engine | None = None) -> None:
        self.bundle = bundle
        self._engine = engine  # None: torch itself
        self.num_by_polars = 0  # rows that only Polars could read
        self.types = list_types(bundle.columns)
        empty = to_frame([], self.types)
        self.outputs = {series.name: series.dtype for series in bundle.name_outputs(bundle.compute(empty))}
        self._fields = [
            _Field(name, column.name_in_file(name), make_reader(column), make_check(column))
            for name, column in bundle.columns.items()
        ]
        self._program, self.reason = _compile(bundle)
        if isinstance(bundle, Bundle) and isinstance(bundle.model, nn.Module):
            bundle.model.eval()

    @property
    def engine(self) -> str:
        """What computes the predictions."""
        return EAGER if self._engine is None else self._engine.name

    def ask(self, rows: Sequence[Any]) -> list[Answer]:
        """An answer for each row, in their order; a row that has none does not keep others from theirs."""
        return self.predict([self.read(row) for row in rows])

    @torch.no_grad()
    def predict(self, given: Sequence[Answer]) -> list[Answer]:
        """Rows that were read, with their predictions."""
        answers = list(given)
        places = [place for place, answer in enumerate(answers) if answer.cells is not None]
        cells = [answers[place].cells or () for place in places]
        for place, predicted in zip(places, self._predict(cells), strict=True):
            read = answers[place]
            problems = (predicted,) if isinstance(predicted, Problem) else read.problems
            prediction = None if isinstance(predicted, Problem) else predicted
            answers[place] = Answer(read.cells, prediction, problems)
        return answers

    # --- reading

    def read(self, row: Any) -> Answer:
        """The cells of a row as JSON has it, or its problems."""
        if not isinstance(row, dict):
            return refuse(Problem(None, abbreviate(row), "a row must be an object with a value for each column"))
        try:
            return self.hold(tuple(read(row[name]) for name, _, read, _ in self._fields))
        except (OddError, KeyError):
            return self._hold(self._read_by_polars(row))

    def read_frame(self, frame: pl.DataFrame) -> list[Answer]:
        """The cells of examples as the stage `prepare` makes them, or their problems.

        Raises:
            TreadleError: they have not the columns of the bundle, or not in their types.
        """
        return [self.hold(cells) for cells in to_cells(self.bundle.conform(frame))]

    def hold(self, cells: Cells) -> Answer:
        """The cells of an example, against the contract."""
        return self._hold(Answer(cells, None))

    def _hold(self, read: Answer) -> Answer:
        """A row against the contract."""
        if read.cells is None or self.bundle.on_breach == "allow":
            return read
        pairs = zip(self._fields, read.cells, strict=True)
        if any(field.check is not None and field.check(cell) for field, cell in pairs):
            return self._find_breaches(read.cells)
        return read

    def _read_by_polars(self, row: Mapping[str, Any]) -> Answer:
        self.num_by_polars += 1
        given, problems = {}, []
        for name, source, _, _ in self._fields:
            key = name if name in row else source
            if key not in row:
                hint = nearest_given(name, map(str, islice(row, SHOWN)))
                problems.append(Problem(name, None, f"the row has no column {name!r}. {hint}".strip()))
            elif not isinstance(row[key], bool | int | float | str | None):
                problems.append(Problem(name, abbreviate(row[key]), "must be a text, a number, true, false or null"))
            else:
                given[name] = row[key]
        if problems:
            return refuse(*problems)
        try:
            return Answer(to_cells(self.bundle.conform(given))[0], None)
        except (TreadleError, PolarsError, PanicException, OverflowError, TypeError) as error:
            return refuse(*(self._find_unread(given) or [Problem(None, None, say(error))]))

    def _find_unread(self, given: Mapping[str, Any]) -> Iterable[Problem]:
        """A problem for each value that cannot be read, or that only Polars finds fault with."""
        absent = dict.fromkeys(given)
        problems = []
        for (name, _, read, _), value in zip(self._fields, given.values(), strict=True):
            try:
                read(value)
            except OddError:
                try:
                    self.bundle.conform({**absent, name: value})
                except (TreadleError, PolarsError, PanicException, OverflowError, TypeError) as error:
                    problems.append(Problem(name, abbreviate(value), say(error).partition(_OF_ROW)[0]))
        return problems

    def _find_breaches(self, cells: Cells) -> Answer:
        found = self.bundle.find_breaches(to_frame([cells], self.types))
        problems = tuple(Problem(*breach) for breach in found.select("column", "value", "rule").iter_rows())
        return Answer(None if problems and self.bundle.on_breach == "refuse" else cells, None, problems)

    # --- predicting

    def _predict(self, rows: list[Cells]) -> list[Mapping[str, Any] | Problem]:
        """A prediction for each row; where one fails, halves find it."""
        if not rows:
            return []
        try:
            return self._name(self._compute(rows))
        except (TreadleError, PolarsError, PanicException) as error:
            if len(rows) == 1:
                return [Problem(None, None, say(error))]
            middle = len(rows) // 2
            return [*self._predict(rows[:middle]), *self._predict(rows[middle:])]

    def _compute(self, rows: list[Cells]) -> Tensor:
        """Calibrated predictions."""
        raw = self._read_raw(rows)
        if self._engine is not None:
            assert isinstance(self.bundle, Bundle), "others have no graph"
            return self._engine.predict(raw or self.bundle.featurizer.read(to_frame(rows, self.types)))
        if raw is None:
            return self.bundle.calibrate(self.bundle.compute(to_frame(rows, self.types)))
        assert isinstance(self.bundle, Bundle), "others have no program"
        assert self._program is not None, "it has read the rows"
        return self.bundle.calibrate(self.bundle.predict_inputs(self._program.transform(raw)))

    def _read_raw(self, rows: list[Cells]) -> Raw | None:
        """What the transforms take, by the row program; None where only Polars computes it."""
        if self._program is None:
            return None
        try:
            return self._program.read(rows)
        except (ArithmeticError, ValueError):
            self.num_by_polars += len(rows)
            return None

    def _name(self, outputs: Tensor) -> list[Mapping[str, Any] | Problem]:
        columns = self.bundle.list_calibrated(outputs)
        return [dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)]


def _compile(bundle: Predictor) -> tuple[RowProgram | None, str]:
    """The row program; or none, and why all rows go through Polars."""
    if not isinstance(bundle, Bundle):
        return None, "the members of a blend have features of their own"
    try:
        return RowProgram(bundle), ""
    except UnknownError as error:
        return None, str(error)


def refuse(*problems: Problem) -> Answer:
    """The answer to a row that has no prediction."""
    return Answer(None, None, problems)


def say(error: BaseException) -> str:
    """An error in one line, for a problem."""
    text = escape(str(error).splitlines()[0]) if str(error) else type(error).__name__
    return text if len(text) <= 4 * SHOWN else f"{text[: 4 * SHOWN]}…"
