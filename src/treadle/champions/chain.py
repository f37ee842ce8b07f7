"""Files of lines that are only ever appended to: each line is a JSON object, with the digest of the line before.

A line that was changed or removed afterwards breaks the chain and is found; the last lines alone can be removed unseen,
which git shows. A last line that a crash cut short counts for nothing, and goes with the next one.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, TypeVar

from treadle.disk import read_text, write_text
from treadle.errors import TreadleError

_BEGIN = "0" * 64  # the digest before the first line
Item = TypeVar("Item")


@dataclass(frozen=True)
class Chain(Generic[Item]):
    """What such a file holds."""

    path: Path
    items: tuple[Item, ...]
    head: str  # digest of the last line
    torn: str  # what follows it: a line that was cut short


def read_chain(path: Path, make: Callable[..., Item]) -> Chain[Item]:
    """Every line; none where there is no file.

    Args:
        path: of the file.
        make: builds an item from the values of its line, by name.

    Raises:
        TreadleError: a line was changed or removed, or is no item.
    """
    text = read_text(path) if path.is_file() else ""
    lines = re.findall(r"[^\n]*\n|[^\n]+", text)  # `splitlines` ends them at U+2028 as well, which JSON leaves as it is
    torn = lines.pop() if lines and not lines[-1].endswith("\n") else ""
    items, head = [], _BEGIN
    for number, line in enumerate(lines, start=1):
        items.append(_read_line(line, make, place=f"{path}:{number}", before=head))
        head = _digest(line)
    return Chain(path, tuple(items), head, torn)


def append_line(chain: Chain[Item], values: Mapping[str, Any]) -> str:
    """Add a line, by a new file that replaces the old one whole; gives its digest. The caller holds a lock."""
    line = json.dumps({**values, "previous": chain.head}, allow_nan=False, ensure_ascii=False) + "\n"
    kept = read_text(chain.path)[: -len(chain.torn) or None] if chain.path.is_file() else ""
    write_text(chain.path, kept + line)
    return _digest(line)


def _read_line(line: str, make: Callable[..., Item], *, place: str, before: str) -> Item:
    try:
        values = json.loads(line)
        previous = values.pop("previous")
        item = make(**values)
    except (ValueError, TypeError, KeyError, AttributeError) as error:
        fix = "a ledger is only appended to: take the line back from git, and make decisions anew that a merge lost"
        raise TreadleError(f"{place}: is no decision ({type(error).__name__}: {error}); {fix}") from error
    if previous != before:
        raise TreadleError(
            f"{place}: does not follow the line before it: a line was changed, removed or put between; "
            "`git log -p` of the file shows when. Take the lines back from git"
        )
    return item


def _digest(line: str) -> str:
    return hashlib.sha256(line.encode()).hexdigest()
