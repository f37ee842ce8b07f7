"""JSON from an untrusted source: read within limits of size and depth."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

from treadle.disk import replacing
from treadle.errors import TreadleError

# A vocabulary of five million words fits; a larger file is refused before it is read.
MAX_BYTES = 256 << 20
MAX_VALUES = 10_000_000
MAX_DEPTH = 64  # of nested lists and objects


def read_json(file: Path) -> Any:
    """The plain values of a file: finite numbers, no name twice in an object.

    Raises:
        TreadleError: it is not JSON, or exceeds a limit.
    """
    data = read_limited(file, max_bytes=MAX_BYTES)
    if sum(map(data.count, (b"[", b"{", b","))) > MAX_VALUES:
        raise TreadleError(f"{file} holds more than {MAX_VALUES:,} values")
    try:
        values = json.loads(data.decode("utf-8"), parse_constant=_refuse_constant, object_pairs_hook=_make_object)
    except RecursionError as error:
        raise TreadleError(f"{file} is nested deeper than {MAX_DEPTH} levels") from error
    except ValueError as error:
        raise TreadleError(f"{file} is not JSON: {error}") from error
    _limit_depth(values, file)
    return values


def write_json(values: Any, file: Path) -> None:
    """Write values that `read_json` reads.

    Raises:
        TreadleError: they exceed a limit; nothing is written then.
    """
    text = json.dumps(values, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    data = text.encode("utf-8")
    require_readable(data, file)
    with replacing(file) as partial:
        partial.write_bytes(data)


def require_readable(data: bytes, file: Path) -> None:
    """JSON that is about to be written exceeds no limit of `read_json`.

    Raises:
        TreadleError: it does.
    """
    if len(data) > MAX_BYTES or sum(map(data.count, (b"[", b"{", b","))) > MAX_VALUES:
        raise TreadleError(f"{file} would hold more than {MAX_BYTES >> 20} MiB or {MAX_VALUES:,} values")


def read_limited(file: Path, *, max_bytes: int) -> bytes:
    """The content of a plain file of that size at most.

    Raises:
        TreadleError: it is larger, or cannot be read.
    """
    try:
        if not file.is_file():
            raise TreadleError(f"{file} is missing, or is no plain file")
        with file.open("rb") as stream:
            size = file.stat().st_size
            data = stream.read(max_bytes + 1) if size <= max_bytes else b""
    except OSError as error:
        raise TreadleError(f"{file} cannot be read: {error.strerror}") from error
    if max(size, len(data)) > max_bytes:
        raise TreadleError(f"{file} is larger than {max_bytes >> 20} MiB")
    return data


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _make_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) < len(pairs):
        raise ValueError("an object holds a name twice")
    return made


def _limit_depth(values: Any, file: Path) -> None:
    """Level by level, since the values may be nested as deep as Python's own limit."""
    level = [value for value in (values,) if isinstance(value, dict | list)]
    for _ in range(MAX_DEPTH):
        items = (item for value in level for item in (value.values() if isinstance(value, dict) else value))
        level = [item for item in items if isinstance(item, dict | list)]
    if level:
        raise TreadleError(f"{file} is nested deeper than {MAX_DEPTH} levels")
