"""Rules that rewrite an operator or a function for Polars. Each takes a node whose parts are already translated."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from operator import add, mul, sub
from typing import cast

import polars as pl
from sqlglot import exp

from treadle.sql.dialect import Bounds, TranslationError, embed, read, write
from treadle.sql.types import RANGES, WIDTHS, Types

HALF = "0.49999999999999994e0"  # the largest float below 0.5, so that no number below a half is rounded up

WHOLE_PARTS = {"YEAR", "QUARTER", "MONTH", "WEEK", "DAY", "DOW", "ISODOW", "DOY", "ISOYEAR", "HOUR", "MINUTE", "SECOND"}
COUNTS = ("LENGTH", "CHAR_LENGTH", "CHARACTER_LENGTH", "OCTET_LENGTH", "BIT_LENGTH", "BIT_COUNT", "ARRAY_LENGTH")
DIGITS = 15  # that a float has

Rule = Callable[[Types, exp.Expr], exp.Expr]


def combine(types: Types, node: exp.Expr) -> exp.Expr:
    """A sum, difference or product in a type that holds it."""
    left, right = types.find_bounds(node.this), types.find_bounds(node.expression)
    if left is None or right is None:
        return _mix(types, node)
    ends = [_COMBINED[type(node)](a, b) for a in left for b in right]
    return types.widen(node, (min(ends), max(ends)))


def _mix(types: Types, node: exp.Expr) -> exp.Expr:
    """Arithmetic on other operands than two integers."""
    found = {name: types.find_type(node.args[name]) for name in ("this", "expression")}
    if isinstance(node, exp.Add) and pl.String() in found.values():
        raise TranslationError("strings are joined with `||`, not with `+`")
    is_inexact = any(dtype.is_decimal() for dtype in found.values()) and not _is_exact(node, found)
    with_duration = any(isinstance(dtype, pl.Duration) for dtype in found.values())
    for name, dtype in found.items():
        if is_inexact:
            node.set(name, types.cast(node.args[name], "DOUBLE", pl.Float64()))
        elif with_duration and dtype == pl.Int128():
            node.set(name, types.cast(node.args[name], "BIGINT", pl.Int64()))
        elif with_duration and dtype == pl.Date():
            node.set(name, types.cast(node.args[name], "TIMESTAMP", pl.Datetime("us")))
    return node


def negate(types: Types, node: exp.Expr) -> exp.Expr:
    """Negation; the smallest integer needs a wider type."""
    bounds = types.find_bounds(node.this)
    return node if bounds is None else types.widen(node, (-bounds[1], -bounds[0]))


def divide(types: Types, node: exp.Expr) -> exp.Expr:
    """Integer division, truncated; null for a divisor of 0."""
    left, right = _read_pair(node)
    bounds, wide = types.find_bounds(left), pl.Int128() in {types.find_type(left), types.find_type(right)}
    if bounds is None or types.find_bounds(right) is None:
        raise TranslationError("`//` and DIV divide integers: for other numbers write FLOOR(x / y)")
    if not wide:
        return read(f"({embed(left)} // {embed(right)})")
    return read(f"TRUNC(CAST({embed(left)} AS DOUBLE) / NULLIF(CAST({embed(right)} AS DOUBLE), 0))")


def take_rest(types: Types, node: exp.Expr) -> exp.Expr:
    """Remainder, smaller than the divisor; null for a divisor of 0."""
    left, right = _read_pair(node)
    if types.find_bounds(left) is None or types.find_bounds(right) is None:
        return node
    largest = max(map(abs, cast("Bounds", types.find_bounds(right)))) - 1
    rest = f"({embed(left)} % {embed(right)})"
    return read(f"CAST({rest} AS BIGINT)" if largest <= RANGES[pl.Int64()][1] else rest, bounds=(-largest, largest))


def _read_pair(node: exp.Expr) -> tuple[exp.Expr, exp.Expr]:
    left, right = node.expressions if isinstance(node, exp.Anonymous) else (node.this, node.expression)
    return left, right


def call(types: Types, node: exp.Expr) -> exp.Expr:
    """A function, rewritten if its semantics differ in Polars."""
    rule, counts = _FUNCTIONS.get(str(node.name).upper(), (None, ()))
    return node if rule is None or len(node.expressions) not in counts else rule(types, node)


def call_count(types: Types, node: exp.Expr) -> exp.Expr:
    """A number of characters, bits or items, which Polars counts in unsigned 32 bits."""
    return types.broaden(node, pl.UInt32())


def read_part(types: Types, node: exp.Expr) -> exp.Expr:
    """EXTRACT and DATE_PART: a part of a date or time, which Polars gives in 8 bits."""
    part = node.expressions[0] if isinstance(node, exp.Anonymous) else node.this
    name = str(part.name).upper()
    if name.startswith("MILLISECOND"):
        return read(f"FLOOR({write(node)})")
    return types.broaden(node, pl.Int32() if name in WHOLE_PARTS else None)


def change_type(types: Types, node: exp.Expr) -> exp.Expr:
    """CAST: a float is rounded to an integer, a datetime is written without trailing zeros."""
    before, after = types.find_type(node.this), types.find_type(node)
    if after.is_integer() and (before.is_float() or before.is_decimal()):
        node.set("this", read(f"ROUND({embed(node.this)})"))  # the engine's own: half to even
    if before == pl.String() and after == pl.Boolean():
        raise TranslationError("a string is not a boolean: compare it, such as x = 'yes'")
    if before == pl.String() and after.is_numeric():
        node.set("this", read(f"TRIM({embed(node.this)})"))
    if after == pl.String() and isinstance(before, pl.Datetime):
        return read(f"RTRIM(RTRIM({write(node)}, '0'), '.')")
    return types.broaden(node)


def call_absolute(types: Types, node: exp.Expr) -> exp.Expr:
    """ABS; of the smallest integer it needs a wider type."""
    (value,) = node.expressions
    bounds = types.find_bounds(value)
    if bounds is None:
        return node
    bounds = (0, max(map(abs, bounds)))
    word, dtype = next((word, dtype) for word, dtype, limits in WIDTHS if bounds[1] <= limits[1])
    return read(f"ABS({embed(types.cast(value, word, dtype))})", bounds=bounds)


def call_power(types: Types, node: exp.Expr) -> exp.Expr:
    """POWER in floats, as in every database."""
    if pl.String() in map(types.find_type, node.expressions):
        return node  # Polars refuses it
    base, exponent = (embed(types.cast(value, "DOUBLE", pl.Float64())) for value in node.expressions)
    return read(f"POWER({base}, {exponent})")


def call_log(_: Types, node: exp.Expr) -> exp.Expr:
    """LOG(x) to the base of 10, LOG(base, x)."""
    *base, value = map(embed, node.expressions)
    return read(f"LOG({value}, {base[0]})" if base else f"LOG10({value})")


def call_round(types: Types, node: exp.Expr) -> exp.Expr:
    """ROUND: half away from 0; unchanged beyond the digits of a float."""
    value, *rest = node.expressions
    if not (types.find_type(value).is_float() or types.find_type(value).is_decimal()):
        return node
    if rest and not (isinstance(rest[0], exp.Literal) and rest[0].is_int):
        raise TranslationError("the number of decimals of ROUND must be a number, at least 0")
    if rest and int(rest[0].this) > DIGITS:
        return node
    x, unit = embed(types.cast(value, "DOUBLE", pl.Float64())), f"1e{rest[0].this if rest else 0}"
    cut = f"TRUNC({x} * {unit} + SIGN({x}) * {HALF}) / {unit}"
    return read(f"CASE WHEN ABS({x}) < 4503599627370496e0 / {unit} THEN {cut} ELSE {x} END")


def call_left(_: Types, node: exp.Expr) -> exp.Expr:
    """LEFT: null for a length of null."""
    count = node.expressions[1]
    if _is_number(count):
        return node
    return read(f"CASE WHEN {embed(count)} IS NULL THEN NULL ELSE {write(node)} END")


def call_right(_: Types, node: exp.Expr) -> exp.Expr:
    """RIGHT by its start position: with a length that varies between rows Polars is wrong."""
    text, count = map(embed, node.expressions)
    if _is_number(node.expressions[1]):
        return node
    length = f"CAST(LENGTH({text}) AS BIGINT)"
    start = f"CASE WHEN {count} < 0 THEN 1 - {count} ELSE GREATEST({length} - {count} + 1, 1) END"
    return read(f"CASE WHEN {count} IS NULL THEN NULL ELSE SUBSTR({text}, {start}) END")


def call_part(_: Types, node: exp.Expr) -> exp.Expr:
    """SUBSTR, where a negative start counts from the end."""
    is_node = isinstance(node, exp.Substring)
    parts = [node.this, node.args.get("start"), node.args.get("length")] if is_node else node.expressions
    text, *rest = (embed(part) for part in parts if part is not None)
    if not rest or rest[0].isdecimal():
        return node
    start, *length = rest
    begin = f"CAST(LENGTH({text}) AS BIGINT) + {start} + 1"
    begin = f"CASE WHEN {start} < 0 THEN {begin} ELSE {start} END"
    call = f"SUBSTR({text}, {begin}, {length[0]})" if length else f"SUBSTR({text}, GREATEST({begin}, 1))"
    return read(f"CASE WHEN {start} IS NULL THEN NULL ELSE {call} END")


def call_position(_: Types, node: exp.Expr) -> exp.Expr:
    """STRPOS by the text before the match: Polars counts bytes, and reads another column as a pattern."""
    text, part = map(embed, node.expressions)
    before = f"SPLIT_PART({text}, {part}, 1)"
    found = f"WHEN {part} = '' THEN 1 WHEN {before} = {text} THEN 0 ELSE CAST(LENGTH({before}) AS BIGINT) + 1"
    return read(f"CASE WHEN {text} IS NULL OR {part} IS NULL THEN NULL {found} END", bounds=RANGES[pl.UInt32()])


def call_replace(_: Types, node: exp.Expr) -> exp.Expr:
    """REPLACE of a literal; an empty one replaces nothing."""
    text, part, _ = node.expressions
    if not part.is_string:
        raise TranslationError("the pattern of REPLACE must be a string, not an expression")
    return node if part.this else read(embed(text))


def _is_number(node: exp.Expr) -> bool:
    return isinstance(node.this if isinstance(node, exp.Neg) else node, exp.Literal)


def _is_exact(node: exp.Expr, types: Mapping[str, pl.DataType]) -> bool:
    """Whether decimals hold the result: of literals, and integers of at most 64 bits."""
    parts = [node.args[name] for name in types if types[name].is_decimal()]
    return all(isinstance(part, exp.Literal) for part in parts) and pl.Int128() not in types.values()


RULES: dict[type[exp.Expr], Rule] = {
    exp.Add: combine,
    exp.Sub: combine,
    exp.Mul: combine,
    exp.Neg: negate,
    exp.IntDiv: divide,
    exp.Mod: take_rest,
    exp.Extract: read_part,
    exp.Cast: change_type,
    exp.TryCast: change_type,
    exp.Substring: call_part,
    exp.Anonymous: call,
}
_FUNCTIONS: dict[str, tuple[Rule, tuple[int, ...]]] = {  # and how many arguments they take
    **dict.fromkeys(COUNTS, (call_count, (1,))),
    "DATE_PART": (read_part, (2,)),
    "ABS": (call_absolute, (1,)),
    "DIV": (divide, (2,)),
    "MOD": (take_rest, (2,)),
    "POWER": (call_power, (2,)),
    "POW": (call_power, (2,)),
    "LOG": (call_log, (1, 2)),
    "ROUND": (call_round, (1, 2)),
    "LEFT": (call_left, (2,)),
    "RIGHT": (call_right, (2,)),
    "SUBSTR": (call_part, (2, 3)),
    "STRPOS": (call_position, (2,)),
    "REPLACE": (call_replace, (3,)),
}
_COMBINED: dict[type[exp.Expr], Callable[[int, int], int]] = {exp.Add: add, exp.Sub: sub, exp.Mul: mul}


def is_translated(node: exp.Expr) -> bool:
    """Whether there is a rule for a node."""
    return type(node) in RULES and (not isinstance(node, exp.Anonymous) or str(node.name).upper() in _FUNCTIONS)
