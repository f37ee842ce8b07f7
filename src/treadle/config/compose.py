"""Compose: from a selection (`model=mlp schedule.max_epochs=3`) to plain values, by Hydra's grammar."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import takewhile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from omegaconf import DictConfig, ListConfig, OmegaConf

from treadle.config.hydra_keys import find_hydra_overrides
from treadle.config.lint import lint
from treadle.config.locations import ConfigFile, show_path
from treadle.config.merged import CONFIG_NAME, Merged, add_search_path, find_conf, merge
from treadle.config.namesakes import SECURITY, find_namesake, list_suggested
from treadle.config.origins import Origins
from treadle.config.overrides import find_faults, is_choice, key_of, parse, read_value
from treadle.config.shipped import SHIPPED_CONF
from treadle.hints import NO_HINT, Hint, find_nearest, nearest_key
from treadle.keys import climb, get_name, get_section, is_within, join, walk
from treadle.problems import ConfigError, Part, Place, Problem

if TYPE_CHECKING:
    from hydra.core.default_element import ResultDefault

_DIRECTIVE = re.compile(r"@package\b|yaml-language-server:")  # of Hydra, of an editor


@dataclass
class Composed:
    """A composed configuration, with the places where its values were written."""

    values: dict[str, Any]
    overrides: dict[str, Place]
    root: Path
    problems: list[Problem] = field(default_factory=list)
    written: dict[str, Any] = field(default_factory=dict)  # values with their interpolations
    choices: Mapping[str, str | None] = field(default_factory=dict)  # the selected option of each group
    merged: Sequence[ResultDefault] = ()  # what defaults lists name, in the order in which it is merged

    @cached_property
    def keys(self) -> list[str]:
        """Every dotted key, including those whose interpolation does not resolve."""
        return [key for key, _ in walk(self.written)]

    @cached_property
    def files(self) -> list[ConfigFile]:
        """The files of the composition, in the order in which they are merged."""
        return _list_files(self.root, self.merged)

    @property
    def question(self) -> str | None:
        """The question of the experiment: the first comment of its file that is no directive."""
        files = [file.path for file in self.files if file.group == "experiment"]
        lines = files[-1].read_text(encoding="utf-8").splitlines() if files else []
        comments = (line.lstrip("# ").strip() for line in takewhile(lambda line: line.startswith("#"), lines))
        return next((text for text in comments if text and not _DIRECTIVE.match(text)), None)

    def locate(self, key: str, *, part: Part = "value") -> Place:
        """The place that decides `key`; where nothing sets it, the file that everything is composed from."""
        return self.origins.locate(key, part=part)

    @cached_property
    def origins(self) -> Origins:
        """Where values come from: each place that sets a key, or selects an option."""
        return Origins(self.files, self.overrides, list_options(self.root).keys(), self.root)

    def vary(self, overrides: Mapping[str, Place]) -> Composed:
        """The composition with further values, without reading conf/ again.

        Args:
            overrides: of single values, with the place where each was written; a problem is collected for each that
                does not fit, as in `compose`.
        """
        faults: dict[str, Problem] = {}
        written = _set_plainly(self.written, overrides)
        if written is None:
            base = OmegaConf.create(self.written)
            OmegaConf.set_struct(base, value=True)  # as Hydra does: a key that does not exist is refused
            config, faults = _set_values(base, overrides, self.root)
            written = _to_plain(config)
        kept = {text: place for text, place in self.overrides.items() if text not in overrides}
        kept |= {text: place for text, place in overrides.items() if text not in faults}
        varied = replace(self, values={}, overrides=kept, problems=list(faults.values()), written=written)
        needs_resolving = any(mark in json.dumps(written, default=str) for mark in ("${", "???"))
        varied.values.update(_resolve(OmegaConf.create(written), "", varied) if needs_resolving else written)
        return varied


def _set_plainly(values: dict[str, Any], overrides: Collection[str]) -> dict[str, Any] | None:
    """A copy with single values set at keys that exist, or added beside them; None where an override asks for more.

    It is what Hydra does in these cases, a hundred times faster.
    """
    values = copy.deepcopy(values)
    for text in overrides:
        parsed, value = parse(text), read_value(text)
        *parents, name = parsed.key_or_group.split(".")
        section: Any = values
        for parent in parents:
            section = section.get(parent) if isinstance(section, dict) else None
        if not isinstance(section, dict) or not _replaces(value, section.get(name)):
            return None
        if parsed.is_delete() or parsed.package:
            return None
        if section.get(name) is not None if parsed.is_add() else name not in section and not parsed.is_force_add():
            return None
        section[name] = value
    return values


def _replaces(value: Any, before: Any) -> bool:
    """Whether a value takes the place of another as it is: a single one, or a list of such."""
    items = value if isinstance(value, list) and not isinstance(before, dict) else [value]
    return not any(isinstance(item, dict | list) for item in items)


def compose(*, overrides: Sequence[str], root: Path, places: Mapping[str, Place] | None = None) -> Composed:
    """Compose the project at `root` with Hydra overrides.

    Mistakes in single overrides, missing values and broken interpolations are collected in `problems`, so
    that one call reports them together with what the check finds.

    Args:
        overrides: in Hydra's grammar.
        root: the project.
        places: where an override was written, other than on the command line.

    Raises:
        ConfigError: nothing can be composed at all (a broken YAML file, a broken defaults list).
    """
    places = places or {}
    written: dict[str, Place] = {}
    for position, text in enumerate(overrides, start=1):
        written.pop(text, None)  # of two that are alike, the last one counts
        written[text] = places.get(text, Place(override=text, position=position))
    options = list_options(root)
    faults = find_hydra_overrides(written)
    faults |= find_faults({text: place for text, place in written.items() if text not in faults}, options)
    choices = {text: place for text, place in written.items() if text not in faults and is_choice(text, options)}
    merged = _merge_choices(root, choices, faults)
    values = {text: place for text, place in written.items() if text not in faults and text not in choices}
    config, failed = _set_values(merged.config, values, root)
    faults |= failed
    kept = {text: place for text, place in written.items() if text not in faults}
    composed = Composed({}, kept, root, [], _to_plain(config), merged.choices, merged.defaults)
    composed.problems += [faults[text] for text in written if text in faults]
    composed.values.update(_resolve(config, "", composed))
    return composed


def _to_plain(config: DictConfig) -> dict[str, Any]:
    plain = OmegaConf.to_container(config, resolve=False)
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _describe_failure(error: Exception) -> Problem:
    key = getattr(error, "full_key", None) or ""
    reason = " ".join(str(error).split()) or type(error).__name__
    return Problem(key, f"cannot be composed: {reason}")


# --- overrides ----------------------------------------------------------------------------------------


def _merge_choices(root: Path, choices: Mapping[str, Place], faults: dict[str, Problem]) -> Merged:
    """Merge the files that are chosen. A choice that no defaults list has an entry for is added to `faults`.

    Raises:
        ConfigError: files of conf/ are broken, so that nothing can be composed.
    """
    while True:
        fitting = [text for text in choices if text not in faults]
        try:
            return merge(root, fitting)
        except Exception as error:
            in_files = lint(find_conf(root), options=list_options(root), root=root)
            unfit = next((text for text in fitting if _is_named(text, error)), None)
            if in_files or unfit is None:
                place = Place(show_path(find_conf(root) / f"{CONFIG_NAME}.yaml", root), 1, 1)
                found = in_files or [replace(_describe_failure(error), place=place)]
                raise ConfigError([*found, *faults.values()]) from error
            faults[unfit] = Problem(key_of(unfit), _describe_failure(error).rule, place=choices[unfit])


def _is_named(choice: str, error: Exception) -> bool:
    """Whether Hydra's message names the choice, as it is written or by its group and package."""
    names = (choice, choice.lstrip("+~"), parse(choice).get_key_element(), key_of(choice))
    return any(mark in str(error) for name in names for mark in (f"'{name}'", f"Multiple values for {name}."))


