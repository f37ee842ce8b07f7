"""SQL expressions as Python functions of one row, for a server: Polars takes a tenth of a millisecond for any of them.

They are compiled from what Polars would run, in the types that it would have, and give the same values to the last bit.
A value is None (NULL), int, float, str or bool, or a Fraction for an exact decimal; a moment is an int of microseconds
since 1970, as is a duration. All operands are computed, as Polars does. Where Python cannot give Polars' value, a
function raises an `ArithmeticError` or a `ValueError`: the row then goes through Polars.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping, Sequence
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import polars as pl
import sqlglot
from sqlglot import exp

from treadle.serving import scalars
from treadle.sql.dialect import Sql, TranslationError
from treadle.sql.translate import translate
from treadle.sql.types import Types

Cells = Sequence[Any]  # the values of a row, by position
Function = Callable[[Cells], Any]


class UnknownError(ValueError):
    """A part of an expression that only Polars can compute; the text names it."""


class Compiled(NamedTuple):
    """A function of a row's cells, and the kind of value that it gives."""

    kind: str  # int, float, text, bool, moment, duration or null
    function: Function


def compile_expression(text: str, schema: Mapping[str, pl.DataType], places: Mapping[str, int]) -> Function:
    """The expression as a function of a row.

    Args:
        text: SQL, checked.
        schema: types of the columns that it may read.
        places: position of each column among the cells.

    Raises:
        UnknownError: it holds what only Polars computes.
    """
    try:
        translated = translate(text, lambda: schema)
    except TranslationError as error:
        raise UnknownError(str(error)) from error
    types = Types((name, dtype, None) for name, dtype in schema.items())
    return _Compiler(types, places).compile(sqlglot.parse_one(translated.text, dialect=Sql)).function


def find_kind(dtype: pl.DataType) -> str:
    """The kind of the values of a type.

    Raises:
        UnknownError: there is none.
    """
    if dtype.is_integer():
        return "int"
    kind = _KINDS.get(type(dtype))
    if kind is None:
        raise UnknownError(f"values of type {dtype}")
    return kind


_KINDS: dict[type[pl.DataType], str] = {
    pl.Float64: "float",
    pl.String: "text",
    pl.Boolean: "bool",
    pl.Datetime: "moment",
    pl.Duration: "duration",
    pl.Decimal: "decimal",
    pl.Null: "null",
}


