"""The door to the terminal for tables and coloured lines."""

from __future__ import annotations

import sys
from typing import Any

import rich.console
from rich.text import Text

from treadle.printable import escape


class Console(rich.console.Console):
    """Rich's, which writes what does not print as escapes: names and classes of a table are somebody else's.

    Args:
        width: of a line where the output is no terminal [characters].
    """

    def __init__(self, *, width: int) -> None:
        super().__init__(width=None if sys.stdout.isatty() else width)

    def render_str(self, text: str, **options: Any) -> Text:
        """Cells and lines come through here, before their width is taken."""
        return super().render_str(escape(text), **options)
