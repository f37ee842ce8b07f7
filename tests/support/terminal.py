"""A shell in a terminal of its own: keys are typed, and what then stands on the command line is read back."""

import os
import pty
import re
import select
import subprocess
import sys
import time
from pathlib import Path

TIMEOUT_S = 20
COMMANDS = {"bash": ["bash", "--norc", "--noprofile", "-i"], "zsh": ["zsh", "-f", "-i"]}
CTRL_G, CTRL_U = "\a", "\x15"
SHOW = {  # Ctrl-G shows the line that is being edited
    "bash": r"""bind 'set bell-style none'; bind -x '"\C-g": printf "<<%s>>\n" "$READLINE_LINE"'""",
    "zsh": """show() { print -r -- "<<$BUFFER>>" }; zle -N show; bindkey ^G show; autoload compinit; compinit -uD""",
}


def make_environment(folder):
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "HOME": str(folder),
        "TERM": "dumb",
        "INPUTRC": os.devnull,
    }


class Terminal:
    """bash or zsh, with the completion script loaded."""

    def __init__(self, shell, *, folder):
        self.master, slave = pty.openpty()
        self.process = subprocess.Popen(
            COMMANDS[shell],
            stdin=slave,
            stdout=slave,
            stderr=slave,
            cwd=folder,
            env=make_environment(folder),
            start_new_session=True,
        )
        os.close(slave)
        self.run(f'stty cols 500; {SHOW[shell]}; eval "$(treadle completion {shell})"')

    def complete(self, line):
        """The command line after a TAB at its end."""
        self.write(f"{line}\t{CTRL_G}")
        completed = self.read_until("<<(.*?)>>")
        self.write(CTRL_U)
        return completed

    def run(self, command):
        """Run a command to its end."""
        self.write(f"{command}; echo do''ne\n")
        self.read_until("(done)")

    def write(self, text):
        os.write(self.master, text.encode())

    def read_until(self, pattern):
        seen = ""
        deadline = time.monotonic() + TIMEOUT_S
        while not (found := re.search(pattern, seen)):
            ready, _, _ = select.select([self.master], [], [], max(0.0, deadline - time.monotonic()))
            assert ready, f"no {pattern!r} in {seen!r}"
            seen += os.read(self.master, 65536).decode(errors="replace")
        return found.group(1)

    def close(self):
        self.process.kill()
        self.process.wait()
        os.close(self.master)
