"""Console blocks of a Markdown page: read, run in order in one shell, compared with what the page shows, rewritten.

A block is fenced by ```` ```console ````. Its lines after `$ ` are commands (`> ` continues one), the others their
output, in which `…` stands for any text, and a line of `…` alone for any lines; of a command that fails, more than that
is shown. Words after `console`: `long` is run by the exhaustive tests only, `shown` never. A block with `file=PATH` is
written to that path, in order with the commands.
"""

from __future__ import annotations

import difflib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path

ANY = "…"
_FENCE = re.compile(r"^```(\w+)(.*)$")
# What differs from run to run, or with each edit of the code: it is shown, and never compared.
_VOLATILE = re.compile(r"(?<=\b(?:in|is) )\d+(\.\d+)?(?= s\b)|(?<=-)[0-9a-f]{8}\b|(?<=offline-run-)[\w-]+")


@dataclass
class Command:
    """A command of a page, and the output that the page shows."""

    text: str
    first: int  # index of the first line of the output, in the page
    expected: list[str] = field(default_factory=list)
    status: int = 0  # its exit code, once it was run

    @property
    def fails_unseen(self) -> bool:
        """Whether it failed, and the page shows no word of it: an ellipsis matches the message of any error."""
        return self.status != 0 and not any(line.strip(f" {ANY}") for line in self.expected)


@dataclass(frozen=True)
class Block:
    """A fenced block that is run or written."""

    flags: str  # what follows the language
    language: str
    first: int  # index of the line after the fence
    lines: list[str]

    @property
    def file(self) -> str:
        """Where it is to be written; empty for a console."""
        return next((word.removeprefix("file=") for word in self.flags.split() if word.startswith("file=")), "")

    def is_due(self, *, long: bool) -> bool:
        """Whether it takes part: as a file or as a console that is run."""
        flags = self.flags.split()
        is_run = self.language == "console" and "shown" not in flags
        return (is_run or bool(self.file)) and (long or "long" not in flags)

    def list_commands(self) -> list[Command]:
        """Its commands, each with its output."""
        commands: list[Command] = []
        for index, line in enumerate(self.lines, start=self.first):
            if line.startswith("$ "):
                commands.append(Command(line[2:], index + 1))
            elif line.startswith("> ") and commands and not commands[-1].expected:
                commands[-1] = Command(f"{commands[-1].text}\n{line[2:]}", index + 1)
            else:
                assert commands, f"line {index + 1}: output before any command"
                commands[-1].expected.append(line)
        return commands


def read_blocks(text: str) -> list[Block]:
    """The fenced blocks of a page, in order."""
    blocks, opened = [], None
    for index, line in enumerate(lines := text.splitlines()):
        if opened is None and (fence := _FENCE.match(line)):
            opened = (fence[1], fence[2], index + 1)
        elif opened is not None and line == "```":
            language, flags, first = opened
            blocks.append(Block(flags.strip(), language, first, lines[first:index]))
            opened = None
    return blocks


def run_blocks(blocks: list[Block], *, folder: Path, timeout_s: int) -> list[tuple[Command, list[str]]]:
    """Each command with the lines that it printed; all run in one shell that begins in `folder`."""
    mark = "@@@ exit code"
    end = f'status=$?; echo "{mark} $status"; (exit $status)'  # the next command may ask for it
    commands, script = [], []
    for block in blocks:
        if block.file:
            script.append(_write_file(block))
            continue
        for command in block.list_commands():
            commands.append(command)
            script.append(f"{command.text}\n{end}")
    file = folder.with_name(f"{folder.name}.sh")
    file.write_text("\n".join(script))
    done = subprocess.run(
        ["bash", file], cwd=folder, env=_environment(), text=True, timeout=timeout_s, check=False,
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    *parts, rest = re.split(rf"{mark} (\d+)\n", done.stdout)  # outputs and exit codes by turns
    assert len(parts) == 2 * len(commands), f"the shell ended early:\n{rest[-2000:]}"
    for command, status in zip(commands, parts[1::2], strict=True):
        command.status = int(status)
    return [(command, _strip(part)) for command, part in zip(commands, parts[::2], strict=True)]


def _write_file(block: Block) -> str:
    path = shlex.quote(block.file)
    text = "\n".join(block.lines)
    return f"mkdir -p $(dirname {path})\ncat > {path} <<'END OF FILE'\n{text}\nEND OF FILE"


def _environment() -> dict[str, str]:
    own = {key: value for key, value in os.environ.items() if not key.startswith(("WANDB", "DVC"))}
    path = f"{Path(sys.executable).parent}{os.pathsep}{own['PATH']}"
    who = {f"GIT_{role}_{part}": "a@b" for role in ("AUTHOR", "COMMITTER") for part in ("NAME", "EMAIL")}
    return {**own, **who, "PATH": path, "OMP_NUM_THREADS": "1", "COLUMNS": "120", "TERM": "dumb"}


def _strip(text: str) -> list[str]:
    """Lines without blanks at their ends, and without empty lines around them."""
    return [line.rstrip() for line in text.rstrip().splitlines()]


# --- compare ------------------------------------------------------------------------------------------


def matches(expected: list[str], printed: list[str]) -> bool:
    """Whether a command printed what its page shows."""
    lines = ["(?:.*\n)*" if line.strip() == ANY else f"{_to_pattern(line)}\n" for line in expected]
    return re.fullmatch("".join(lines), "".join(f"{_VOLATILE.sub(ANY, line)}\n" for line in printed)) is not None


def _to_pattern(line: str) -> str:
    return ".*".join(map(re.escape, _VOLATILE.sub(ANY, line.rstrip()).split(ANY)))


# --- rewrite ------------------------------------------------------------------------------------------


def rewrite(text: str, results: list[tuple[Command, list[str]]]) -> str:
    """The page with what was printed; lines that still match, and the wildcards in them, stay."""
    lines = text.splitlines()
    for command, printed in reversed(results):
        if not matches(command.expected, printed):
            end = command.first + len(command.expected)
            lines[command.first : end] = _merge(command.expected, printed)
    return "\n".join(lines) + "\n"


def _merge(expected: list[str], printed: list[str]) -> list[str]:
    """The printed lines, where an expected one that matches takes its line's place."""
    same = [next((line for line in expected if line.strip() != ANY and matches([line], [p])), p) for p in printed]
    blocks = difflib.SequenceMatcher(a=expected, b=same, autojunk=False).get_matching_blocks()
    merged: list[str] = []
    ends = [(0, 0), *((b.a + b.size, b.b + b.size) for b in blocks)]
    for (end, other), block in zip(ends, blocks, strict=False):
        merged += _fill(expected[end : block.a], printed[other : block.b])
        merged += expected[block.a : block.a + block.size]
    return merged


def _fill(expected: list[str], printed: list[str]) -> list[str]:
    """Between lines that match: a wildcard keeps its place among the lines that are new."""
    if not any(line.strip() == ANY for line in expected):
        return printed
    before = next(index for index, line in enumerate(expected) if line.strip() == ANY)
    after = len(expected) - before - 1
    return [*printed[:before], ANY, *(printed[max(before, len(printed) - after) :] if after else [])]
