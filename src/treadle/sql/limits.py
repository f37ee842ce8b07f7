"""Limits of an SQL expression: the cost of parsing it, and the length of the strings that it may produce.

The engine parses expressions recursively, and allocates as much memory as an argument demands. Without limits a sum
of a hundred thousand terms, or `LPAD(x, 8589934592)`, ends the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from sqlglot import exp

MAX_LENGTH = 16_384  # of one expression [characters]
MAX_NODES = 4_096  # of its tree: columns, values, operators, functions
MAX_DEPTH = 128  # of its tree; a sum is as deep as it has terms
MAX_LEVELS = 200  # of derived features that read each other
MAX_TOTAL = 200_000  # of all derived features together [characters]
MAX_TEXT = 10_000_000  # of a string in a row, from strings of `CELL` characters
CELL = 1_000
_NUMBER = 32  # characters of a number as a string


class LimitError(ValueError):
    """An expression beyond a limit, which the message names."""


def limit_length(text: str) -> None:
    """Refuse what is too long to be read.

    Raises:
        LimitError: it is.
    """
    if len(text) > MAX_LENGTH:
        raise LimitError(f"an expression has at most {MAX_LENGTH:,} characters, found {len(text):,}")


def limit_tree(tree: exp.Expr) -> None:
    """Refuse a tree that is too large or too deep, level by level: it may be deeper than Python's own limit.

    Raises:
        LimitError: it is.
    """
    level, count, depth = [tree], 0, 0
    while level:
        count, depth = count + len(level), depth + 1
        if count > MAX_NODES or depth > MAX_DEPTH:
            raise LimitError(
                f"an expression has at most {MAX_NODES:,} parts, {MAX_DEPTH} of them nested; "
                "make it from several, or a list of values by IN (…)"
            )
        level = [child for node in level for child in node.iter_expressions()]


def measure_text(tree: exp.Expr, *, cells: Mapping[str, int]) -> int:
    """The largest number of characters that the expression returns for a row.

    Args:
        tree: within `limit_tree`.
        cells: characters of a column, where it is known; others have `CELL`.

    Raises:
        LimitError: more than `MAX_TEXT`, or a length that depends on a column.
    """

    def measure(node: exp.Expr) -> int:
        if isinstance(node, exp.Column):
            return cells.get(node.name, CELL)
        rule = next((rule for kind, rule in _RULES.items() if isinstance(node, kind)), _add)
        found = rule(node, measure)
        if found > MAX_TEXT:
            raise LimitError(f"a string of {CELL:,} characters could become longer than {MAX_TEXT:,}")
        return found

    return measure(tree)


Measure = Callable[[exp.Expr], int]


def _add(node: exp.Expr, measure: Measure) -> int:
    return sum(map(measure, node.iter_expressions()))


def _take_longest(node: exp.Expr, measure: Measure) -> int:
    return max(map(measure, node.iter_expressions()), default=0)


def _take_number(node: exp.Expr, measure: Measure) -> int:
    _add(node, measure)  # what it reads has its limits, too
    return _NUMBER


def _read_literal(node: exp.Expr, measure: Measure) -> int:  # noqa: ARG001 - as the others
    return len(str(node.this))


def _pad(node: exp.Expr, measure: Measure) -> int:
    width = node.expression
    if not (isinstance(width, exp.Literal) and str(width.this).isdecimal()):
        raise LimitError("the length of LPAD and RPAD must be a number, not an expression")
    return max(int(width.this), _add(node, measure))


def _replace(node: exp.Expr, measure: Measure) -> int:
    new = node.args.get("replacement")
    return measure(node.this) * max(1, measure(new) if new is not None else 0)


# The first kind that fits counts; any other may return all strings that it reads.
_RULES: dict[type[exp.Expr], Callable[[exp.Expr, Measure], int]] = {
    exp.Pad: _pad,
    exp.Replace: _replace,
    exp.Literal: _read_literal,
    exp.DPipe: _add,
    exp.If: _take_longest,
    exp.Case: _take_longest,
    exp.Coalesce: _take_longest,
    exp.Greatest: _take_longest,
    exp.Least: _take_longest,
    exp.Nullif: _take_longest,
    exp.Connector: _take_number,
    exp.Predicate: _take_number,
    exp.Binary: _take_number,
    exp.Neg: _take_number,
}
