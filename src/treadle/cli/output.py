"""Plain lines for the terminal."""

from __future__ import annotations

import sys

from treadle.printable import escape_lines


def print_lines(*lines: str) -> None:
    """Print lines at once, with what does not print escaped.

    Raises:
        OSError: the output does not take them; the error names the output.
    """
    try:
        sys.stdout.writelines(f"{escape_lines(line)}\n" for line in lines)
        sys.stdout.flush()
    except OSError as error:
        error.filename = "standard output"
        raise
