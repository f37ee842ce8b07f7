"""Text as it may be shown: a control character of a table's cell must not reach a terminal or a file of ours.

What does not print is written as JSON escapes it: line ends, the escape character with which a terminal's commands
begin, marks that turn the direction of writing.
"""

from __future__ import annotations

import json

# They print, although not for Python: no-break, thin, narrow no-break and ideographic space; joiners of letters.
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
    """The same for a text that has lines and tabs of its own, as a message with its hints."""
    return "\n".join("\t".join(map(escape, line.split("\t"))) for line in text.split("\n"))


def _write(character: str) -> str:
    return json.dumps(character)[1:-1] if character != "\x7f" else "\\u007f"  # which JSON takes as it is
