"""Images at an address: each is fetched once, and kept as a file.

An image is taken to stay as it is while its name stays: unlike a table it is not asked for again. So give another
image another name, as content stores do; where a name was used again, delete the folder of the copies.
"""

from __future__ import annotations

import os
import posixpath
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

import polars as pl

from treadle.disk import replacing
from treadle.errors import TreadleError
from treadle.images import find_fault
from treadle.remote import OFFLINE, digest, explain, fill_variables, is_absent, is_remote, open_system, require_scheme
from treadle.secrets import redact
from treadle.threads import map_ahead

_NUM_THREADS = 16  # that wait for a server
_GONE = {HTTPStatus.NOT_FOUND, HTTPStatus.GONE}


def fetch_images(names: pl.Series, *, address: str, copies: Path) -> pl.Series:
    """What is in the files at an address; of one that is no image, where it is and why, as bytes that are none either.

    Args:
        names: of files below the address, or whole addresses that begin with it.
        address: of a folder, such as `https://images.example.org/cats` or `s3://bucket/cats`. `$NAME` stands for a
            variable of the environment. `https://` alone stands for any host.
        copies: folder in which images are kept.

    Raises:
        TreadleError: the server cannot be asked, or refuses: what is not known to be absent does not count as missing.
    """
    source = _Source(address, copies)
    known = names.drop_nulls().unique(maintain_order=True).to_list()
    found = dict(zip(known, map_ahead(source.read, known, num_threads=_NUM_THREADS), strict=True))
    return pl.Series(names.name, [found.get(name) for name in names.to_list()], dtype=pl.Binary())


class _Source:
    def __init__(self, address: str, copies: Path) -> None:
        self._address = address
        self._copies = copies
        self._scheme = require_scheme(address)
        self._systems: dict[str, Any] = {}

    def read(self, name: str) -> bytes | None:
        """An image, or its address and what is wrong with it; None for a blank name."""
        if not name.strip():
            return None
        place = self._locate(name.strip())
        if place is None:
            return f"{redact(name)}: outside of {redact(self._address)}".encode()
        own = digest(place)
        copy = self._copies / own[:2] / own
        if copy.is_file():
            return copy.read_bytes()
        content = self._fetch(place)
        fault = "No such file" if content is None else find_fault(content)
        if content is None or fault:
            return f"{redact(place)}: {fault}".encode()
        copy.parent.mkdir(parents=True, exist_ok=True)
        with replacing(copy) as partial:
            partial.write_bytes(content)
        return content

    def _locate(self, name: str) -> str | None:
        """The address of an image as it may be shown, variables in it unfilled; None where it is outside."""
        base = urlsplit(self._address)
        folder = posixpath.join(base.path, "")
        if is_remote(name):
            asked = urlsplit(name)
            same_place = asked.scheme.lower() == base.scheme.lower() and base.netloc in {"", asked.netloc}
            inside = posixpath.normpath(asked.path).startswith(folder) and ".." not in asked.path.split("/")
            return name if same_place and inside and "$" not in name else None
        inside_path = posixpath.normpath(name)
        if not base.netloc or inside_path.startswith(("/", "..")) or "$" in name:
            return None
        path = folder + (quote(inside_path) if self._scheme.startswith("http") else inside_path)
        return urlunsplit((base.scheme, base.netloc, path, base.query, ""))

    def _fetch(self, place: str) -> bytes | None:
        """The file at an address; None where there is none."""
        if os.environ.get(OFFLINE):
            raise TreadleError(f"{redact(place)}: was not fetched before, and {OFFLINE} is set")
        full, secrets = fill_variables(place)
        try:
            system, path = self._open(full)
            content: bytes = system.cat_file(path)
        except TreadleError:
            raise
        except Exception as error:  # noqa: BLE001 - each library has errors of its own
            absent = isinstance(error, FileNotFoundError) and is_absent(error)
            if absent or getattr(error, "status", None) in _GONE:
                return None
            raise explain(error, place, secrets) from None  # the cause may hold the full address
        return content

    def _open(self, full: str) -> tuple[Any, str]:
        """One connection for all images of a host."""
        host = urlsplit(full).netloc
        if host not in self._systems:
            self._systems[host] = open_system(self._scheme, full)[0]
        system = self._systems[host]
        return system, system._strip_protocol(full)  # noqa: SLF001 - `url_to_fs` would make another system
