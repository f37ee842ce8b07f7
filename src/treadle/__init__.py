"""Treadle: one composed configuration describes the whole ML lifecycle."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from treadle.bundle import Bundle, load

__all__ = ["Bundle", "__version__", "load"]
__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the serving side on first use, so that `import treadle` stays free of torch."""
    if name in {"load", "Bundle"}:
        from treadle import bundle

        return getattr(bundle, name)
    raise AttributeError(f"module 'treadle' has no attribute {name!r}")