def _set_values(base: DictConfig, overrides: Mapping[str, Place], root: Path) -> tuple[DictConfig, dict[str, Problem]]:
    """Set, add and remove single keys, as Hydra would after a merge; with those that fail, each with its problem."""
    failed: dict[str, Exception] = {}
    while True:
        config = copy.deepcopy(base)
        for text in (text for text in overrides if text not in failed):
            try:
                ConfigLoaderImpl._apply_overrides_to_config([parse(text)], config)  # noqa: SLF001 - a merge of all files for each would take long
            except Exception as error:  # noqa: BLE001 - Hydra raises a ValueError here and an assertion there
                failed[text] = error
                break  # and begin anew: a part of it may have been set
        else:
            known = [key for key, _ in walk(_to_plain(base))] if failed else []
            faults = {
                text: _describe_failed(text, overrides[text], error, known, root) for text, error in failed.items()
            }
            return config, faults


def _describe_failed(text: str, place: Place, error: Exception, known: Collection[str], root: Path) -> Problem:
    key = key_of(text)
    if key in known:
        return Problem(key, _describe_failure(error).rule, "", place)
    problem = describe_unknown(key, known, root=root)
    mark = text[: len(text) - len(text.lstrip("+~"))]
    rest = text.removeprefix(text.partition("=")[0].partition("@")[0])
    fix = f"{mark}{problem.hint.nearest}{rest}" if problem.hint.nearest else ""
    return replace(problem, place=place, fix_override=fix)


