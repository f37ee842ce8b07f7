"""A share of the keys that another bundle answers: always the same keys for one bundle, others for the next."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from treadle.errors import TreadleError
from treadle.experiment.spec import Canary as Spec

if TYPE_CHECKING:
    from treadle.serving.service import Served

_RANGE = 1 << 64
LOGGER = logging.getLogger("treadle.serving")


class Canary:
    """Chooses the rows that a challenger answers.

    Args:
        spec: `serving.canary`, with a bundle and a key.
        find: the digest of the challenger's bundle; None: there is none now.
        load: the bundle.

    Raises:
        TreadleError: there is no key, or the bundle cannot be loaded.
    """

    def __init__(self, spec: Spec, *, find: Callable[[], str | None], load: Callable[[], Served]) -> None:
        if spec.key is None:
            fix = "name the column whose values stay with one bundle, such as customer"
            raise TreadleError(f"serving.canary.key is needed with serving.canary.bundle; {fix}")
        self.key, self._share = spec.key, spec.share
        self._find, self._load = find, load
        self.fault: str | None = None  # of the last time that it looked
        self.served: Served | None = None
        if find() is not None:
            self.served = load()

    def look(self, *, champion: str) -> Served | None:
        """Follow the reference; gives the bundle that has ended. One that cannot be loaded changes nothing.

        Args:
            champion: digest of the bundle that answers the others; a canary that became champion has ended.
        """
        before = self.served
        try:
            digest = self._find()
            if digest is None or digest == champion:
                self.served = None
            elif before is None or digest != before.digest:
                self.served = self._load()
                LOGGER.warning("the bundle %s answers a share of %g", digest[:12], self._share)
        except (TreadleError, OSError) as error:
            if str(error) != self.fault:
                LOGGER.error("the canary was not loaded: %s", error)  # noqa: TRY400 - it says what is wrong
            self.fault = str(error)
            return None
        self.fault = None
        return before if self.served is not before else None

    def chooses(self, row: Any, digest: str) -> bool:
        """Whether the challenger answers a row; one without the key goes to the champion."""
        value = self._take_key(row)
        return value is not None and draw(value, salt=digest) < self._share

    def name_key(self, row: Any) -> str | None:
        """The hash of a row's key, for the log: it says which rows belong together, and not whose they are."""
        value = self._take_key(row)
        return None if value is None else _hash(value).hex()

    def _take_key(self, row: Any) -> str | int | float | None:
        value = row.get(self.key) if isinstance(row, dict) else None
        return value if isinstance(value, str | int | float) else None


def draw(value: str | float, *, salt: str) -> float:
    """A number in [0, 1) that depends on both alone: 1 and 1.0 and "1" are one key."""
    return int.from_bytes(_hash(value, salt=salt)) / _RANGE


def _hash(value: str | float, *, salt: str = "") -> bytes:
    text = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)
    return hashlib.blake2b(f"{salt} {text}".encode("utf-8", "surrogatepass"), digest_size=8).digest()
