"""Tables and coloured lines for the terminal: the only module that opens a Rich console."""

from __future__ import annotations

import sys
from typing import Any

import rich.console
from rich.text import Text

from treadle.printable import escape


class Console(rich.console.Console):
    """Rich's console, which escapes what does not print: names and classes of a table come from outside.

    Args:
        width: of a line where the output is no terminal [characters].
    """

    def __init__(self, *, width: int) -> None:
        super().__init__(width=None if sys.stdout.isatty() else width)

    def render_str(self, text: str, **options: Any) -> Text:
        """Escape cells and lines before Rich measures their width."""
        return super().render_str(escape(text), **options)
