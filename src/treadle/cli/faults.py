"""Error messages: what went wrong in one line, with the place, the rule and the fix."""

from __future__ import annotations

import errno
import os
import sys
import traceback
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from treadle.disk import find_errno
from treadle.errors import TreadleError
from treadle.experiment.modules import is_installed
from treadle.printable import escape_lines
from treadle.secrets import redact

_AGAIN = "run the same command again; it resumes from there"
_FIXES = {
    errno.ENOSPC: f"free some space, and {_AGAIN}",
    errno.EDQUOT: f"free some space of yours, and {_AGAIN}",
    errno.EFBIG: f"raise the limit of a file's size (`ulimit -f`), and {_AGAIN}",
    errno.EACCES: "give yourself the permission, or name another place",
    errno.EPERM: "give yourself the permission, or name another place",
    errno.EROFS: "name another place",
    errno.EISDIR: "name a file",
    errno.ENOTDIR: "a part of the path is a file; name another place",
    errno.ENOENT: "make its folder, or name another place; if it was removed in the meantime, run this again",
    errno.ENAMETOOLONG: "give a shorter name",
    errno.EMFILE: "raise the limit of open files (`ulimit -n`)",
    errno.EIO: "the disk does not read or write; see the system's log",
}
_OWN = Path(__file__).parents[1]


def print_fault(error: Exception, *, verb: str) -> int:
    """Print what went wrong, and give the exit code; where the reader of the output has gone, print nothing."""
    fault = describe(error)
    if not isinstance(error, BrokenPipeError):
        with suppress(OSError):
            sys.stderr.write(f"{_mark(f'treadle {verb}'.rstrip() + ':')} {escape_lines(fault.text)}\n")
    if not _is_output_open():
        _abandon_output()
    return fault.code


def _mark(text: str) -> str:
    """Red in a terminal that shows colours; see no-color.org."""
    colored = sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return f"\x1b[1;31m{text}\x1b[0m" if colored else text


@dataclass(frozen=True)
class Fault:
    """The message of a failed command, and its exit code: 1 a failure at run time, 2 a mistake of the user."""

    text: str
    code: int


def describe(error: Exception) -> Fault:
    """The fault behind an exception, without the passwords in addresses."""
    fault = _describe(error)
    return replace(fault, text=redact(fault.text))


def _describe(error: Exception) -> Fault:
    if isinstance(error, TreadleError):
        return Fault(str(error), 2)
    if (number := find_errno(error)) is not None:
        return Fault(_describe_system(error, number), 1)
    if isinstance(error, UnicodeError):
        return Fault(f"a text is not in UTF-8: {error}; save the file in UTF-8", 2)
    if isinstance(error, MemoryError):
        return Fault(f"out of memory; take fewer rows or a smaller model, and {_AGAIN}", 1)
    return Fault(_describe_unexpected(error), 1)


def _describe_system(error: Exception, number: int) -> str:
    given = (getattr(error, "filename", None), getattr(error, "filename2", None))
    names = [os.fsdecode(name) for name in given if isinstance(name, str | bytes | os.PathLike)]
    if not names and number == errno.ENOENT and not Path().exists():
        names = ["the current folder"]
    what = os.strerror(number) if isinstance(error, OSError) else str(error).splitlines()[0]
    return ": ".join([*dict.fromkeys(names), what]) + (f"; {_FIXES[number]}" if number in _FIXES else "")


def _is_output_open() -> bool:
    """Whether what was printed can be written."""
    try:
        sys.stdout.flush()
    except OSError:
        return False
    return True


def _abandon_output() -> None:
    """Discard what cannot be written, so that Python does not try again, and warn, at its exit."""
    with suppress(OSError, ValueError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _describe_unexpected(error: Exception) -> str:
    """A bug: in whose code, and where."""
    lines = str(error).splitlines()
    what = f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__
    notes = "".join(f"; {note}" for note in getattr(error, "__notes__", ()))
    places = [frame for frame in traceback.extract_tb(error.__traceback__) if _is_readable(frame.filename)]
    where = f", at {places[-1].filename}:{places[-1].lineno}" if places else ""
    if places and Path(places[-1].filename).is_relative_to(_OWN):
        return f"{what}{where}; this is a bug in Treadle; please report it with the output of --traceback{notes}"
    return f"{what}{where}; --traceback shows where it was raised{notes}"


def _is_readable(filename: str) -> bool:
    """Whether a frame is in the user's code or in Treadle: not in a library, and not in Python."""
    path = Path(filename)
    return path.is_relative_to(_OWN) or (path.is_file() and not is_installed(path))
