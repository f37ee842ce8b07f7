"""How a process ended, in words."""

from __future__ import annotations

import signal


def describe_exit(code: int) -> str:
    """From the exit code that `subprocess` and `multiprocessing` tell; that of a signal is negative.

    >>> describe_exit(2), describe_exit(-9)
    ('ended with exit code 2', 'killed by SIGKILL; the machine may be out of memory')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    number = signal.Signals(-code)
    return f"killed by {number.name}" + ("; the machine may be out of memory" if number == signal.SIGKILL else "")
