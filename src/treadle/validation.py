"""A validation error of pydantic in one line."""

from __future__ import annotations

from typing import Any

import pydantic

from treadle.hints import show


def describe_first(error: pydantic.ValidationError) -> str:
    """The first mistake: key, rule and value; and how many more there are."""
    first: Any = error.errors(include_url=False)[0]
    key = ".".join(map(str, first["loc"]))
    rule = first["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    found = f"; found {show(first['input'])}" if isinstance(first["input"], str | int | float | list | None) else ""
    more = f" (and {error.error_count() - 1:,} more)" if error.error_count() > 1 else ""
    return ": ".join(part for part in (key, f"{rule}{found}{more}") if part)
