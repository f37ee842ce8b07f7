"""SQL to Polars without overflow: some functions give narrow or unsigned integers, and arithmetic would stay in them.

In Polars, `EXTRACT(HOUR FROM t)` is an 8-bit integer, so that `EXTRACT(HOUR FROM t) * 60` wraps around at 127, and
`LENGTH(s) - 5` of a shorter text is four thousand million. Each such call is made a 64-bit integer first.
"""

from __future__ import annotations

import re
from functools import cache

import polars as pl

NARROW = (
    "EXTRACT",
    "DATE_PART",
    "LENGTH",
    "CHAR_LENGTH",
    "CHARACTER_LENGTH",
    "OCTET_LENGTH",
    "BIT_LENGTH",
    "STRPOS",
    "BIT_COUNT",
    "ARRAY_LENGTH",
)
_PARTS = re.compile(rf"""'(?:[^']|'')*'|"(?:[^"]|"")*"|\b(?:{"|".join(NARROW)})\s*\(|[()]""", re.IGNORECASE)
_ZERO = "CAST(0 AS BIGINT)"


def to_expr(text: str) -> pl.Expr:
    """The Polars expression of an SQL expression.

    Raises:
        PolarsError: it is none.
    """
    return pl.sql_expr(widen(text))


@cache
def widen(text: str) -> str:
    """The same expression, in which no function gives a narrow integer.

    >>> widen("EXTRACT(HOUR FROM t) * 60")
    '(EXTRACT(HOUR FROM t) + CAST(0 AS BIGINT)) * 60'
    """
    parts: list[str] = []
    narrow: list[bool] = []  # for each open parenthesis: whether it is that of a narrow function
    end = 0
    for match in _PARTS.finditer(text):
        part = match[0]
        parts.append(text[end : match.start()])
        end = match.end()
        if part[0] in "'\"":
            parts.append(part)
        elif part == ")":
            is_narrow = narrow.pop() if narrow else False
            parts.append(f") + {_ZERO})" if is_narrow else part)
        else:
            narrow.append(part != "(")
            parts.append(f"({part}" if part != "(" else part)
    return "".join([*parts, text[end:]])
