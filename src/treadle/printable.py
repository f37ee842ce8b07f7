"""Text that is safe to print: a control character in a cell of a table must not reach a terminal or a report.

Unprintable characters are escaped as in JSON: line ends, the escape character of terminal sequences, marks that change
the direction of writing.
"""

from __future__ import annotations

import json
from typing import Any

SHOWN = 100  # characters of what came from outside, or names in it, that a message reads
# Printable, if not by `str.isprintable`: no-break, thin, narrow no-break and ideographic space; joiners of letters.
_ALLOWED = frozenset("\u00a0\u2009\u202f\u3000\u200c\u200d")


def escape(text: str) -> str:
    r"""The text in one line, in which every character prints.

    >>> escape("a\x1b]8;;b\nc\u202ed é")
    'a\\u001b]8;;b\\nc\\u202ed é'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _ALLOWED else _write(c) for c in text)


def escape_lines(text: str) -> str:
    """The same for a text of several lines, keeping line ends and tabs."""
    return "\n".join("\t".join(map(escape, line.split("\t"))) for line in text.split("\n"))


def abbreviate(value: Any) -> str:
    """A value of JSON, however large and deep it is, in few characters.

    >>> abbreviate([[1, 2], 3])
    'a list of 2'
    """
    if isinstance(value, dict | list):
        return f"{'an object' if isinstance(value, dict) else 'a list'} of {len(value):,}"
    text = escape(str(value)) if not isinstance(value, int) or abs(value) < 1 << 64 else "a number beyond 64 bits"
    return text if len(text) <= SHOWN else f"{text[:SHOWN]}…"


def _write(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"  # which JSON does not escape
