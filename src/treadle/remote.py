"""Files at an address (`https://`, `s3://`, `gs://`, `az://`): a copy is kept here, and fetched again when they change.

A run is identified by the content of its files, so all of a file is needed, and once. Credentials come from where
the libraries look for them (the environment, a profile, `~/.netrc`), or from a variable that the address names:
`https://host/rows.csv?sig=$SIGNATURE`. They are in no file that is written here, and in no message.
"""

from __future__ import annotations

import hashlib
import os
import re
import sys
import time
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import quote, urlsplit

from filelock import FileLock

from treadle.disk import read_record, replacing, write_json
from treadle.errors import TreadleError
from treadle.secrets import HIDDEN, redact

OFFLINE = "TREADLE_OFFLINE"  # variable: copies are used as they are
FRESH_S = 60.0  # for so long a process takes a copy for the file [s]

_EXTRAS = {
    "http": "",
    "https": "",
    "s3": "s3",
    "gs": "gs",
    "gcs": "gs",
    "az": "azure",
    "abfs": "azure",
    "abfss": "azure",
}
_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_VARIABLE = re.compile(r"\$([A-Za-z_][A-Za-z0-9_]*)")
# What tells of a change, by the names that the file systems of fsspec give to it.
_VALIDATORS = (
    *("ETag", "etag", "Content-MD5", "content_md5", "md5Hash", "Digest", "generation", "VersionId"),
    *("Last-Modified", "LastModified", "last_modified", "updated", "mtime"),
)
_STATE = "state.json"
_checked: dict[tuple[str, Path], tuple[float, list[Path]]] = {}


def is_remote(path: str) -> bool:
    """Whether it is an address rather than a path."""
    return _ADDRESS.match(path) is not None


def fetch(address: str, *, folder: Path) -> list[Path]:
    """Copies of the files at an address, or at a pattern of addresses, in the order of their names.

    Args:
        address: of a file; with `*` of several, but for HTTP. `$NAME` stands for a variable of the environment.
        folder: where copies are kept, one folder for each file.

    Returns:
        The copies, which have the names of the files; none where there is no file.

    Raises:
        TreadleError: the scheme is not known, its library is not installed, or the server cannot be asked.
    """
    known = _checked.get((address, folder))
    if known is not None and time.monotonic() - known[0] < FRESH_S and all(path.is_file() for path in known[1]):
        return known[1]
    scheme = require_scheme(address)
    if os.environ.get(OFFLINE):
        return _list_copies(address, folder)
    full, secrets = fill_variables(address)
    try:
        copies = _fetch(scheme, full, address, folder)
    except TreadleError:
        raise
    except FileNotFoundError as error:
        if is_absent(error):
            return []
        raise explain(error.__cause__ or error, address, secrets) from None
    except Exception as error:  # noqa: BLE001 - each library has errors of its own
        raise explain(error, address, secrets) from None  # the cause may hold the full address
    _checked[address, folder] = (time.monotonic(), copies)
    return copies


def forget() -> None:
    """Ask the servers anew from now on."""
    _checked.clear()


def require_scheme(address: str) -> str:
    """The scheme of an address, in small letters.

    Raises:
        TreadleError: it is not one that is read.
    """
    scheme = address.partition("://")[0].lower()
    if scheme not in _EXTRAS:
        known = ", ".join(f"{name}://" for name in _EXTRAS)
        raise TreadleError(
            f"{redact(address)}: files are read from {known}, or from a path; `{scheme}://` is none of these"
        )
    return scheme


def fill_variables(address: str) -> tuple[str, dict[str, str]]:
    """The address with the values of the variables that it names, and what to show in place of each value.

    Raises:
        TreadleError: the environment has no such variable.
    """
    secrets: dict[str, str] = {}
    return _VARIABLE.sub(lambda found: _expand(found[1], address, secrets), address), secrets


def _expand(name: str, address: str, secrets: dict[str, str]) -> str:
    """The value of a variable, as it stands in an address."""
    value = os.environ.get(name)
    if not value:
        raise TreadleError(f"{redact(address)}: the environment has no {name}, which the address names")
    written = value if _is_quoted(value) else quote(value, safe="")
    secrets |= {value: f"${name}", written: f"${name}"}
    return written


