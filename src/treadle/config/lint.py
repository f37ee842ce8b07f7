"""Mistakes in YAML and in defaults lists: syntax, a duplicate key or group, an option that does not exist.

Hydra stops at the first one; here each file is read by itself, so that all are reported.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import yaml

from treadle.config.locations import show_path
from treadle.hints import Hint, nearest
from treadle.problems import Place, Problem

_YAML_WORDS = {"on", "off", "yes", "no", "true", "false", "null", "~"}


def lint(folder: Path, *, options: Mapping[str, Sequence[str]], root: Path) -> list[Problem]:
    """Every mistake in the files under `folder` that can be found without composing.

    Args:
        folder: a `conf/`.
        options: every group with its options.
        root: the project, to name files by.
    """
    files = sorted(folder.rglob("*.yaml"))
    return [problem for file in files for problem in _lint_file(file, folder, options, root)]


def _lint_file(file: Path, folder: Path, options: Mapping[str, Sequence[str]], root: Path) -> Iterator[Problem]:
    name = show_path(file, root)
    try:
        node = yaml.compose(file.read_text(encoding="utf-8"), Loader=yaml.CSafeLoader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = Place(name, mark.line + 1, mark.column + 1) if mark is not None else Place(name)
        yield Problem("", f"not YAML: {error.problem or error.context}", place=place)
        return
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        yield Problem("", f"not YAML: {' '.join(str(error).split())}", "write the file in UTF-8", Place(name))
        return
    if node is None:
        return
    if not isinstance(node, yaml.MappingNode):
        yield Problem("", "a file of conf/ holds keys and values", "write `key: value` lines", _place(name, node))
        return
    yield from _lint_node(node, "", name)
    group = file.parent.relative_to(folder).as_posix()
    for key, value in node.value:
        if key.value == "defaults":
            yield from _lint_defaults(value, name, "" if group == "." else group, options)


def _lint_node(node: yaml.Node, prefix: str, name: str) -> Iterator[Problem]:
    if not node.tag.startswith("tag:yaml.org,2002:") or "python" in node.tag:
        rule = f"the tag {node.tag.rpartition(':')[2]!r} is not allowed: a configuration holds plain values"
        yield Problem(prefix.rstrip("."), rule, "write a plain value", _place(name, node))
    if isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            yield from _lint_node(value, f"{prefix}{index}.", name)
        return
    if not isinstance(node, yaml.MappingNode):
        return
    first: dict[str, yaml.Node] = {}
    for key, value in node.value:
        dotted = f"{prefix}{key.value}"
        if key.value in first:
            rule = f"the key {key.value!r} is given twice; the first is in line {first[key.value].start_mark.line + 1}"
            yield Problem(dotted, rule, "keep one of them", _place(name, key))
        first.setdefault(key.value, key)
        if key.tag == "tag:yaml.org,2002:bool" and key.value.lower() in _YAML_WORDS:
            rule = f"YAML reads the key `{key.value}` as a truth value"
            yield Problem(dotted, rule, f'quote it: "{key.value}"', _place(name, key))
        yield from _lint_node(value, f"{dotted}.", name)


# --- defaults lists -----------------------------------------------------------------------------------


def _lint_defaults(node: yaml.Node, name: str, group: str, options: Mapping[str, Sequence[str]]) -> Iterator[Problem]:
    """The entries of one defaults list; `group` is the one that the file itself belongs to."""
    if not isinstance(node, yaml.SequenceNode):
        yield Problem("defaults", "a defaults list is a list", "begin each line with `- `", _place(name, node))
        return
    chosen: set[str] = set()
    for entry in node.value:
        if isinstance(entry, yaml.ScalarNode):
            yield from _lint_sibling(entry, name, group, options)
        elif not isinstance(entry, yaml.MappingNode) or not entry.value:
            rule = "an entry of a defaults list is `group: option`, or the name of a file beside this one"
            yield Problem("defaults", rule, place=_place(name, entry))
        else:
            for key, value in entry.value:
                absolute = find_group(str(key.value), group)
                place = f"{absolute}@{str(key.value).partition('@')[2]}"  # the same group may stand at several places
                if place in chosen:
                    rule = f"the group {absolute!r} is selected twice in one defaults list"
                    yield Problem("defaults", rule, "keep one of the two lines", _place(name, key))
                chosen.add(place)
                if absolute not in options:
                    hint = nearest(absolute, options)
                    yield Problem("defaults", f"{absolute!r} is not a group", place=_place(name, key), hint=hint)
                elif "optional" not in str(key.value).split():
                    yield from _lint_option(value, name, absolute, options[absolute])


def _lint_sibling(
    entry: yaml.ScalarNode, name: str, group: str, options: Mapping[str, Sequence[str]]
) -> Iterator[Problem]:
    """An entry without a group names a file of the same one."""
    option = str(entry.value).strip("/")
    if "/" in option:
        group, _, option = option.rpartition("/")
    if not group and option != "_self_":
        rule = f"{option!r} names no group"
        yield Problem("defaults", rule, "write `group: option`", _place(name, entry), Hint(allowed=tuple(options)))
    elif option != "_self_":
        yield from _lint_option(entry, name, group, options.get(group, []), option=option)


def find_group(entry: str, own: str) -> str:
    """The group of `override /data@package`; one without a slash is relative to the file's own."""
    target = entry.split("@", 1)[0].rsplit(maxsplit=1)[-1]
    return target.strip("/") if target.startswith("/") or not own else f"{own}/{target}"


def _lint_option(
    node: yaml.Node, name: str, group: str, known: Sequence[str], *, option: str | None = None
) -> Iterator[Problem]:
    if not isinstance(node, yaml.ScalarNode) or node.tag == "tag:yaml.org,2002:null":
        return
    option = str(node.value) if option is None else option
    if option.count("${") != option.count("}"):
        yield Problem("defaults", f"the interpolation {option!r} is not closed", "write ${…}", _place(name, node))
    elif Path(name).with_suffix("").parts[-2:] == (*Path(group).parts[-1:], option):
        yield Problem("defaults", "the file includes itself", "remove the entry", _place(name, node))
    elif option not in known and option != "???" and "${" not in option:
        rule = f"{option!r} is not an option of the group {group!r}"
        yield Problem("defaults", rule, place=_place(name, node), hint=nearest(option, known))


def _place(name: str, node: yaml.Node) -> Place:
    return Place(name, node.start_mark.line + 1, node.start_mark.column + 1)
