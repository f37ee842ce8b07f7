"""The entry of the command line: one verb, its errors in one line, its exit code."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from treadle.cli.commands import VERBS
from treadle.cli.output import print_lines
from treadle.cli.parser import read_arguments
from treadle.cli.selected import find_own_packages


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb: 0 is success, 1 a failure, 2 a mistake in the configuration or the command, 3 rejected rows."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        return _run_verb(words)
    except KeyboardInterrupt:
        left = "nothing was made" if "init" in words else "the same command resumes from the last epoch"
        sys.stderr.write(f"treadle {_find_verb(words)}: interrupted; {left}\n")
        return 130
    except Exception as error:
        if "--traceback" in words:
            raise
        from treadle.cli import faults  # not before: it imports pydantic, and a TAB should not wait for that

        return faults.print_fault(error, verb=_find_verb(words))


def _run_verb(words: list[str]) -> int:
    _open_output()
    _require_text(words)
    try:
        options = read_arguments(words)
        find_own_packages(Path.cwd())
        return int(VERBS[options.verb].execute(options) or 0)
    finally:
        print_lines()  # flushes: what cannot be written is an error here, not a remark of Python's at its exit


def _find_verb(words: Sequence[str]) -> str:
    return next((word for word in words if word in VERBS), "")


def _open_output() -> None:
    """Escape what the terminal cannot show, and discard what a closed output would get."""
    sys.stdout = sys.stdout or Path(os.devnull).open("w")  # noqa: SIM115 - for as long as the process lives
    sys.stderr = sys.stderr or Path(os.devnull).open("w")  # noqa: SIM115
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def _require_text(words: Sequence[str]) -> None:
    """Bytes that are not UTF-8 name nothing that the libraries could open or write.

    Raises:
        TreadleError: a word holds such bytes.
    """
    wrong = [word for word in words if not word.isascii() and not _is_text(word)]
    if wrong and words[0] != "completion":
        from treadle.errors import TreadleError

        raise TreadleError(f"{os.fsencode(wrong[0])!r} is not in UTF-8; give names and values in UTF-8")


def _is_text(word: str) -> bool:
    try:
        word.encode()
    except UnicodeEncodeError:
        return False
    return True