def _is_quoted(value: str) -> bool:
    """Whether a value is already written as addresses write it, as a signature that was copied from one."""
    return "%" in value and re.fullmatch(r"(?:[A-Za-z0-9._~=&+-]|%[0-9A-Fa-f]{2})+", value) is not None


def _fetch(scheme: str, full: str, address: str, folder: Path) -> list[Path]:
    system, path = open_system(scheme, full)
    is_pattern = not scheme.startswith("http") and "*" in path
    paths = sorted(map(str, system.glob(path))) if is_pattern else [path]
    copies = []
    for found in paths:
        own = f"{scheme}://{found}" if is_pattern else address
        copies.append(_copy(system, found, own, folder, pattern=address))
    return copies


def open_system(scheme: str, full: str) -> tuple[Any, str]:
    """The file system of fsspec at an address, and the path there.

    Raises:
        TreadleError: its library is not installed.
    """
    try:
        from fsspec.core import url_to_fs

        options: dict[str, Any] = {"client_kwargs": {"trust_env": True}} if scheme.startswith("http") else {}
        system, path = url_to_fs(full, use_listings_cache=False, skip_instance_cache=True, **options)
    except ImportError:
        extra = _EXTRAS[scheme]
        raise TreadleError(f"{scheme}:// needs its library: pip install 'treadle[{extra or 'http'}]'") from None
    return system, path


def _copy(system: Any, path: str, address: str, folder: Path, *, pattern: str) -> Path:
    """The copy of one file, fetched where it is not there or has changed."""
    name = PurePosixPath(urlsplit(address).path).name
    if not name:
        raise TreadleError(f"{redact(address)}: is the address of a folder; name a file of it")
    own = folder / digest(address)
    own.mkdir(parents=True, exist_ok=True)
    with FileLock(own / ".lock"):
        info = system.info(path)
        if info.get("type") == "directory":
            raise TreadleError(f"{redact(address)}: is a folder; name its files, such as {redact(address)}/*.parquet")
        # An address may be a signed one, which gives access to whoever reads it.
        named = {"address": redact(address), "pattern": digest(pattern), "name": name}
        state = {**named, "file": _identify(info)}
        copy = own / name
        if not (copy.is_file() and _is_same(read_record(own / _STATE), state)):
            with replacing(copy) as partial:
                system.get_file(path, str(partial))
            write_json(own / _STATE, state)
            sys.stderr.write(f"treadle: fetched {redact(address)} ({copy.stat().st_size / 1e6:,.1f} MB)\n")
    return copy


def digest(address: str) -> str:
    """A name for the copy of what is at an address."""
    return hashlib.sha256(address.encode()).hexdigest()[:16]


def _identify(info: Mapping[str, Any]) -> dict[str, str]:
    """What tells one content of a file from another."""
    return {name: str(info[name]) for name in ("size", *_VALIDATORS) if info.get(name) is not None}


def _is_same(before: Mapping[str, Any] | None, state: Mapping[str, Any]) -> bool:
    """Whether the file is as it was; never where the server tells no more than a size."""
    return before == state and bool(set(state["file"]) - {"size"})


def _list_copies(address: str, folder: Path) -> list[Path]:
    states = {path: read_record(path) or {} for path in folder.glob(f"*/{_STATE}")}
    found = [path.parent / state["name"] for path, state in states.items() if state.get("pattern") == digest(address)]
    return sorted((copy for copy in found if copy.is_file()), key=lambda copy: states[copy.parent / _STATE]["address"])


def is_absent(error: FileNotFoundError) -> bool:
    """Whether there is no such file; fsspec says that too where a server refuses, or is not there."""
    cause = error.__cause__
    return (
        type(cause).__module__.partition(".")[0] != "aiohttp" or getattr(cause, "status", None) == HTTPStatus.NOT_FOUND
    )


def explain(error: BaseException, address: str, secrets: Mapping[str, str]) -> TreadleError:
    """What a library says, with the names of variables in place of their values."""
    said = " ".join(str(error).split()) or type(error).__name__
    for value in sorted(secrets, key=len, reverse=True):
        said = said.replace(value, secrets[value] if len(value) > 1 else HIDDEN)
    fix = f"set {OFFLINE}=1 to use the copy that was fetched before"
    return TreadleError(f"{redact(address)}: cannot be read: {redact(said)}; {fix}")
