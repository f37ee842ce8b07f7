"""SQL expressions, checked before there is data: syntax and meaning by SQLGlot, names and types by the engine itself.

An expression is row-wise: its value for a row is the same online and in a batch. So it has no aggregate, window,
sub-query, randomness or clock.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cache

import polars as pl
import sqlglot
from polars.exceptions import PanicException, PolarsError
from sqlglot import exp
from sqlglot.errors import SqlglotError

from treadle.hints import Fault, nearest
from treadle.sql.dialect import Dialect, TranslationError
from treadle.sql.limits import MAX_LEVELS, MAX_TOTAL, LimitError, limit_length, limit_tree, measure_text
from treadle.sql.translate import to_expr

AGGREGATES = ("AVG", "SUM", "COUNT")  # of a history

# Functions that Polars 2 runs row by row; a test verifies that it has each of them.
_NAMES = """
    ABS ACOS ACOSD ARRAY_CONTAINS ARRAY_GET ARRAY_LENGTH ASIN ASIND ATAN ATAN2 ATAN2D ATAND BIT_COUNT
    BIT_LENGTH BIT_NOT CBRT CEIL CEILING CHARACTER_LENGTH CHAR_LENGTH COALESCE CONCAT CONCAT_WS COS
    COSD COT COTD DATE DATE_PART DATETIME DEGREES DIV ENDS_WITH EXP FLOOR GREATEST IF IFNULL INITCAP LEAST LEFT LENGTH
    LN LOG LOG10 LOG1P LOG2 LOWER LPAD LTRIM MOD NORMALIZE NULLIF OCTET_LENGTH PI POW POWER RADIANS REGEXP_LIKE
    REPLACE REVERSE RIGHT ROUND RPAD RTRIM SIGN SIN SIND SPLIT_PART SQRT STARTS_WITH STRFTIME STRING_TO_ARRAY STRPOS
    STRPTIME SUBSTR TAN TAND TIMESTAMP TRUNC UPPER XOR
"""
ROW_WISE = tuple(_NAMES.split())
_OVER_NAMES = """
    AVG SUM COUNT MIN MAX MEDIAN STDDEV STDDEV_SAMP STDEV VARIANCE VAR VAR_SAMP FIRST LAST FIRST_VALUE LAST_VALUE
    QUANTILE_CONT QUANTILE_DISC CORR COVAR COVAR_POP COVAR_SAMP ARRAY_AGG STRING_AGG LISTAGG MODE ANY_VALUE BOOL_AND
    BOOL_OR APPROX_COUNT_DISTINCT
