"""What SQL's operators and functions give of Python values, to the last bit as Polars computes them.

Where Python cannot give Polars' value, they raise an `ArithmeticError` or a `ValueError`. The kinds of values are those
of `treadle.serving.expressions`.
"""

from __future__ import annotations

import math
import operator
from collections.abc import Callable
from datetime import datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any

import polars as pl
from sqlglot import exp as sql

SECOND = 1_000_000  # microseconds
UNITS = {"SECOND": SECOND, "MINUTE": 60 * SECOND, "HOUR": 3_600 * SECOND, "DAY": 86_400 * SECOND}
UNITS_A_MICROSECOND = {"ns": 1_000, "us": 1}
_DAY = UNITS["DAY"]
_EPOCH = datetime(1970, 1, 1)  # noqa: DTZ001 - moments are UTC without saying so
_MAX_MICROS = 9_000_000_000_000_000  # around 1970; Polars counts some moments in nanoseconds, which end in 2262
_EXACT = 1 << 53  # below it a float holds each whole number
_SHIFT = 10**6  # of decimals: more digits behind the point are left to Polars
_INT64 = range(-(1 << 63), 1 << 63)


def connect_and(left: bool | None, right: bool | None) -> bool | None:  # noqa: FBT001 - the operands of an operator
    """AND, where NULL is unknown."""
    if left is False or right is False:
        return False
    return None if left is None or right is None else True


def connect_or(left: bool | None, right: bool | None) -> bool | None:  # noqa: FBT001 - as above
    """OR, where NULL is unknown."""
    if left is True or right is True:
        return True
    return None if left is None or right is None else False


