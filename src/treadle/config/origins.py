"""How a key came to its value: every file and override that sets it, with the value at each, the winner last."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from hydra.core.override_parser.overrides_parser import OverridesParser
from omegaconf import OmegaConf

from treadle.config.lint import find_group
from treadle.config.locations import Source, key_of, read_marks, show_path
from treadle.problems import Place

ABSENT = object()


@dataclass(frozen=True)
class Setting:
    """A place that sets a key, and the value that it gives there, as it is written."""

    place: Place
    value: Any


@dataclass(frozen=True)
class Origins:
    """What a composition is made of: files in the order in which they are merged, and overrides."""

    sources: Sequence[Source]
    overrides: Mapping[str, Place]
    groups: Collection[str]
    root: Path  # files inside it are named relative to it

    def trace(self, key: str) -> list[Setting]:
        """Every place that sets `key`, also through a section around it, in the order in which they win."""
        in_files = [_read_source(key, source, self.root) for source in self.sources]
        values = {text: place for text, place in self.overrides.items() if not self._selects(text)}
        in_overrides = [_read_override(key, text, place) for text, place in values.items()]
        return [setting for setting in (*in_files, *in_overrides) if setting is not None]

    def trace_group(self, group: str) -> list[Setting]:
        """Every place that selects an option of a group: first the lists that hold it, then what overrides them."""
        listed: list[Setting] = []
        overridden: list[Setting] = []
        for source in self.sources:
            for entry, setting in _list_defaults(source, self.root):
                if find_group(entry, source.group) == group and "@" not in entry:
                    (overridden if entry.startswith("override ") else listed).append(setting)
        own = {text: place for text, place in self.overrides.items() if key_of(text) == group and "@" not in text}
        chosen = [Setting(place, read_value(text)) for text, place in own.items()]
        return [*listed, *overridden, *(setting for setting in chosen if not isinstance(setting.value, dict))]

    def _selects(self, text: str) -> bool:
        """Whether an override chooses a file: `model=mlp`, `model@other=mlp`."""
        is_group = key_of(text) in self.groups or "@" in text.partition("=")[0]
        return is_group and not isinstance(read_value(text), dict) and not text.startswith("~")


def _read_source(key: str, source: Source, root: Path) -> Setting | None:
    name = show_path(source.path, root)
    if source.package == key:
        content = {own: value for own, value in read_file(source.path).items() if own != "defaults"}
        return Setting(Place(name, 1, 1), content)
    marks = source.find(key)
    if marks is None:
        return None
    inside = key.removeprefix(f"{source.package}.") if source.package else key
    return Setting(Place(name, *marks.value), _select(read_file(source.path), inside))


def _read_override(key: str, text: str, place: Place) -> Setting | None:
    own = key_of(text)
    if own != key and not key.startswith(f"{own}."):
        return None
    value = read_value(text)
    if own == key or value is ABSENT:
        return Setting(place, value)
    inside = _select(value, key.removeprefix(f"{own}."))
    return Setting(place, inside) if inside is not ABSENT else None


def read_value(text: str) -> Any:
    """The value of an override; ABSENT where it removes the key."""
    override = OverridesParser.create().parse_override(text)
    return ABSENT if override.is_delete() else override.value()


def _list_defaults(source: Source, root: Path) -> Iterator[tuple[str, Setting]]:
    """The entries `group: option` of a defaults list."""
    for key, marks in read_marks(source.path).items():
        found = re.fullmatch(r"defaults\.(\d+)\.(.+)", key)
        if found:
            option = read_file(source.path)["defaults"][int(found[1])][found[2]]
            yield found[2], Setting(Place(show_path(source.path, root), *marks.value), option)


@cache
def read_file(path: Path) -> Any:
    """The content of a YAML file as Hydra reads it, with its interpolations."""
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)


def _select(values: Any, key: str) -> Any:
    """The value at a dotted key; names may hold dots themselves."""
    if not key:
        return values
    if isinstance(values, list):
        head, _, rest = key.partition(".")
        return _select(values[int(head)], rest) if head.isdecimal() and int(head) < len(values) else ABSENT
    for name, value in values.items() if isinstance(values, dict) else ():
        if key == str(name) or key.startswith(f"{name}."):
            return _select(value, key[len(str(name)) + 1 :])
    return ABSENT
