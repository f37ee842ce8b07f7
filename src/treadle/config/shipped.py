"""What ships with Treadle: its configuration, and the files of a new project."""

from __future__ import annotations

from pathlib import Path

# Inside the wheel; a checkout, which may be installed editable, has it at its root.
_PLACES = [Path(__file__).parents[depth] for depth in (1, 3)]


_SHIPPED = next((folder for folder in _PLACES if (folder / "conf" / "config.yaml").is_file()), _PLACES[0])


SHIPPED_CONF = _SHIPPED / "conf"


def find_shipped(name: str) -> Path:
    """A file that ships with Treadle: `constraints.txt`, `dvc.yaml`."""
    return _SHIPPED / name