def describe_unknown(key: str, known: Collection[str], *, root: Path) -> Problem:
    """The problem of a key that does not exist.

    Args:
        key: dotted.
        known: every dotted key that there is.
        root: the project; the name of a group may be meant too.
    """
    own = get_section(key)
    section = next((around for around in climb(own) if around in known), "")
    names = known if section else {*known, *list_options(root)}
    siblings = sorted(name for name in names if get_section(name) == section)
    suggested = [name for name in siblings if name != SECURITY]
    close = nearest_key(key, suggested) if section == own else find_nearest(key, list_suggested(key, known))
    meant = find_namesake(key, known) or close
    command = tell_how_to_list(section, known) if is_within(meant or key, section) else ""
    hint = Hint(meant, tuple(name for name in siblings if "/" not in name), command)
    return Problem(key, f"unknown key {key!r}", tell_of_a_rule(key, known, hint), hint=hint)


def tell_how_to_list(section: str, known: Collection[str]) -> str:
    """The command that lists the keys of a section; "" where those of a target's arguments are not all given."""
    return f"treadle explain {section}" if section and f"{section}._target_" not in known else ""


def tell_of_a_rule(key: str, known: Collection[str], hint: Hint) -> str:
    """How to set an argument of a network where a rule chooses models; "" elsewhere, or where a hint helps more."""
    section = get_section(key)
    if f"{section}.candidates" not in known or hint.nearest:
        return ""
    own = f"{section}.candidates.NAME.model.{get_name(key)}"
    return f"a rule chooses models here: set {own}, or select one model, such as {section}=tabm"


def list_options(root: Path) -> dict[str, list[str]]:
    """Every group with its options, the project's own and the shipped ones."""
    options: dict[str, set[str]] = {}
    for folder in {find_conf(root), SHIPPED_CONF}:
        for path in folder.glob("*/**/*.yaml"):
            options.setdefault(path.parent.relative_to(folder).as_posix(), set()).add(path.stem)
    return {group: sorted(names) for group, names in sorted(options.items())}


def find_option(root: Path, group: str, name: str) -> Path:
    """The file of an option: the project's own, else the shipped one."""
    own = find_conf(root) / group / f"{name}.yaml"
    return own if own.is_file() else SHIPPED_CONF / group / f"{name}.yaml"


def compose_options(root: Path, group: str, names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The values of options of a group, each by itself; interpolations are not resolved.

    Raises:
        ConfigError: the file of one is broken.
    """
    packages = {f"option_{index}": name for index, name in enumerate(dict.fromkeys(names))}
    overrides = [f"+{group}@{package}={name}" for package, name in packages.items()]
    try:
        with initialize_config_dir(config_dir=str(find_conf(root)), version_base="1.3"):
            config = hydra_compose(config_name=None, overrides=add_search_path(root, overrides))
    except Exception as error:
        in_files = lint(find_conf(root), options=list_options(root), root=root)
        raise ConfigError(in_files or [replace(_describe_failure(error), key=group)]) from error
    return {packages[package]: values for package, values in _to_plain(config).items()}


# --- values -------------------------------------------------------------------------------------------


def _resolve(node: Any, key: str, composed: Composed) -> Any:
    """Plain values with every interpolation resolved; missing values and broken interpolations become problems."""
    if isinstance(node, DictConfig):
        return {str(k): _resolve_item(node, k, join(key, k), composed) for k in node}
    if isinstance(node, ListConfig):
        return [_resolve_item(node, i, join(key, i), composed) for i in range(len(node))]
    return node


def _resolve_item(parent: Any, item: Any, key: str, composed: Composed) -> Any:
    if OmegaConf.is_missing(parent, item):
        rule = "a value must be given here ('???')"
        composed.problems.append(Problem(key, rule, f"add the override {key}=…", composed.locate(key)))
        return None
    try:
        value = parent[item]
    except Exception as error:  # noqa: BLE001 - a resolver may raise anything
        text = OmegaConf.to_container(parent, resolve=False)[item]  # type: ignore[index]
        composed.problems.append(_describe_interpolation(key, text, error, composed))
        return None
    return _resolve(value, key, composed)


def _describe_interpolation(key: str, text: Any, error: Exception, composed: Composed) -> Problem:
    place = composed.locate(key)
    if isinstance(error, RecursionError) or "Recursive interpolation" in str(error):
        return Problem(key, f"the interpolation {text!r} is circular: it leads back to itself", place=place)
    rule = f"the interpolation {text!r} does not resolve: {str(error).splitlines()[0]}"
    found = re.search(r"\$\{([\w.]+)\}", str(text))
    hint = Hint(find_nearest(found[1], composed.keys)) if found else NO_HINT
    return Problem(key, rule, place=place, hint=hint)


# --- places -------------------------------------------------------------------------------------------


def _list_files(root: Path, merged: Sequence[ResultDefault]) -> list[ConfigFile]:
    conf = find_conf(root)
    files = []
    for default in merged:
        if default.config_path is None or re.match(r"hydra(/|$)|_dummy_empty", default.config_path):
            continue
        paths = (folder / f"{default.config_path}.yaml" for folder in (conf, SHIPPED_CONF))
        path = next((p for p in paths if p.is_file()), None)
        if path is not None:
            package = (default.package or "").replace("_global_", "").strip(".")
            files.append(ConfigFile(path, package, default.config_path.rpartition("/")[0]))
    return files