class _Compiler:
    """From nodes to functions, by the type that the engine gives to each node."""

    def __init__(self, types: Types, places: Mapping[str, int]) -> None:
        self._types = types
        self._places = places

    def compile(self, node: exp.Expr) -> Compiled:
        rule = _RULES.get(type(node))
        if rule is None:
            raise UnknownError(f"{type(node).__name__.upper()} in {node.sql(dialect=Sql)!r}")
        return rule(self, node)

    def find_kind(self, node: exp.Expr) -> str:
        if isinstance(node, exp.Literal) and not node.is_int and not node.is_string:
            return "float"  # Polars takes it for a decimal until it meets another number
        return find_kind(self._types.find_type(node))

    def compile_as(self, node: exp.Expr, kind: str) -> Function:
        """The node's values in a kind that they convert to without a cast."""
        found = self.compile(node)
        if found.kind in {kind, "null"}:
            return found.function
        if kind == "float" and found.kind in {"int", "decimal"}:
            return _lift(scalars.to_float if found.kind == "int" else scalars.round_decimal, found.function)
        raise UnknownError(f"{node.sql(dialect=Sql)!r} as {kind}, which is {found.kind}")

    def compile_alike(self, *nodes: exp.Expr) -> tuple[str, list[Function]]:
        """Nodes that are compared with each other, in the kind that holds the values of all."""
        kinds = {self.find_kind(node) for node in nodes} - {"null"}
        kind = "float" if kinds == {"int", "float"} else next(iter(kinds), "null")
        return kind, [self.compile_as(node, kind) for node in nodes]

    def read_column(self, node: exp.Expr) -> Compiled:
        if node.name not in self._places:
            raise UnknownError(f"the column {node.name!r}")
        return Compiled(self.find_kind(node), operator.itemgetter(self._places[node.name]))

    def read_literal(self, node: exp.Expr) -> Compiled:
        if node.args["is_string"]:
            return Compiled("text", _always(str(node.this)))
        kind = self.find_kind(node)
        if kind not in {"int", "float"}:
            raise UnknownError(f"the number {node.this}")
        return Compiled(kind, _always(int(node.this) if kind == "int" else float(node.this)))

    def read_interval(self, node: exp.Expr) -> Compiled:
        unit, count = str(node.args["unit"]).upper().removesuffix("S"), node.this
        if unit not in scalars.UNITS or not isinstance(count, exp.Literal) or not str(count.this).isdecimal():
            raise UnknownError(f"the interval {node.sql(dialect=Sql)!r}")
        return Compiled("duration", _always(int(count.this) * scalars.UNITS[unit]))

    def compute(self, node: exp.Expr) -> Compiled:
        """A sum, difference or product."""
        kind, function = self.find_kind(node), scalars.ARITHMETIC[type(node)]
        operands = [node.this, node.expression]
        if kind in {"moment", "duration"}:
            if kind == "duration" and isinstance(node, exp.Mul) and "float" in map(self.find_kind, operands):
                return Compiled(kind, self._stretch(*operands))
            if {self.find_kind(operand) for operand in operands} - {"moment", "duration", "int"}:
                raise UnknownError(node.sql(dialect=Sql))
            parts = [self.compile(operand).function for operand in operands]
            return Compiled(kind, _lift(lambda a, b: scalars.limit(function(a, b)), *parts))
        if kind == "decimal":
            return Compiled(kind, _lift(function, *map(self._compile_exactly, operands)))
        if kind not in {"int", "float"}:
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled(kind, _lift(function, *(self.compile_as(operand, kind) for operand in operands)))

    def _stretch(self, left: exp.Expr, right: exp.Expr) -> Function:
        """A duration times a float, cut off behind the unit in which Polars holds the duration."""
        if self.find_kind(left) == "float":
            left, right = right, left
        dtype = self._types.find_type(left)
        parts = self.compile_as(left, "duration"), self.compile_as(right, "float")
        unit = scalars.UNITS_A_MICROSECOND.get(dtype.time_unit) if isinstance(dtype, pl.Duration) else None
        if unit is None:
            raise UnknownError(f"{left.sql(dialect=Sql)!r}, which is {dtype}")
        return _lift(partial(scalars.stretch, unit=unit), *parts)

    def _compile_exactly(self, node: exp.Expr) -> Function:
        """The values of an operand of decimals: an integer, a decimal, or a literal as it is written."""
        if isinstance(node, exp.Literal):
            return _always(Fraction(str(node.this)))
        found = self.compile(node)
        if found.kind not in {"int", "decimal"}:
            raise UnknownError(node.sql(dialect=Sql))
        return found.function

    def divide(self, node: exp.Expr) -> Compiled:
        left, right = (self.compile_as(operand, "float") for operand in (node.this, node.expression))
        if node.expression.find(exp.Column) is not None:
            return Compiled("float", _lift(scalars.divide, left, right))
        divisor = right(())
        if node.this.find(exp.Column) is None:
            return Compiled("float", _lift(scalars.divide, left, right))
        if divisor is None:
            raise UnknownError(node.sql(dialect=Sql))
        inverse = scalars.divide(1.0, divisor)  # Polars divides by a constant in this way
        return Compiled("float", _lift(lambda value: value * inverse, left))

    def divide_whole(self, node: exp.Expr) -> Compiled:
        parts = (self.compile_as(operand, "int") for operand in (node.this, node.expression))
        return Compiled("int", _lift(scalars.divide_whole, *parts))

    def take_rest(self, node: exp.Expr) -> Compiled:
        left, right = node.expressions if isinstance(node, exp.Anonymous) else (node.this, node.expression)
        kind, parts = self.compile_alike(left, right)
        if kind not in {"int", "float"}:
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled(kind, _lift(scalars.take_whole_rest if kind == "int" else scalars.take_rest, *parts))

    def negate(self, node: exp.Expr) -> Compiled:
        kind = self.find_kind(node)
        return Compiled(kind, _lift(operator.neg, self.compile_as(node.this, kind)))

    def open(self, node: exp.Expr) -> Compiled:
        return self.compile(node.this)

    def compare(self, node: exp.Expr) -> Compiled:
        kind, parts = self.compile_alike(node.this, node.expression)
        functions = scalars.COMPARED_FLOATS if kind == "float" else scalars.COMPARED
        return Compiled("bool", _lift(functions[type(node)], *parts))

    def ask_null(self, node: exp.Expr) -> Compiled:
        if not isinstance(node.expression, exp.Null):
            raise UnknownError(node.sql(dialect=Sql))
        value = self.compile(node.this).function
        return Compiled("bool", lambda cells: value(cells) is None)

    def connect(self, node: exp.Expr) -> Compiled:
        connect = scalars.connect_and if isinstance(node, exp.And) else scalars.connect_or
        left, right = (self.compile_as(operand, "bool") for operand in (node.this, node.expression))
        return Compiled("bool", lambda cells: connect(left(cells), right(cells)))

    def invert(self, node: exp.Expr) -> Compiled:
        return Compiled("bool", _lift(operator.not_, self.compile_as(node.this, "bool")))

    def ask_between(self, node: exp.Expr) -> Compiled:
        kind, (value, low, high) = self.compile_alike(node.this, node.args["low"], node.args["high"])
        at_most = (scalars.COMPARED_FLOATS if kind == "float" else scalars.COMPARED)[exp.LTE]
        lower, upper = _lift(at_most, low, value), _lift(at_most, value, high)
        return Compiled("bool", lambda cells: scalars.connect_and(lower(cells), upper(cells)))

    def ask_in(self, node: exp.Expr) -> Compiled:
        if not node.expressions or not all(isinstance(each, exp.Literal) for each in node.expressions):
            raise UnknownError(node.sql(dialect=Sql))
        _, (value, *allowed) = self.compile_alike(node.this, *node.expressions)
        known = frozenset(each(()) for each in allowed)
        return Compiled("bool", _lift(lambda found: found in known, value))

    def choose_one(self, node: exp.Expr) -> Compiled:
        """IF(condition, value, other)."""
        kind = self.find_kind(node)
        condition, value = self.compile_as(node.this, "bool"), self.compile_as(node.args["true"], kind)
        other = self.compile_as(node.args.get("false") or exp.Null(), kind)
        return Compiled(kind, _choose([condition], [value], other))

    def choose(self, node: exp.Expr) -> Compiled:
        """CASE: the first branch whose condition is true, or whose value equals the operand."""
        kind = self.find_kind(node)
        if node.this is None:
            conditions = [self.compile_as(branch.this, "bool") for branch in node.args["ifs"]]
        else:
            tests = [exp.EQ(this=node.this, expression=branch.this) for branch in node.args["ifs"]]
            conditions = [self.compare(test).function for test in tests]
        default = node.args.get("default") or exp.Null()
        values = [self.compile_as(branch.args["true"], kind) for branch in node.args["ifs"]]
        return Compiled(kind, _choose(conditions, values, self.compile_as(default, kind)))

    def change_type(self, node: exp.Expr) -> Compiled:
        kind, operand = find_kind(self._types.find_type(node)), self.compile(node.this)
        function = scalars.CASTS.get((operand.kind, kind))
        if function is None or self._types.find_type(node) not in scalars.CAST_TO:
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled(kind, _lift(function, operand.function))

    def join(self, node: exp.Expr) -> Compiled:
        parts = (self.compile_as(operand, "text") for operand in (node.this, node.expression))
        return Compiled("text", _lift(operator.add, *parts))

    def read_part(self, node: exp.Expr) -> Compiled:
        named, of = node.expressions if isinstance(node, exp.Anonymous) else (node.this, node.expression)
        part, moment = scalars.PARTS.get(str(named.name).upper()), self.compile(of)
        if part is None or moment.kind != "moment":
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled("int", _lift(part, moment.function))

    def call(self, node: exp.Expr) -> Compiled:
        """A function by its name."""
        name, arguments = str(node.name).upper(), node.expressions
        if name in scalars.OF_FLOATS and len(arguments) == scalars.OF_FLOATS[name][0]:
            parts = (self.compile_as(argument, "float") for argument in arguments)
            return Compiled("float", _lift(scalars.OF_FLOATS[name][1], *parts))
        if name in scalars.KEEPING and len(arguments) == 1:
            kind = self.find_kind(arguments[0])
            if kind in scalars.KEEPING[name]:
                return Compiled(kind, _lift(scalars.KEEPING[name][kind], self.compile_as(arguments[0], kind)))
        if name in _LIKE_NODES and len(arguments) == 2:  # noqa: PLR2004
            return _LIKE_NODES[name](self, node)
        if name in {"COALESCE", "IFNULL", "GREATEST", "LEAST"}:
            return self._reduce(node, scalars.REDUCED[name])
        if name == "NULLIF":
            same = self.compare(exp.EQ(this=arguments[0], expression=arguments[1])).function
            value = self.compile(arguments[0])
            return Compiled(value.kind, _choose([same], [_always(None)], value.function))
        if name == "LENGTH":
            return Compiled("int", _lift(len, self.compile_as(arguments[0], "text")))
        raise UnknownError(f"{name} in {node.sql(dialect=Sql)!r}")

    def _reduce(self, node: exp.Expr, function: Callable[[list[Any]], Any]) -> Compiled:
        kind = self.find_kind(node)
        parts = [self.compile_as(argument, kind) for argument in node.expressions]

        def reduce(cells: Cells) -> Any:
            known = [value for part in parts if (value := part(cells)) is not None]
            return function(known) if known else None

        return Compiled(kind, reduce)