"""
_OVER_ROWS = frozenset(_OVER_NAMES.split())
_WINDOWS = {"ROW_NUMBER", "RANK", "DENSE_RANK", "PERCENT_RANK", "NTILE", "LAG", "LEAD"}
_CLOCKS = {"NOW", "CURRENT_TIMESTAMP", "CURRENT_DATE", "CURRENT_TIME", "LOCALTIME", "LOCALTIMESTAMP", "TODAY"}
_RANDOM = {"RANDOM", "RAND", "UUID", "GEN_RANDOM_UUID", "SETSEED"}
_UNROLL = {"UNNEST", "EXPLODE"}


class ExpressionError(ValueError):
    """An expression that cannot run, with its fault."""

    def __init__(self, fault: Fault) -> None:
        super().__init__(fault.rule)
        self.fault = fault


def run(text: str, rows: pl.DataFrame) -> pl.Series:
    """The expression over rows, in practice one row of nulls: its type, or the reason why it is invalid.

    Raises:
        ExpressionError: with the place in the text.
    """
    parse_expression(text)
    try:
        return rows.select(to_expr(text, lambda: rows.schema).alias("value")).to_series()
    except (PolarsError, PanicException) as error:
        raise ExpressionError(_describe(text, error, rows)) from error
    except TranslationError as error:
        raise ExpressionError(Fault(str(error))) from error


@cache
def parse_expression(text: str) -> exp.Expr:
    """The syntax tree of a row-wise expression.

    Raises:
        ExpressionError: it is not SQL, or not row-wise.
    """
    try:
        limit_length(text)
        tree = sqlglot.parse_one(text, dialect=Dialect)
        limit_tree(tree)
        measure_text(tree, cells={})
    except SqlglotError as error:
        raise ExpressionError(_describe_syntax(text, error)) from error
    except LimitError as error:
        raise ExpressionError(Fault(str(error))) from error
    except RecursionError as error:
        raise ExpressionError(Fault("parentheses are nested too deeply")) from error
    fault = next(_find_faults(tree, text), None)
    if fault is not None:
        raise ExpressionError(fault)
    return tree


def limit_derived(derive: Mapping[str, str]) -> None:
    """Refuse derived columns that are valid one by one, and too large together.

    Raises:
        ExpressionError: with the column and the rule.
    """
    total = sum(map(len, derive.values()))
    if total > MAX_TOTAL:
        raise ExpressionError(
            Fault(f"derived features have at most {MAX_TOTAL:,} characters in total, found {total:,}")
        )
    cells: dict[str, int] = {}
    levels: dict[str, int] = {}
    for name, text in derive.items():
        levels[name] = 1 + max((levels.get(column, 0) for column in list_columns(text)), default=0)
        if levels[name] > MAX_LEVELS:
            raise ExpressionError(
                Fault(f"{name}: derived features may read each other at most {MAX_LEVELS} levels deep")
            )
        try:
            cells[name] = measure_text(parse_expression(text), cells=cells)
        except (LimitError, ExpressionError) as error:
            raise ExpressionError(Fault(f"{name}: {error}")) from error


def list_columns(text: str) -> list[str]:
    """The columns that an expression reads, in the order of their names; empty if it is invalid."""
    try:
        tree = parse_expression(text)
    except ExpressionError:
        return []
    return sorted({column.name for column in tree.find_all(exp.Column)})


def split_aggregate(text: str) -> tuple[str, str, int]:
    """The function of an aggregate, its argument (`*` for rows), and the offset of that in the text.

    Raises:
        ExpressionError: it is not AVG(…), SUM(…) or COUNT(…).
    """
    head, parenthesis, rest = text.partition("(")
    function = head.strip().upper()
    inner = rest.rstrip().removesuffix(")")
    if not parenthesis or function not in AGGREGATES or inner == rest.rstrip():
        rule = f"{text!r} is not an aggregate: write AVG(…), SUM(…) or COUNT(…)"
        raise ExpressionError(Fault(rule, hint=nearest(function, AGGREGATES)))
    return function, inner.strip(), len(head) + 1 + len(inner) - len(inner.lstrip())


# --- faults -------------------------------------------------------------------------------------------


def _describe_syntax(text: str, error: SqlglotError) -> Fault:
    details = getattr(error, "errors", None) or []
    if not details:
        return Fault(f"not an SQL expression: {str(error).splitlines()[0]}")
    first = details[0]
    lines = text.splitlines(keepends=True)
    end = sum(map(len, lines[: first["line"] - 1])) + first["col"]
    near = first["highlight"] or ""
    reason = re.split(r"<class| but got <", first["description"])[0].removesuffix(" missing for ").strip()
    if reason.startswith("Required keyword"):
        reason = "something is missing"
    return Fault(f"not an SQL expression: {reason.lower()} at {near!r}", offset=max(0, end - len(near)))


def _find_faults(tree: exp.Expr, text: str) -> Iterator[Fault]:
    if isinstance(tree, exp.Alias):
        yield Fault(f"not an SQL expression: unexpected {tree.alias!r}", offset=text.rfind(tree.alias))
    for node in tree.walk(bfs=False):
        offset = node.meta.get("start", 0)
        name = _written_name(node, text)
        if isinstance(node, exp.Query | exp.Subquery | exp.Block | exp.Star | exp.Command):
            yield Fault("an expression reads only its own row: no query, star or second statement", offset=offset)
        elif isinstance(node, exp.Window) or name in _WINDOWS:
            yield Fault("a window reads other rows: use `asof` or `history` of data.examples", offset=offset)
        elif isinstance(node, exp.AggFunc) or name in _OVER_ROWS:
            rule = f"{name or type(node).__name__.upper()} aggregates over rows: an expression reads only its own row"
            yield Fault(f"{rule}; use `history` of data.examples", offset=offset)
        elif name in _CLOCKS or isinstance(node, exp.CurrentTimestamp | exp.CurrentDate | exp.CurrentTime):
            yield Fault("a clock gives another value in each run: use `predict_at` or a column", offset=offset)
        elif name in _RANDOM or isinstance(node, exp.Rand):
            yield Fault("randomness gives another value in each run", offset=offset)
        elif name in _UNROLL:
            yield Fault(f"{name} changes the number of rows", offset=offset)


def _written_name(node: exp.Expr, text: str) -> str:
    if not isinstance(node, exp.Func):
        return ""
    start, end = node.meta.get("start"), node.meta.get("end")
    return "" if start is None or end is None else text[start : end + 1].upper()


def _describe(text: str, error: BaseException, rows: pl.DataFrame) -> Fault:
    for column in parse_expression(text).find_all(exp.Column):
        if column.name not in rows.columns:
            identifier = column.find(exp.Identifier)
            offset = identifier.meta.get("start", 0) if identifier is not None else 0
            return Fault(f"no column {column.name!r} here", hint=nearest(column.name, rows.columns), offset=offset)
    reason = str(error).splitlines()[0].split(" (create native")[0]
    unsupported = "unsupported function "
    if reason.startswith(unsupported):
        name = reason.removeprefix(unsupported).strip("'").upper()
        offset = max(0, text.upper().find(name))
        return Fault(f"the engine has no function {name}", hint=nearest(name, ROW_WISE), offset=offset)
    return Fault(f"the expression does not fit its columns: {reason}")
