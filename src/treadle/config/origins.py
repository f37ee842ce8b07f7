"""The history of a key: every file and override that sets it, with its value there; the last one wins."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from omegaconf import OmegaConf

from treadle.config.lint import find_group
from treadle.config.locations import ConfigFile, read_marks, show_path
from treadle.config.overrides import is_choice, key_of, parse, read_value
from treadle.keys import ABSENT, climb, get, get_section, is_within
from treadle.problems import NOWHERE, Part, Place

_REPLACED: Final = object()  # in place of a value: the section around the key is replaced by a list, a null or a number


@dataclass(frozen=True)
class Setting:
    """A place that sets a key, and the value as it is written there; ABSENT where the key is deleted."""

    place: Place
    value: Any


@dataclass(frozen=True)
class Origins:
    """The files of a composition in the order in which they are merged, and its overrides."""

    files: Sequence[ConfigFile]
    overrides: Mapping[str, Place]
    groups: Collection[str]
    root: Path  # files inside it are named relative to it

    def trace(self, key: str, *, part: Part = "value") -> list[Setting]:
        """Every place that sets `key`, itself or by a section around it; the last one wins.

        Args:
            key: dotted.
            part: of the YAML pair that the places point to.
        """
        in_files = [_read_file_at(key, file, self.root, part) for file in self.files]
        values = {text: place for text, place in self.overrides.items() if not self._selects(text)}
        in_overrides = [_read_override(key, text, place) for text, place in values.items()]
        settings: list[Setting] = []
        for setting in (*in_files, *in_overrides):
            if setting is not None and setting.value is _REPLACED:
                settings.clear()
            elif setting is not None:
                settings.append(setting)
        return settings

    def locate(self, key: str, *, part: Part = "value") -> Place:
        """The last place that sets `key`, else a key in it, else a section around it; else conf/config.yaml."""
        inside = [place for text, place in self.overrides.items() if key and is_within(key_of(text), key)]
        for section in climb(key):
            settings = self.trace(section, part=part if section == key else "key")
            if settings:
                return settings[-1].place
            if inside:
                return inside[0]
        primary = [file.path for file in self.files if not file.group]
        return Place(show_path(primary[-1], self.root), 1, 1) if primary else NOWHERE

    def trace_group(self, group: str) -> list[Setting]:
        """Every place that selects an option of a group: defaults lists, their overrides, then the command line."""
        listed: list[Setting] = []
        overridden: list[Setting] = []
        for file in self.files:
            for entry, setting in _list_defaults(file, self.root):
                if find_group(entry, file.group) == group and "@" not in entry:
                    (overridden if entry.startswith("override ") else listed).append(setting)
        own = {text: place for text, place in self.overrides.items() if key_of(text) == group and "@" not in text}
        chosen = [Setting(place, read_value(text)) for text, place in own.items()]
        return [*listed, *overridden, *(setting for setting in chosen if not isinstance(setting.value, dict))]

    def _selects(self, text: str) -> bool:
        """Whether an override chooses a file: `model=mlp`, `model@other=mlp`."""
        return is_choice(text, self.groups) and not parse(text).is_delete()


def _read_file_at(key: str, file: ConfigFile, root: Path, part: Part) -> Setting | None:
    name, inside = show_path(file.path, root), file.strip(key)
    if inside == "":
        content = read_file(file.path)
        own = {k: v for k, v in content.items() if k != "defaults"} if isinstance(content, dict) else content
        return Setting(Place(name, 1, 1), own)
    marks = read_marks(file.path)
    nearest = next((section for section in climb(inside or "") if section in marks), None)
    value = ABSENT if nearest is None else _get(read_file(file.path), inside or "")
    if nearest is None or value is ABSENT:
        return None
    # YAML 1.1 reads the name `on` as true: such a key has no mark, the section around it has.
    return Setting(Place(name, *getattr(marks[nearest], part if nearest == inside else "key")), value)


def _read_override(key: str, text: str, place: Place) -> Setting | None:
    own = key_of(text)
    if not is_within(key, own):
        return None
    value = read_value(text)
    if own == key or value is ABSENT:
        return Setting(place, value)
    inside = _get(value, key.removeprefix(f"{own}."))
    return Setting(place, inside) if inside is not ABSENT else None


def _get(values: Any, key: str) -> Any:
    value = get(values, key)
    around = (get(values, section) for section in (*climb(get_section(key)), ""))
    replaces = any(section is not ABSENT and not isinstance(section, dict) for section in around)
    return _REPLACED if value is ABSENT and replaces else value


def _list_defaults(file: ConfigFile, root: Path) -> Iterator[tuple[str, Setting]]:
    """The entries `group: option` of a defaults list."""
    for key, marks in read_marks(file.path).items():
        found = re.fullmatch(r"defaults\.(\d+)\.(.+)", key)
        if found:
            option = read_file(file.path)["defaults"][int(found[1])][found[2]]
            yield found[2], Setting(Place(show_path(file.path, root), *marks.value), option)


@cache
def read_file(path: Path) -> Any:
    """The content of a YAML file as Hydra reads it, with its interpolations."""
    return OmegaConf.to_container(OmegaConf.load(path), resolve=False)
