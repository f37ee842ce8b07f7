"""Text as it may be shown: a control character of a table's cell must not reach a terminal or a file of ours."""

from __future__ import annotations


def escape(text: str) -> str:
    r"""The text in one line, with each character that does not print written as Python would.

    >>> escape("a\x1b]8;;b\nc\u202ed é")
    'a\\x1b]8;;b\\nc\\u202ed é'
    """
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in _SPACES else repr(c)[1:-1] for c in text)


def escape_lines(text: str) -> str:
    """The same for a text that has lines of its own, as a message with its hints."""
    return "\n".join(map(escape, text.split("\n")))


_SPACES = (
    "\u00a0\u2009\u202f\u3000"  # no-break, thin, narrow no-break, ideographic: they print, although not for Python
)
