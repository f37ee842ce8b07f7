"""Files: the configuration that ships with Treadle, and those that a path of a configuration stands for."""

from __future__ import annotations

from pathlib import Path

# Inside the wheel; a checkout, which may be installed editable, has it at its root.
_PLACES = [Path(__file__).parents[depth] for depth in (1, 3)]
_SHIPPED = next((folder for folder in _PLACES if (folder / "conf" / "config.yaml").is_file()), _PLACES[0])
SHIPPED_CONF = _SHIPPED / "conf"


def find_shipped(name: str) -> Path:
    """A file that ships with Treadle: `constraints.txt`, `dvc.yaml`."""
    return _SHIPPED / name


def list_files(path: str, *, root: Path) -> list[Path]:
    """One file, or all that a glob matches, relative to the project; in the order of their names."""
    if Path(path).is_absolute():
        root, path = Path(Path(path).anchor), str(Path(path).relative_to(Path(path).anchor))
    return sorted(file for file in root.glob(path) if file.is_file())
