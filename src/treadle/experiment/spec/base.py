"""What the sections of an experiment share: their base class, and the types of more than one of them."""

from __future__ import annotations

from typing import Annotated, Any

import pydantic
from pydantic import AfterValidator, Field

from treadle.experiment.durations import parse_duration, parse_moment
from treadle.secrets import find_secret


class Spec(pydantic.BaseModel):
    """A section of the configuration. Unknown keys and implicit type conversions are refused."""

    model_config = pydantic.ConfigDict(
        extra="forbid",
        frozen=True,
        strict=True,
        protected_namespaces=(),
        defer_build=True,
        allow_inf_nan=False,
        use_attribute_docstrings=True,
    )


def check_duration(text: str) -> str:
    """Refuse a text that is not a duration."""
    parse_duration(text)
    return text


def check_moment(text: str) -> str:
    """Refuse a text that is not a date or datetime."""
    parse_moment(text)
    return text


def check_target(node: dict[str, Any]) -> dict[str, Any]:
    """Refuse a node without a `_target_`."""
    if not isinstance(node.get("_target_"), str):
        raise ValueError("needs a `_target_`: the dotted path of a class or function")  # noqa: TRY004 - pydantic's way
    return node


def is_unset(value: Any) -> bool:
    """Whether an optional key is not given: an experiment without it is what it was before the key existed."""
    return value is None


def _check_path(text: str) -> str:
    secret = find_secret(text) if "://" in text else ""
    if secret:
        raise ValueError(
            f"must hold no secret, which every record of a run would show; it has {secret}. "
            "Put it into a variable of the environment, and write $NAME in its place"
        )
    return text


def _check_word(text: str) -> str:
    if not text or "." in text:
        raise ValueError("must not be empty or contain a dot, which separates the names of a key")
    return text


DataPath = Annotated[str, AfterValidator(_check_path)]  # of files of data, or their address, which holds no secret
Sql = Annotated[str, Field(min_length=1)]
Duration = Annotated[str, AfterValidator(check_duration)]  # "3h", "90m", "1d", "2w"
Moment = Annotated[str, AfterValidator(check_moment)]  # ISO 8601, UTC: "2013-09-01"
Target = Annotated[dict[str, Any], AfterValidator(check_target)]  # a `_target_` node, checked by signature
Word = Annotated[str, AfterValidator(_check_word)]  # one name of a dotted key
Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)]  # also the name of a file
