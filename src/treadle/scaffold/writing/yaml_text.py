"""YAML as a person would write it: flow style, one line where it fits, quoted only where it must be."""

from __future__ import annotations

import re
from datetime import date
from typing import Any

import yaml

from treadle.printable import escape

WIDTH = 120  # of a line
_INTERPOLATION = re.compile(r"(\\*)\$\{")  # with the backslashes before it, each of which would escape the next


class Lines(str):
    """Text from this module, which may have several lines."""

    __slots__ = ()


def to_yaml(value: Any) -> str:
    """A value on one line. `${` is what OmegaConf resolves: a text that holds it is escaped."""
    text = _dump(value, allow_unicode=True)
    return text if escape(text) == text else _dump(value, allow_unicode=False)


def _dump(value: Any, *, allow_unicode: bool) -> str:
    text: str = yaml.dump(
        _escape(value),
        Dumper=_Dumper,
        default_flow_style=True,
        allow_unicode=allow_unicode,
        width=float("inf"),
        sort_keys=False,
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _escape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _escape(inner) for key, inner in value.items()}
    if isinstance(value, list):
        return [_escape(inner) for inner in value]
    if isinstance(value, date):
        return str(value)
    return _INTERPOLATION.sub(r"\1\1\\${", value) if isinstance(value, str) else value


class _Dumper(yaml.SafeDumper):
    """Flow style that keeps what YAML 1.1 would read as something else in quotes, and every text on one line."""

    def represent_text(self, text: str) -> yaml.ScalarNode:
        """In double quotes, which escape them, where there are line ends."""
        return self.represent_scalar("tag:yaml.org,2002:str", text, style='"' if len(text.splitlines()) > 1 else None)


_Dumper.add_representer(str, _Dumper.represent_text)
# OmegaConf reads as a number what YAML 1.1 takes for a text: an exponent without a point or a sign.
_Dumper.add_implicit_resolver("tag:yaml.org,2002:float", re.compile(r"[+-]?\d[\d_]*[eE][+-]?\d+"), list("+-0123456789"))


def to_flow(values: list[str], start: int, indent: int) -> str:
    """A list in brackets that starts in column `start`, wrapped; further lines are indented by `indent`."""
    text = to_yaml(values)
    if start + len(text) <= WIDTH:
        return text
    pad = "\n" + " " * indent
    lines = [""]
    for item in map(to_yaml, values):
        if len(lines[-1]) + len(item) + max(start, indent) > WIDTH - 2:
            lines.append("")
        lines[-1] += f"{item}, "
    return Lines(f"[{pad.join(line.rstrip() for line in lines).rstrip(',')}]")
