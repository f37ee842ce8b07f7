"""Fill the templates of this folder."""

from __future__ import annotations

import base64
import hashlib
import math
import re
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import jinja2
from markupsafe import Markup

_FOLDER = Path(__file__).parent
_SCRIPT = _FOLDER / "charts.js"


class Section(NamedTuple):
    """Part of a page from one <h2> to the next."""

    anchor: str  # unique in the page
    title: Markup
    html: Markup


def render_page(template: str, **values: Any) -> str:
    """Fill a template of this folder; every value is escaped, except drawings made here."""
    return _open_pages().get_template(template).render(**values)


def render_text(template: str, **values: Any) -> str:
    """Fill a template of this folder that is Markdown: nothing is escaped but what the filter `cell` is asked to."""
    text = _open_texts().get_template(template).render(**values)
    return re.sub(r"\n{3,}", "\n\n", text).strip() + "\n"


@cache
def _open_pages() -> jinja2.Environment:
    """Kept, since it holds the templates as they were compiled."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(find_sections=find_sections, hash_script=_hash_script, within=write_within)
    environment.globals["read_script"] = lambda: _SCRIPT.read_text(encoding="utf-8")
    return environment


@cache
def _open_texts() -> jinja2.Environment:
    """Likewise."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_FOLDER),
        autoescape=False,  # noqa: S701 - no HTML
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters["cell"] = _write_cell
    return environment


def _write_cell(text: Any) -> str:
    """A text in a cell of a Markdown table."""
    return " ".join(str(text).split()).replace("|", "\\|")


def find_sections(body: Markup) -> list[Section]:
    """The sections of a page's body.

    >>> [(s.anchor, str(s.title)) for s in find_sections(Markup("<h2>A &amp; b</h2>1 <h2>A, b</h2>2"))]
    [('a-b', 'A &amp; b'), ('a-b-2', 'A, b')]
    """
    sections: list[Section] = []
    for html in re.split(r"(?=<h2>)", body)[1:]:
        title = Markup(re.sub(r"<[^>]+>", "", html[4 : html.index("</h2>")]))  # noqa: S704 - was filled and escaped
        anchor = "-".join(re.findall(r"\w+", title.unescape().lower())) or "section"
        again = sum(re.sub(r"-\d+$", "", s.anchor) == anchor for s in sections)
        name = f"{anchor}-{again + 1}" if again else anchor
        sections.append(Section(name, title, Markup(html)))  # noqa: S704 - likewise
    return sections


def write_within(value: float, interval: Any, *, sign: bool = False) -> str:
    """A value with the decimals that its interval (`low`, `high`) knows: two digits of the interval's length.

    Where there is no interval, these are None, and the value has four decimals.

    >>> from types import SimpleNamespace as Interval
    >>> write_within(0.916823, Interval(low=0.91221, high=0.92105)), write_within(51234.5, Interval(low=5e4, high=6e4))
    ('0.9168', '51,234')
    >>> write_within(-0.0004, Interval(low=-0.06, high=0.06))  # no sign of its own
    '0.00'
    """
    length = math.nan if interval.low is None else interval.high - interval.low
    decimals = min(8, max(0, 1 - math.floor(math.log10(length)))) if math.isfinite(length) and length > 0 else 4
    return f"{value:{'+' if sign else ''}z,.{decimals}f}".replace("-", "\N{MINUS SIGN}")


def _hash_script(script: str) -> str:
    """What the page's own policy allows to run: this text, and no other."""
    return "sha256-" + base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