def _always(value: Any) -> Function:
    return lambda _: value


def _lift(function: Callable[..., Any], *parts: Function) -> Function:
    """A function of one or two values, NULL where one of them is."""
    if len(parts) == 1:
        (only,) = parts

        def of_one(cells: Cells) -> Any:
            value = only(cells)
            return None if value is None else function(value)

        return of_one
    left, right = parts

    def of_two(cells: Cells) -> Any:
        first, second = left(cells), right(cells)
        return None if first is None or second is None else function(first, second)

    return of_two


def _choose(conditions: Sequence[Function], values: Sequence[Function], default: Function) -> Function:
    branches = list(zip(conditions, values, strict=True))

    def choose(cells: Cells) -> Any:
        found = [(condition(cells), value(cells)) for condition, value in branches]
        other = default(cells)
        return next((value for holds, value in found if holds), other)

    return choose


_LIKE_NODES: dict[str, Callable[[_Compiler, Any], Compiled]] = {
    "MOD": _Compiler.take_rest,
    "DATE_PART": _Compiler.read_part,
}
_RULES: dict[type[exp.Expr], Callable[[_Compiler, Any], Compiled]] = {
    exp.Column: _Compiler.read_column,
    exp.Literal: _Compiler.read_literal,
    exp.Null: lambda _, __: Compiled("null", _always(None)),
    exp.Boolean: lambda _, node: Compiled("bool", _always(bool(node.this))),
    exp.Interval: _Compiler.read_interval,
    **dict.fromkeys((exp.Add, exp.Sub, exp.Mul), _Compiler.compute),
    exp.Div: _Compiler.divide,
    exp.IntDiv: _Compiler.divide_whole,
    exp.Mod: _Compiler.take_rest,
    exp.Neg: _Compiler.negate,
    exp.Paren: _Compiler.open,
    **dict.fromkeys(scalars.COMPARED, _Compiler.compare),
    exp.Is: _Compiler.ask_null,
    **dict.fromkeys((exp.And, exp.Or), _Compiler.connect),
    exp.Not: _Compiler.invert,
    exp.Between: _Compiler.ask_between,
    exp.In: _Compiler.ask_in,
    exp.If: _Compiler.choose_one,
    exp.Case: _Compiler.choose,
    exp.Cast: _Compiler.change_type,
    exp.DPipe: _Compiler.join,
    exp.Extract: _Compiler.read_part,
    exp.Anonymous: _Compiler.call,
}
