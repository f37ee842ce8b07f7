"""Compose: from a selection (`model=mlp schedule.max_epochs=3`) to plain values, by Hydra's grammar."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, ListConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from treadle.experiment.files import SHIPPED_CONF
from treadle.experiment.locations import Source, locate
from treadle.experiment.problems import ConfigError, Problem, nearest

CONFIG_NAME = "config"


@dataclass(frozen=True)
class Composed:
    """A composition with the traces that its error messages need."""

    values: dict[str, Any]
    overrides: list[str]
    root: Path
    problems: list[Problem] = field(default_factory=list)

    def locate(self, key: str) -> str:
        """Where the value of `key` was written."""
        sources = _find_sources(self.root, self.overrides)
        return locate(key, sources=sources, overrides=self.overrides, root=self.root)


def find_conf(root: Path) -> Path:
    """The project's own `conf/`, else the one that ships with Treadle."""
    own = root / "conf"
    if (own / f"{CONFIG_NAME}.yaml").is_file():
        return own.resolve()
    if SHIPPED_CONF.is_dir():
        return SHIPPED_CONF
    raise ConfigError([Problem("", f"no conf/{CONFIG_NAME}.yaml in {root}", "run inside a Treadle project")])


def compose(*, overrides: list[str], root: Path) -> Composed:
    """Compose the project at `root` with Hydra overrides.

    Mistakes in single overrides, missing values and broken interpolations are collected in `problems`, so
    that one call reports them together with what the check finds.

    Raises:
        ConfigError: nothing can be composed at all (a broken YAML file, a broken defaults list).
    """
    kept = overrides
    problems: list[Problem] = []
    try:
        config = _compose(root, overrides)
    except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
        kept, problems = _drop_broken(root, overrides)
        if not problems:
            raise ConfigError([_describe_failure(error)]) from error
        config = _compose(root, kept)
    composed = Composed({}, kept, root, problems)
    composed.values.update(_resolve(config, "", composed))
    return composed


def _compose(root: Path, overrides: list[str]) -> DictConfig:
    with initialize_config_dir(config_dir=str(find_conf(root)), version_base="1.3"):
        return hydra_compose(config_name=CONFIG_NAME, overrides=_with_search_path(root, overrides))


def _with_search_path(root: Path, overrides: list[str]) -> list[str]:
    """A project's own conf/ falls back, file by file, on the one that ships with Treadle."""
    if SHIPPED_CONF.is_dir() and find_conf(root) != SHIPPED_CONF:
        return [*overrides, f"hydra.searchpath=['file://{SHIPPED_CONF}']"]
    return overrides


def _describe_failure(error: Exception) -> Problem:
    text = str(error).strip()
    mark = getattr(error, "problem_mark", None)
    place = f"{mark.name}:{mark.line + 1}" if mark is not None else ""
    key = getattr(error, "full_key", None) or ""
    return Problem(key, " ".join(text.split()), place=place)


# --- overrides ----------------------------------------------------------------------------------------


def _drop_broken(root: Path, overrides: list[str]) -> tuple[list[str], list[Problem]]:
    """Find the overrides that break the composition, one by one, and say why each does."""
    kept: list[str] = []
    problems: list[Problem] = []
    for override in overrides:
        try:
            _compose(root, [*kept, override])
        except (HydraException, OmegaConfBaseException, yaml.YAMLError) as error:
            problems.append(_describe_override(root, kept, override, error))
        else:
            kept.append(override)
    return kept, problems


def _describe_override(root: Path, kept: list[str], override: str, error: Exception) -> Problem:
    place = f"override {override!r}"
    try:
        parsed = OverridesParser.create().parse_override(override)
    except HydraException:
        return Problem("", f"{override!r} is not an override", "write key=value, +key=value or ~key", place)
    key = parsed.get_key_element().split("@", 1)[0]
    options = list_options(root).get(key.replace(".", "/"))
    if options is not None:
        value = str(parsed.value())
        return Problem(key, f"{value!r} is not an option of the group {key!r}", nearest(value, options), place)
    try:
        known = list(flatten(OmegaConf.to_container(_compose(root, kept))))
    except (HydraException, OmegaConfBaseException, yaml.YAMLError):
        return Problem(key, _describe_failure(error).rule, "", place)
    if key not in known:
        parent = key.rpartition(".")[0]
        siblings = [k for k in known if k.rpartition(".")[0] == parent] or known
        return Problem(key, f"unknown key {key!r}", nearest(key, siblings), place)
    return Problem(key, _describe_failure(error).rule, "", place)


def list_options(root: Path) -> dict[str, list[str]]:
    """Every group with its options, the project's own and the shipped ones."""
    options: dict[str, set[str]] = {}
    for folder in {find_conf(root), SHIPPED_CONF}:
        for path in folder.glob("*/**/*.yaml"):
            options.setdefault(path.parent.relative_to(folder).as_posix(), set()).add(path.stem)
    return {group: sorted(names) for group, names in sorted(options.items())}


def flatten(node: Any, prefix: str = "") -> Iterator[str]:
    """The dotted key of every node below `node`, parents first."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    for key, value in items:
        yield f"{prefix}{key}"
        yield from flatten(value, f"{prefix}{key}.")


# --- values -------------------------------------------------------------------------------------------


def _resolve(node: Any, key: str, composed: Composed) -> Any:
    """Plain values with every interpolation resolved; what is missing or broken is noted as a problem."""
    if isinstance(node, DictConfig):
        return {str(k): _resolve_item(node, k, ".".join((key, str(k))).lstrip("."), composed) for k in node}
    if isinstance(node, ListConfig):
        return [_resolve_item(node, i, f"{key}.{i}", composed) for i in range(len(node))]
    return node


def _resolve_item(parent: Any, item: Any, key: str, composed: Composed) -> Any:
    if OmegaConf.is_missing(parent, item):
        rule, fix = "a value must be given here ('???')", f"add the override {key}=…"
        composed.problems.append(Problem(key, rule, fix, composed.locate(key)))
        return None
    try:
        value = parent[item]
    except (OmegaConfBaseException, RecursionError) as error:
        text = OmegaConf.to_container(parent, resolve=False)[item]  # type: ignore[index]
        reason = "it refers to itself" if isinstance(error, RecursionError) else str(error).splitlines()[0]
        rule = f"the interpolation {text!r} does not resolve: {reason}"
        composed.problems.append(Problem(key, rule, "", composed.locate(key)))
        return None
    return _resolve(value, key, composed)


# --- places -------------------------------------------------------------------------------------------


def _find_sources(root: Path, overrides: list[str]) -> list[Source]:
    """The files of the composition, in the order in which they are merged."""
    conf = find_conf(root)
    with initialize_config_dir(config_dir=str(conf), version_base="1.3"):
        loader = GlobalHydra.instance().config_loader()
        defaults = loader.compute_defaults_list(CONFIG_NAME, _with_search_path(root, overrides), RunMode.RUN)
    sources = []
    for default in defaults.defaults:
        if default.config_path is None or re.match(r"hydra(/|$)|_dummy_empty", default.config_path):
            continue
        paths = (folder / f"{default.config_path}.yaml" for folder in (conf, SHIPPED_CONF))
        path = next((p for p in paths if p.is_file()), None)
        if path is not None:
            sources.append(Source(path, (default.package or "").replace("_global_", "")))
    return sources
