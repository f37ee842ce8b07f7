"""Candidates for the next word of a command line: verbs, options and their values, from its parser."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path

from treadle.cli.completion.overrides import list_columns, list_keys, list_overrides

FILES = "<files>"  # instead of candidates: the shell completes file names


def complete(words: list[str], *, root: Path, parser: argparse.ArgumentParser) -> list[str]:
    """Candidates for the last word, the likeliest first.

    Args:
        words: after `treadle`, the last one being typed (perhaps empty).
        root: the project.
        parser: of the command line.
    """
    *before, word = words or [""]
    verbs = list_verbs(parser)
    position = next((index for index, one in enumerate(before) if not one.startswith("-")), None)
    if position is None:
        return _match(_list_options(parser) if word.startswith("-") else verbs, word)
    verb = verbs.get(before[position])
    return [] if verb is None else _complete_verb(verb, before[position + 1 :], word, root)


def list_verbs(parser: argparse.ArgumentParser) -> dict[str, argparse.ArgumentParser]:
    """Every verb with the parser of what follows it."""
    return {
        name: verb
        for action in _list_actions(parser)
        if isinstance(action.choices, dict)
        for name, verb in action.choices.items()
    }


def _list_actions(parser: argparse.ArgumentParser) -> list[argparse.Action]:
    """Options and positional arguments, without those that the help hides."""
    actions = parser._actions  # noqa: SLF001 - argparse has no other way to list them
    return [action for action in actions if action.help != argparse.SUPPRESS]


def _list_options(parser: argparse.ArgumentParser) -> dict[str, argparse.Action]:
    return {flag: action for action in _list_actions(parser) for flag in sorted(action.option_strings, reverse=True)}


def _complete_verb(parser: argparse.ArgumentParser, before: list[str], word: str, root: Path) -> list[str]:
    options = _list_options(parser)
    asked = options.get(before[-1]) if before else None
    if asked is not None and asked.nargs != 0:
        return _complete_value(asked, word, root)
    flag, equals, value = word.partition("=")
    if equals and flag in options:
        answers = _complete_value(options[flag], value, root)
        return answers if answers == [FILES] else [f"{flag}={answer}" for answer in answers]
    if word.startswith("-"):
        used = {id(options[one]) for one in before if one in options}
        free = (flag for flag, action in options.items() if id(action) not in used or isinstance(action.default, list))
        return _match(free, word)
    argument = _find_positional(parser, options, before)
    return [] if argument is None else _complete_value(argument, word, root)


def _find_positional(
    parser: argparse.ArgumentParser, options: dict[str, argparse.Action], before: list[str]
) -> argparse.Action | None:
    """The positional argument that comes next."""
    valued = {index + 1 for index, one in enumerate(before) if one in options and options[one].nargs != 0}
    given = sum(index not in valued and not one.startswith("-") for index, one in enumerate(before))
    positional = [action for action in _list_actions(parser) if not action.option_strings]
    if given < len(positional):
        return positional[given]
    return positional[-1] if positional and positional[-1].nargs == "*" else None


# --- values of options and arguments ------------------------------------------------------------------


def _complete_value(action: argparse.Action, word: str, root: Path) -> list[str]:
    if action.choices is not None:
        return _match(map(str, action.choices), word)
    list_words = _BY_METAVAR.get(str(action.metavar))
    if list_words is not None:
        return list_words(word, root)
    return [FILES] if action.type is Path or action.metavar in {"FILE", "ROWS"} else []


def _list_runs(word: str, root: Path) -> list[str]:
    return _match(_find_runs(root), word) or [FILES]


def _find_runs(root: Path) -> list[str]:
    return sorted(f"runs/{path.parent.name}" for path in root.glob("runs/*/stages.json"))


def _list_models(word: str, root: Path) -> list[str]:
    return _match(sorted(file.stem for file in root.glob("models/*.jsonl")), word)


def _list_champions(word: str, root: Path) -> list[str]:
    models = _list_models("", root)
    known = ["champion"] if len(models) == 1 else [f"{name}@champion" for name in models]
    return _match([*known, *_find_runs(root)], word) or [FILES]


def _list_sides(word: str, root: Path) -> list[str]:
    files = [name for name in ("params.yaml", "resolved.yaml") if (root / name).is_file()]
    known = _match([*_find_runs(root), *files, *_find_revisions(root)], word)
    return [*known, *list_overrides(word, root=root)] or [FILES]


def _find_revisions(root: Path) -> list[str]:
    import subprocess

    command = ["git", "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags"]
    try:
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)  # noqa: S603 - git alone
    except FileNotFoundError:
        return []
    return ["HEAD", *done.stdout.split()] if done.returncode == 0 else []


def _list_features(word: str, root: Path) -> list[str]:
    return _match(list_columns(root), word) + list_overrides(word, root=root)


def _match(words: Iterable[str], word: str) -> list[str]:
    return [one for one in dict.fromkeys(words) if one.startswith(word)]


_BY_METAVAR: dict[str, Callable[[str, Path], list[str]]] = {
    "OVERRIDE": lambda word, root: list_overrides(word, root=root),
    "FEATURE|OVERRIDE": _list_features,
    "KEY": lambda word, root: list_keys(word, root=root),
    "RUN": _list_runs,
    "MODEL": _list_models,
    "REF": _list_champions,
    "A": _list_sides,
    "B": _list_sides,
}
