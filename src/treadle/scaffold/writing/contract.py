"""The columns of a table as lines of its contract, each with its reason."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from treadle.experiment.spec import Column
from treadle.printable import escape
from treadle.scaffold.planning.plan import Plan, describe_span
from treadle.scaffold.planning.roles import ColumnUse
from treadle.scaffold.reading.profile import Profile
from treadle.scaffold.writing.yaml_text import WIDTH, to_yaml

MAX_ALLOWED = 80  # characters of a list of texts that the contract names


@dataclass(frozen=True)
class Line:
    """A column of the contract."""

    name: str
    contract: str
    comment: str
    reason: str = ""
    above: str = ""  # a note on how it is read, where that does not fit beside it


def is_read(name: str, plan: Plan) -> bool:
    """Whether a column is read for another purpose than as a feature."""
    return name in {*plan.target.columns, plan.predict_at, plan.weight, plan.split.get("column")}


def list_columns(plan: Plan) -> list[Line]:
    """The columns that are read, those that are no features first."""
    roles: dict[str | None, str] = dict.fromkeys(plan.target.columns, "a label" if plan.target.parts else "the target")
    roles |= {plan.predict_at: "the time of the prediction", plan.weight: "the weight"}
    roles.setdefault(plan.split.get("column"), "the split")
    lines = [_describe(profile, roles[profile.name], is_target=True) for profile in plan.target_profiles]
    for choice in plan.choices:
        name = choice.profile.name
        if choice.role != "out" or is_read(name, plan):
            lines.append(_describe(choice.profile, roles.get(name, choice.reason), is_target=name in roles))
    return lines


def _describe(profile: Profile, remark: str, *, is_target: bool) -> Line:
    contract = _list_contract(profile, most=None if is_target else MAX_ALLOWED)
    span = "" if "allowed" in contract else describe_span(profile)
    missing = f"missing in {profile.num_missing / profile.num_rows:.1%}" if profile.num_missing else ""
    text = to_yaml(contract)
    room = WIDTH - len(f"      {to_yaml(profile.name)}: {text}  # ")
    comment = escape("; ".join(filter(None, [remark, profile.note, missing, span])))
    note = escape(profile.note) if len(comment) > room else ""
    if note:
        comment = escape("; ".join(filter(None, [remark, missing, span])))
    above = _shorten(note, WIDTH - len("      # "))
    return Line(profile.name, text, f"  # {_shorten(comment, max(40, room))}" if comment else "", above=above)


def describe_left_out(choice: ColumnUse) -> Line:
    """A column that is not read, for a comment."""
    column = choice.profile.column.model_copy(update={"missing": []})
    contract = _list_contract(Profile(choice.profile.name, column, 0, 0, 0), most=0)
    text = to_yaml(contract)
    room = WIDTH - len(f"      #   {to_yaml(choice.profile.name)}: {text}  # ")
    return Line(choice.profile.name, text, "", _shorten(escape(choice.reason), max(40, room)))


def _list_contract(profile: Profile, *, most: int | None) -> dict[str, Any]:
    """The keys of a column's contract that are not the default, and limits from its values.

    Texts are named where all of them together are not longer than `most`; None: whatever their length.
    """
    column = profile.column
    defaults = Column(dtype=column.dtype)
    contract = {
        key: value for key, value in column.model_dump().items() if key == "dtype" or value != getattr(defaults, key)
    }
    if isinstance(profile.low, int | float) and profile.low >= 0:
        contract["min"] = 0
    texts = [value for value, _ in profile.values if isinstance(value, str)]
    whole = column.dtype == "str" and texts and len(texts) == profile.num_distinct
    if whole and (most is None or len(to_yaml(texts)) <= most):
        contract["allowed"] = sorted(texts)
    return contract


def _shorten(text: str, room: int) -> str:
    return text if len(text) <= room else f"{text[: room - 1].rstrip(' ;,')}…"