def stretch(duration: int, factor: float, *, unit: int) -> int:
    """Microseconds; those between two of them are left to Polars."""
    found = math.trunc(float(duration * unit) * factor)  # raises where it is not finite
    if found % unit:
        raise ArithmeticError
    return limit(found // unit)


def limit(micros: int) -> int:
    """The microseconds of a moment or a duration that every unit holds; others raise `OverflowError`."""
    if abs(micros) > _MAX_MICROS:
        raise OverflowError("a moment beyond those that every unit holds")
    return micros


def divide(left: float, right: float) -> float:
    """As a processor divides: infinite, or NaN, by 0."""
    if right != 0:
        return left / right
    return math.nan if left == 0 or math.isnan(left) else math.copysign(math.inf, left) * math.copysign(1.0, right)


def divide_whole(left: int, right: int) -> int | None:
    """Cut off towards 0; NULL by 0."""
    if right == 0:
        return None
    quotient = abs(left) // abs(right)
    return limit_int(quotient if (left < 0) == (right < 0) else -quotient)


def take_whole_rest(left: int, right: int) -> int | None:
    """The rest has the sign of the left operand; NULL by 0."""
    if right == 0:
        return None
    rest = abs(left) % abs(right)
    return -rest if left < 0 else rest


def take_rest(left: float, right: float) -> float:
    """The rest has the sign of the left operand."""
    return math.nan if right == 0 or math.isinf(left) else math.fmod(left, right)


def is_equal(left: float, right: float) -> bool:
    """NaN equals itself."""
    return left == right or (math.isnan(left) and math.isnan(right))


def is_less(left: float, right: float) -> bool:
    """NaN is the largest."""
    return left < right or (math.isnan(right) and not math.isnan(left))


def is_at_most(left: float, right: float) -> bool:
    """NaN is the largest."""
    return left <= right or math.isnan(right)


def round_whole(function: Callable[[float], int], value: float) -> float:
    """Keeps the sign of a zero, and what is not finite."""
    return math.copysign(float(function(value)), value) if math.isfinite(value) else value


def sign(value: float) -> float:
    """-1, 1, or the zero or NaN that it is."""
    return value if value == 0 or math.isnan(value) else math.copysign(1.0, value)


def or_nan(function: Callable[[float], float], value: float) -> float:
    """NaN where Python refuses the value."""
    try:
        return function(value)
    except ValueError:
        return math.nan


def log(value: float) -> float:
    """Of 0 minus infinity; of less NaN."""
    return -math.inf if value == 0 else or_nan(math.log, value)


def log10(value: float) -> float:
    """By the natural one, as Polars."""
    return log(value) / math.log(10.0)


def exp(value: float) -> float:
    """Infinite where it is too large."""
    try:
        return math.exp(value)
    except OverflowError:
        return math.inf


def to_int(value: float) -> int:
    """Cut off towards 0."""
    return limit_int(int(value))  # which refuses what is not finite


def limit_int(value: int) -> int:
    """An integer of 64 bits; others raise `OverflowError`."""
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


def to_float(value: int) -> float:
    """An integer beside a float, where each of them is one."""
    if abs(value) > _EXACT:
        raise OverflowError("an integer that a float would round")
    return float(value)


def in_ascii(function: Callable[[str], str], text: str) -> str:
    """A change of case, of plain letters alone."""
    if not text.isascii():
        raise ValueError("Unicode has several ways to change the case of a letter")
    return function(text)


def take_extreme(function: Callable[[list[Any]], Any], values: list[Any]) -> Any:
    """The largest or the smallest, where there is one without doubt."""
    found = function(values)
    if isinstance(found, float) and (found == 0 or any(map(math.isnan, values))):
        raise ValueError("which zero, or whether NaN, is the largest")
    return found


def to_calendar(micros: int) -> datetime:
    """A moment as Python holds it."""
    return _EPOCH + timedelta(microseconds=micros)


ARITHMETIC: dict[type[sql.Expr], Callable[[Any, Any], Any]] = {
    sql.Add: operator.add,
    sql.Sub: operator.sub,
    sql.Mul: operator.mul,
}
COMPARED: dict[type[sql.Expr], Callable[[Any, Any], bool]] = {
    sql.EQ: operator.eq,
    sql.NEQ: operator.ne,
    sql.LT: operator.lt,
    sql.LTE: operator.le,
    sql.GT: operator.gt,
    sql.GTE: operator.ge,
}
COMPARED_FLOATS: dict[type[sql.Expr], Callable[[Any, Any], bool]] = {  # NaN equals itself, and is the largest
    sql.EQ: is_equal,
    sql.NEQ: lambda left, right: not is_equal(left, right),
    sql.LT: is_less,
    sql.LTE: is_at_most,
    sql.GT: lambda left, right: is_less(right, left),
    sql.GTE: lambda left, right: is_at_most(right, left),
}
CAST_TO = (pl.Int64(), pl.Int128(), pl.Float64(), pl.String())
CASTS: dict[tuple[str, str], Callable[[Any], Any]] = {
    ("int", "int"): int,
    ("bool", "int"): int,
    ("float", "int"): to_int,
    ("int", "float"): float,
    ("bool", "float"): float,
    ("float", "float"): float,
    ("decimal", "float"): round_decimal,
    ("int", "text"): str,
    ("bool", "text"): lambda value: "true" if value else "false",
}
PARTS: dict[str, Callable[[int], int]] = {
    "YEAR": lambda micros: to_calendar(micros).year,
    "QUARTER": lambda micros: (to_calendar(micros).month + 2) // 3,
    "MONTH": lambda micros: to_calendar(micros).month,
    "DAY": lambda micros: to_calendar(micros).day,
    "DOY": lambda micros: to_calendar(micros).timetuple().tm_yday,
    "DAYOFYEAR": lambda micros: to_calendar(micros).timetuple().tm_yday,
    "DOW": lambda micros: (micros // _DAY + 4) % 7,  # 1970 began on a Thursday; Sunday is 0
    "DAYOFWEEK": lambda micros: (micros // _DAY + 4) % 7,
    "ISODOW": lambda micros: (micros // _DAY + 3) % 7 + 1,
    "DAYOFWEEKISO": lambda micros: (micros // _DAY + 3) % 7 + 1,
    "WEEK": lambda micros: to_calendar(micros).isocalendar().week,
    "HOUR": lambda micros: micros // UNITS["HOUR"] % 24,
    "MINUTE": lambda micros: micros // UNITS["MINUTE"] % 60,
    "SECOND": lambda micros: micros // SECOND % 60,
}
OF_FLOATS: dict[str, tuple[int, Callable[..., float]]] = {  # number of arguments, function
    "SQRT": (1, lambda value: or_nan(math.sqrt, value)),
    "EXP": (1, exp),
    "LN": (1, log),
    "LOG10": (1, log10),
    "SIN": (1, partial(or_nan, math.sin)),
    "COS": (1, partial(or_nan, math.cos)),
    "TAN": (1, partial(or_nan, math.tan)),
    "POWER": (2, math.pow),  # Python refuses what would be infinite: Polars answers
    "TRUNC": (1, partial(round_whole, math.trunc)),
}
KEEPING: dict[str, dict[str, Callable[[Any], Any]]] = {  # by the kind of the argument, which the result has, too
    "ABS": {"int": abs, "float": abs},
    "FLOOR": {"int": int, "float": partial(round_whole, math.floor)},
    "CEIL": {"int": int, "float": partial(round_whole, math.ceil)},
    "CEILING": {"int": int, "float": partial(round_whole, math.ceil)},
    "ROUND": {"int": int, "float": partial(round_whole, round)},
    "SIGN": {"float": sign},
    "LOWER": {"text": partial(in_ascii, str.lower)},
    "UPPER": {"text": partial(in_ascii, str.upper)},
}
REDUCED: dict[str, Callable[[list[Any]], Any]] = {
    "COALESCE": operator.itemgetter(0),
    "IFNULL": operator.itemgetter(0),
    "GREATEST": partial(take_extreme, max),
    "LEAST": partial(take_extreme, min),
}
