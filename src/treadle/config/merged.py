"""The files of conf/ that a selection chooses, merged by Hydra; kept while no file changes."""

from __future__ import annotations

import hashlib
import os
import re
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.global_hydra import GlobalHydra
from omegaconf import DictConfig, OmegaConf, open_dict

from treadle.config.shipped import SHIPPED_CONF
from treadle.problems import ConfigError, Problem

if TYPE_CHECKING:
    from hydra._internal.config_repository import IConfigRepository
    from hydra.core.default_element import ResultDefault

CONFIG_NAME = "config"
_MOST = 64  # merged selections that are kept
_VARIABLE = re.compile(rb"\$\{oc\.env:\s*([A-Za-z_][A-Za-z0-9_]*)")
_SHIPPED = f"file://{SHIPPED_CONF}"


class Merged(NamedTuple):
    """The files that are chosen, merged; for reading, since it is kept."""

    config: DictConfig
    choices: dict[str, str | None]  # the selected option of each group
    defaults: list[ResultDefault]  # what defaults lists name, in the order in which it is merged


KEPT: OrderedDict[tuple[str, ...], Merged] = OrderedDict()  # the one that was used last stands last


def find_conf(root: Path) -> Path:
    """The project's own `conf/`, else the one that ships with Treadle."""
    own = root / "conf"
    if (own / f"{CONFIG_NAME}.yaml").is_file():
        return own.resolve()
    if SHIPPED_CONF.is_dir():
        return SHIPPED_CONF
    raise ConfigError([Problem("", f"no conf/{CONFIG_NAME}.yaml in {root}", "run inside a Treadle project")])


def merge(root: Path, overrides: Sequence[str]) -> Merged:
    """Merge the files that overrides choose, or give what the same files were merged to before.

    Hydra takes a fifth of a second for it. A sweep's declaration, a replay and a notebook ask for the same again.

    Raises:
        Exception: what Hydra raises; a choice is none, or a file is broken.
    """
    folders = dict.fromkeys((find_conf(root), SHIPPED_CONF))
    key = (*map(_digest, folders), *overrides)
    if (found := KEPT.get(key)) is not None:
        KEPT.move_to_end(key)
        return found
    merged, searched = _merge(root, list(overrides))
    if {*searched} <= {_SHIPPED}:  # else it depends on files that the key does not cover
        KEPT[key] = merged
        if len(KEPT) > _MOST:
            KEPT.popitem(last=False)
    return merged


def add_search_path(root: Path, overrides: Sequence[str]) -> list[str]:
    """The overrides, and that a file which the project's own conf/ lacks is taken from the one that ships."""
    if SHIPPED_CONF.is_dir() and find_conf(root) != SHIPPED_CONF:
        return [*overrides, f"hydra.searchpath=['{_SHIPPED}']"]
    return list(overrides)


class _Loader(ConfigLoaderImpl):
    """Hydra's, which remembers what it merges: to ask for that afterwards would read every file again."""

    defaults: list[ResultDefault]

    def _compose_config_from_defaults_list(self, defaults: list[ResultDefault], repo: IConfigRepository) -> DictConfig:
        self.defaults = defaults
        return super()._compose_config_from_defaults_list(defaults, repo)


def _merge(root: Path, overrides: list[str]) -> tuple[Merged, list[str]]:
    """The merged files, and where else than in the project's own conf/ Hydra looked for them."""
    with initialize_config_dir(config_dir=str(find_conf(root)), version_base="1.3"):
        hydra = GlobalHydra.instance().hydra
        assert hydra is not None, "it is initialized"
        loader = hydra.config_loader = _Loader(hydra.config_loader.get_search_path())
        config = hydra_compose(
            config_name=CONFIG_NAME, overrides=add_search_path(root, overrides), return_hydra_config=True
        )
    choices = OmegaConf.to_container(config.hydra.runtime.choices)
    assert isinstance(choices, dict)
    searched = list(config.hydra.searchpath)
    with open_dict(config):
        del config["hydra"]
    return Merged(config, {str(group): option for group, option in choices.items()}, loader.defaults), searched


def _digest(folder: Path) -> str:
    """Of the content of all files that Hydra may read, and of the variables of the environment that they name.

    By size and time an edit within a moment would not be seen.
    """
    found = hashlib.blake2b(digest_size=16)
    for file in _list_files(folder):
        try:
            content = file.read_bytes()
        except OSError:  # Hydra says so, where the file is chosen
            content = b""
        found.update(os.fsencode(file.relative_to(folder)) + b"\0%d\0" % len(content) + content)
        for name in _VARIABLE.findall(content):  # in a defaults list it chooses a file
            found.update(b"\0%s\0" % os.fsencode(os.environ.get(name.decode(), "\0")))
    return found.hexdigest()


def _list_files(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder, followlinks=True):
        folders.sort()
        for name in sorted(names):
            file = Path(place, name)
            if file.suffix == ".yaml" and file.is_file():
                yield file
