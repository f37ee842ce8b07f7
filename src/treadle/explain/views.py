"""An explanation as text for people, and as one JSON object for programs."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import Any

from treadle.config.origins import Setting
from treadle.explain.explanation import Explanation
from treadle.explain.meanings import NO_DEFAULT, describe_limits
from treadle.hints import show
from treadle.keys import ABSENT

SHOWN = 40  # characters of a value in a list

# --- for programs -------------------------------------------------------------------------------------


def to_json(explanation: Explanation) -> str:
    """One JSON object; its keys are always the same, null where nothing is known."""
    return json.dumps(_to_plain(explanation), ensure_ascii=False, indent=1)


def _to_plain(explanation: Explanation) -> dict[str, Any]:
    meaning, group = explanation.meaning, explanation.group
    return {
        "key": explanation.key,
        "kind": explanation.kind,
        "value": _plain(explanation.value),
        "written": _plain(explanation.written),
        "type": str(meaning.type),
        "limits": describe_limits(meaning.type),
        "unit": meaning.unit,
        "meaning": meaning.text,
        "section": meaning.section,
        "target": meaning.target,
        "default": None if meaning.default is NO_DEFAULT else meaning.default,
        "stages": explanation.stages,
        "without_effect": explanation.without_effect,
        "chosen": explanation.chosen,
        "left_out": list(explanation.left_out),
        "history": [_plain_setting(setting) for setting in explanation.history],
        "group": None
        if group is None
        else {
            "selected": group.selected,
            "options": [option.name for option in group.options],
            "history": [_plain_setting(setting) for setting in group.history],
        },
    }


def _plain(value: Any) -> Any:
    return None if value is ABSENT else value


def _plain_setting(setting: Setting) -> dict[str, Any]:
    place = setting.place
    return {
        "file": place.file,
        "line": place.line,
        "column": place.column,
        "override": place.override,
        "removes": setting.value is ABSENT,
        "value": _plain(setting.value),
    }


# --- for people ---------------------------------------------------------------------------------------


def to_text(explanation: Explanation) -> str:
    """The value first, then one line per fact."""
    facts = [(name, lines) for name, lines in _list_facts(explanation) if any(lines)]
    width = max(len(name) for name, _ in facts)
    text = [_format_head(explanation), ""]
    for name, lines in facts:
        text += [f"  {name if index == 0 else '':<{width}}  {line}".rstrip() for index, line in enumerate(lines)]
    return "\n".join(text)


def _format_head(explanation: Explanation) -> str:
    if explanation.group is not None:
        return f"{explanation.key} = {explanation.group.selected or 'null'}  (a group)"
    if explanation.value is ABSENT:
        return f"{explanation.key} is not set"
    if explanation.kind == "section":
        return f"{explanation.key}  (a section)"
    return f"{explanation.key} = {_write(explanation.value)}"


def _list_facts(explanation: Explanation) -> Iterator[tuple[str, list[str]]]:
    meaning, kind, group = explanation.meaning, explanation.kind, explanation.group
    limits = describe_limits(meaning.type)
    is_open = isinstance(explanation.written, str) and explanation.written != explanation.value
    yield "written", [str(explanation.written)] if is_open else []
    yield "chosen", [explanation.chosen]
    yield "left out", [f"{step}: the model takes numbers as they are" for step in explanation.left_out]
    yield "meaning", [text for text in (meaning.text, meaning.section) if text]
    if kind == "value":
        yield "type", [", ".join(part for part in (str(meaning.type), limits) if part)]
        yield "unit", [meaning.unit]
        yield "default", [] if meaning.default is NO_DEFAULT else [_write(meaning.default)]
    yield "argument of", [meaning.target]
    if not (group is not None and explanation.value is ABSENT):
        yield "read by", [_format_readers(explanation)]
    if group is not None:
        yield "selected by", _list_settings(group.history)
        yield "options", _align([(option.name, option.summary) for option in group.options])
    yield "set by", _list_settings(explanation.history)
    if isinstance(explanation.value, dict):
        yield "keys", _list_keys(explanation)


def _list_keys(explanation: Explanation) -> list[str]:
    """One line per key: its value or default, and its meaning where that differs from the section's."""
    values = {name: "" if key.default is NO_DEFAULT else key.default for name, key in explanation.keys.items()}
    values |= explanation.value
    texts = {name: key.text for name, key in explanation.keys.items()}
    meanings = {name: text if text != explanation.meaning.text else "" for name, text in texts.items()}
    return _align([(str(name), _shorten(_write(values[name])), text) for name, text in meanings.items()])


def _format_readers(explanation: Explanation) -> str:
    if explanation.stages:
        return ", ".join(explanation.stages)
    return "no stage: it does not change results" if explanation.without_effect else "no stage"


def _list_settings(settings: list[Setting]) -> list[str]:
    rows = [(str(s.place), "removed" if s.value is ABSENT else _shorten(_write(s.value))) for s in settings]
    lines = _align(rows)
    return [*lines[:-1], f"{lines[-1]}  <- wins"] if len(lines) > 1 else lines


def _align(rows: Sequence[Sequence[str]]) -> list[str]:
    """Rows of cells as lines, each column as wide as its widest cell."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(f"{cell:<{w}}" for cell, w in zip(row, widths, strict=True)).rstrip() for row in rows]


def _write(value: Any) -> str:
    """A value on one line, as YAML writes it in flow."""
    if isinstance(value, dict):
        return "{" + ", ".join(f"{name}: {_write(item)}" for name, item in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_write, value)) + "]"
    return value if isinstance(value, str) else show(value)


def _shorten(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= SHOWN else f"{line[: SHOWN - 1]}…"
