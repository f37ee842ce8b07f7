"""What a person sees of a program in a terminal: lines and the cursor, by the few sequences that Rich writes."""

import codecs
import os
import pty
import re
import struct
import subprocess
import termios
from contextlib import suppress
from fcntl import ioctl

_SEQUENCE = re.compile(r"\x1b\[(\??)(\d*)[\d;]*([A-Za-z])")
_CUT = re.compile(r"\x1b(\[[\d;?]*)?$")  # a sequence of which the end is not there yet


class Screen:
    """Lines of a terminal that never scrolls away."""

    def __init__(self):
        self.lines = [""]
        self.row = 0
        self.column = 0
        self.is_cursor_shown = True

    def write(self, text):
        position = 0
        while position < len(text):
            if found := _SEQUENCE.match(text, position):
                self._obey(*found.groups())
                position = found.end()
            else:
                self._put(text[position])
                position += 1

    def _obey(self, private, count, letter):
        if private and letter in "hl" and count == "25":
            self.is_cursor_shown = letter == "h"
        elif letter == "A":
            self.row -= int(count or 1)
        elif letter == "K":
            self.lines[self.row] = "" if count == "2" else self.lines[self.row][: self.column]

    def _put(self, character):
        if character == "\n":
            self.row += 1
            if self.row == len(self.lines):
                self.lines.append("")
        elif character == "\r":
            self.column = 0
        else:
            line = self.lines[self.row].ljust(self.column)
            self.lines[self.row] = line[: self.column] + character + line[self.column + 1 :]
            self.column += 1


def run_in_terminal(command, *, cwd, environment):
    """The exit code, the screen at the end, and everything that it has shown, a text a moment."""
    master, slave = pty.openpty()
    ioctl(slave, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))
    environment = {**os.environ, "TERM": "xterm", **environment}
    process = subprocess.Popen(
        command, cwd=cwd, env=environment, stdin=slave, stdout=slave, stderr=slave, start_new_session=True
    )
    os.close(slave)
    screen, moments, rest = Screen(), [], ""
    decoder = codecs.getincrementaldecoder("utf-8")()
    with suppress(OSError):  # how a terminal ends
        while part := os.read(master, 65536):
            text = rest + decoder.decode(part)
            cut = _CUT.search(text)
            text, rest = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
            screen.write(text)
            moments.append("\n".join(screen.lines))
    os.close(master)
    return process.wait(), screen, moments
