"""Escape texts from outside for Markdown."""

from __future__ import annotations

import re

from treadle.printable import escape


def to_prose(text: str) -> str:
    """For Markdown: a name starts no link, image, HTML, code or table cell."""
    return re.sub(r"([\\`*\[\]<|~]|:(?=//))", r"\\\1", escape(text))


def to_code(text: str) -> str:
    """As code in Markdown, between more backticks than the text holds in a row."""
    text = escape(text)
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    room = " " if "`" in text else ""
    return f"{'`' * (longest + 1)}{room}{text}{room}{'`' * (longest + 1)}"
