"""SQL expressions as Python functions of one row, for a server: Polars takes a tenth of a millisecond for any of them.

They are compiled from what Polars would run, in the types that it would have, and give the same values to the last bit.
A value is None (NULL), int, float, str or bool, or a Fraction for an exact decimal; a moment is an int of microseconds
since 1970, as is a duration. All operands are computed, as Polars does. Where Python cannot give Polars' value, a
function raises an `ArithmeticError` or a `ValueError`: the row then goes through Polars.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple

import polars as pl
import sqlglot
from sqlglot import exp

from treadle.sql.dialect import Sql, TranslationError
from treadle.sql.translate import translate
from treadle.sql.types import Types

Cells = Sequence[Any]  # the values of a row, by position
Function = Callable[[Cells], Any]

SECOND = 1_000_000  # microseconds
_UNITS = {"SECOND": SECOND, "MINUTE": 60 * SECOND, "HOUR": 3_600 * SECOND, "DAY": 86_400 * SECOND}
_DAY = _UNITS["DAY"]
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - moments are UTC without saying so
_MAX_MICROS = 9_000_000_000_000_000  # around 1970; Polars counts some moments in nanoseconds, which end in 2262
_EXACT = 1 << 53  # below it a float holds each whole number
_SHIFT = 10**6  # of decimals: more digits behind the point are left to Polars
_INT64 = range(-(1 << 63), 1 << 63)


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
            return _lift(_to_float if found.kind == "int" else round_decimal, found.function)
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
        if unit not in _UNITS or not isinstance(count, exp.Literal) or not str(count.this).isdecimal():
            raise UnknownError(f"the interval {node.sql(dialect=Sql)!r}")
        return Compiled("duration", _always(int(count.this) * _UNITS[unit]))

    def compute(self, node: exp.Expr) -> Compiled:
        """A sum, difference or product."""
        kind, function = self.find_kind(node), _ARITHMETIC[type(node)]
        operands = [node.this, node.expression]
        if kind in {"moment", "duration"}:
            if {self.find_kind(operand) for operand in operands} - {"moment", "duration", "int"}:
                raise UnknownError(node.sql(dialect=Sql))
            parts = [self.compile(operand).function for operand in operands]
            return Compiled(kind, _lift(lambda a, b: _limit(function(a, b)), *parts))
        if kind == "decimal":
            return Compiled(kind, _lift(function, *map(self._compile_exactly, operands)))
        if kind not in {"int", "float"}:
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled(kind, _lift(function, *(self.compile_as(operand, kind) for operand in operands)))

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
            return Compiled("float", _lift(_divide, left, right))
        divisor = right(())
        if node.this.find(exp.Column) is None:
            return Compiled("float", _lift(_divide, left, right))
        if divisor is None:
            raise UnknownError(node.sql(dialect=Sql))
        inverse = _divide(1.0, divisor)  # Polars divides by a constant in this way
        return Compiled("float", _lift(lambda value: value * inverse, left))

    def divide_whole(self, node: exp.Expr) -> Compiled:
        parts = (self.compile_as(operand, "int") for operand in (node.this, node.expression))
        return Compiled("int", _lift(_divide_whole, *parts))

    def take_rest(self, node: exp.Expr) -> Compiled:
        left, right = node.expressions if isinstance(node, exp.Anonymous) else (node.this, node.expression)
        kind, parts = self.compile_alike(left, right)
        if kind not in {"int", "float"}:
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled(kind, _lift(_take_whole_rest if kind == "int" else _take_rest, *parts))

    def negate(self, node: exp.Expr) -> Compiled:
        kind = self.find_kind(node)
        return Compiled(kind, _lift(operator.neg, self.compile_as(node.this, kind)))

    def open(self, node: exp.Expr) -> Compiled:
        return self.compile(node.this)

    def compare(self, node: exp.Expr) -> Compiled:
        kind, parts = self.compile_alike(node.this, node.expression)
        functions = _COMPARED_FLOATS if kind == "float" else _COMPARED
        return Compiled("bool", _lift(functions[type(node)], *parts))

    def ask_null(self, node: exp.Expr) -> Compiled:
        if not isinstance(node.expression, exp.Null):
            raise UnknownError(node.sql(dialect=Sql))
        value = self.compile(node.this).function
        return Compiled("bool", lambda cells: value(cells) is None)

    def connect(self, node: exp.Expr) -> Compiled:
        connect = _and if isinstance(node, exp.And) else _or
        left, right = (self.compile_as(operand, "bool") for operand in (node.this, node.expression))
        return Compiled("bool", lambda cells: connect(left(cells), right(cells)))

    def invert(self, node: exp.Expr) -> Compiled:
        return Compiled("bool", _lift(operator.not_, self.compile_as(node.this, "bool")))

    def ask_between(self, node: exp.Expr) -> Compiled:
        kind, (value, low, high) = self.compile_alike(node.this, node.args["low"], node.args["high"])
        at_most = (_COMPARED_FLOATS if kind == "float" else _COMPARED)[exp.LTE]
        lower, upper = _lift(at_most, low, value), _lift(at_most, value, high)
        return Compiled("bool", lambda cells: _and(lower(cells), upper(cells)))

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
        function = _CASTS.get((operand.kind, kind))
        if function is None or self._types.find_type(node) not in _CAST_TO:
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled(kind, _lift(function, operand.function))

    def join(self, node: exp.Expr) -> Compiled:
        parts = (self.compile_as(operand, "text") for operand in (node.this, node.expression))
        return Compiled("text", _lift(operator.add, *parts))

    def read_part(self, node: exp.Expr) -> Compiled:
        named, of = node.expressions if isinstance(node, exp.Anonymous) else (node.this, node.expression)
        part, moment = _PARTS.get(str(named.name).upper()), self.compile(of)
        if part is None or moment.kind != "moment":
            raise UnknownError(node.sql(dialect=Sql))
        return Compiled("int", _lift(part, moment.function))

    def call(self, node: exp.Expr) -> Compiled:
        """A function by its name."""
        name, arguments = str(node.name).upper(), node.expressions
        if name in _OF_FLOATS and len(arguments) == _OF_FLOATS[name][0]:
            parts = (self.compile_as(argument, "float") for argument in arguments)
            return Compiled("float", _lift(_OF_FLOATS[name][1], *parts))
        if name in _KEEPING and len(arguments) == 1:
            kind = self.find_kind(arguments[0])
            if kind in _KEEPING[name]:
                return Compiled(kind, _lift(_KEEPING[name][kind], self.compile_as(arguments[0], kind)))
        if name in _LIKE_NODES and len(arguments) == 2:  # noqa: PLR2004
            return _LIKE_NODES[name](self, node)
        if name in {"COALESCE", "IFNULL", "GREATEST", "LEAST"}:
            return self._reduce(node, _REDUCED[name])
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


def _and(left: bool | None, right: bool | None) -> bool | None:  # noqa: FBT001 - the operands of an operator
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def _or(left: bool | None, right: bool | None) -> bool | None:  # noqa: FBT001 - as above
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def _limit(micros: int) -> int:
    if abs(micros) > _MAX_MICROS:
        raise OverflowError("a moment beyond those that every unit holds")
    return micros


def _divide(left: float, right: float) -> float:
    if right != 0:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1.0, right)


def _divide_whole(left: int, right: int) -> int | None:
    if right == 0:
        return None
    quotient = abs(left) // abs(right)
    return _limit_int(quotient if (left < 0) == (right < 0) else -quotient)


def _take_whole_rest(left: int, right: int) -> int | None:
    if right == 0:
        return None
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def _take_rest(left: float, right: float) -> float:
    return math.nan if right == 0 or math.isinf(left) else math.fmod(left, right)


def _is_equal(left: float, right: float) -> bool:
    return left == right or (math.isnan(left) and math.isnan(right))


def _is_less(left: float, right: float) -> bool:
    return left < right or (math.isnan(right) and not math.isnan(left))


def _is_at_most(left: float, right: float) -> bool:
    return left <= right or math.isnan(right)


def _round_whole(function: Callable[[float], int], value: float) -> float:
    """Keeps the sign of a zero, and what is not finite."""
    return math.copysign(float(function(value)), value) if math.isfinite(value) else value


def _sign(value: float) -> float:
    return value if value == 0 or math.isnan(value) else math.copysign(1.0, value)


def _or_nan(function: Callable[[float], float], value: float) -> float:
    """NaN where Python refuses the value."""
    try:
        return function(value)
    except ValueError:
        return math.nan


def _log(value: float) -> float:
    return -math.inf if value == 0 else _or_nan(math.log, value)


def _log10(value: float) -> float:
    return _log(value) / math.log(10.0)


def _exp(value: float) -> float:
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def _to_int(value: float) -> int:
    return _limit_int(int(value))  # which refuses what is not finite


def _limit_int(value: int) -> int:
    if value not in _INT64:
        raise OverflowError("no integer of 64 bits")
    return value


def round_decimal(value: Fraction | int) -> float:
    """A decimal as a float, where Polars rounds once, as Python does."""
    exact = Fraction(value)
    digits = exact * _SHIFT
    if digits.denominator != 1 or abs(exact.numerator) > _EXACT or abs(digits) > _EXACT:
        raise OverflowError("a decimal that Polars would round twice")
    return exact.numerator / exact.denominator


def _to_float(value: int) -> float:
    """An integer beside a float, where each of them is one."""
    if abs(value) > _EXACT:
        raise OverflowError("an integer that a float would round")
    return float(value)


def _in_ascii(function: Callable[[str], str], text: str) -> str:
    if not text.isascii():
        raise ValueError("Unicode has several ways to change the case of a letter")
    return function(text)


def _take_extreme(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    found = function(values)
    if isinstance(found, float) and (found == 0 or any(map(math.isnan, values))):
        raise ValueError("which zero, or whether NaN, is the largest")
    return found


def _to_calendar(micros: int) -> datetime:
    return _EPOCH + timedelta(microseconds=micros)


_ARITHMETIC: dict[type[exp.Expr], Callable[[Any, Any], Any]] = {
    exp.Add: operator.add,
    exp.Sub: operator.sub,
    exp.Mul: operator.mul,
}
_COMPARED: dict[type[exp.Expr], Callable[[Any, Any], bool]] = {
    exp.EQ: operator.eq,
    exp.NEQ: operator.ne,
    exp.LT: operator.lt,
    exp.LTE: operator.le,
    exp.GT: operator.gt,
    exp.GTE: operator.ge,
}
_COMPARED_FLOATS: dict[type[exp.Expr], Callable[[Any, Any], bool]] = {  # NaN equals itself, and is the largest
    exp.EQ: _is_equal,
    exp.NEQ: lambda left, right: not _is_equal(left, right),
    exp.LT: _is_less,
    exp.LTE: _is_at_most,
    exp.GT: lambda left, right: _is_less(right, left),
    exp.GTE: lambda left, right: _is_at_most(right, left),
}
_CAST_TO = (pl.Int64(), pl.Int128(), pl.Float64(), pl.String())
_CASTS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("int", "int"): int,
    ("bool", "int"): int,
    ("float", "int"): _to_int,
    ("int", "float"): float,
    ("bool", "float"): float,
    ("float", "float"): float,
    ("decimal", "float"): round_decimal,
    ("int", "text"): str,
    ("bool", "text"): lambda value: "true" if value else "false",
}
_PARTS: dict[str, Callable[[int], int]] = {
    "YEAR": lambda micros: _to_calendar(micros).year,
    "QUARTER": lambda micros: (_to_calendar(micros).month + 2) // 3,
    "MONTH": lambda micros: _to_calendar(micros).month,
    "DAY": lambda micros: _to_calendar(micros).day,
    "DOY": lambda micros: _to_calendar(micros).timetuple().tm_yday,
    "DAYOFYEAR": lambda micros: _to_calendar(micros).timetuple().tm_yday,
    "DOW": lambda micros: (micros // _DAY + 4) % 7,  # 1970 began on a Thursday; Sunday is 0
    "DAYOFWEEK": lambda micros: (micros // _DAY + 4) % 7,
    "ISODOW": lambda micros: (micros // _DAY + 3) % 7 + 1,
    "DAYOFWEEKISO": lambda micros: (micros // _DAY + 3) % 7 + 1,
    "WEEK": lambda micros: _to_calendar(micros).isocalendar().week,
    "HOUR": lambda micros: micros // _UNITS["HOUR"] % 24,
    "MINUTE": lambda micros: micros // _UNITS["MINUTE"] % 60,
    "SECOND": lambda micros: micros // SECOND % 60,
}
_OF_FLOATS: dict[str, tuple[int, Callable[..., float]]] = {  # number of arguments, function
    "SQRT": (1, lambda value: _or_nan(math.sqrt, value)),
    "EXP": (1, _exp),
    "LN": (1, _log),
    "LOG10": (1, _log10),
    "SIN": (1, partial(_or_nan, math.sin)),
    "COS": (1, partial(_or_nan, math.cos)),
    "TAN": (1, partial(_or_nan, math.tan)),
    "POWER": (2, math.pow),  # Python refuses what would be infinite: Polars answers
    "TRUNC": (1, partial(_round_whole, math.trunc)),
}
_KEEPING: dict[str, dict[str, Callable[[Any], Any]]] = {  # by the kind of the argument, which the result has, too
    "ABS": {"int": abs, "float": abs},
    "FLOOR": {"int": int, "float": partial(_round_whole, math.floor)},
    "CEIL": {"int": int, "float": partial(_round_whole, math.ceil)},
    "CEILING": {"int": int, "float": partial(_round_whole, math.ceil)},
    "ROUND": {"int": int, "float": partial(_round_whole, round)},
    "SIGN": {"float": _sign},
    "LOWER": {"text": partial(_in_ascii, str.lower)},
    "UPPER": {"text": partial(_in_ascii, str.upper)},
}
_REDUCED: dict[str, Callable[[list[Any]], Any]] = {
    "COALESCE": operator.itemgetter(0),
    "IFNULL": operator.itemgetter(0),
    "GREATEST": partial(_take_extreme, max),
    "LEAST": partial(_take_extreme, min),
}
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
    **dict.fromkeys(_COMPARED, _Compiler.compare),
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
