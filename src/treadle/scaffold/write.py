"""The files of a project: templates filled from a plan."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

import jinja2
import yaml

from treadle.config.shipped import find_shipped
from treadle.experiment.spec import Column
from treadle.printable import escape
from treadle.scaffold.planning.plan import Plan, describe_span
from treadle.scaffold.planning.roles import MAX_WORDS, Choice
from treadle.scaffold.planning.target import quote
from treadle.scaffold.reading.profile import Profile

MAX_ALLOWED = 80  # characters of a list of texts that the contract names
WIDTH = 120  # of a line
_INTERPOLATION = re.compile(r"(\\*)\$\{")  # with the backslashes before it, each of which would escape the next
_TEMPLATES = Path(__file__).parent / "templates"
_SHIPPED = ("constraints.txt", "dvc.yaml")  # the same as Treadle's own


@dataclass(frozen=True)
class Project:
    """What the files say besides the plan."""

    title: str
    package: str  # of Python; also the name of data, features and experiment
    path: str  # of the table's files, relative to the project
    origin: str  # where the table came from, in words
    dialect: Mapping[str, Any]
    remarks: Mapping[str, str]  # how keys of the dialect were guessed
    treadle: str  # requirement
    local_treadle: str | None  # requirement by which this machine alone finds it
    python: str  # 3.11
    is_small: bool  # the data fits into git


@dataclass(frozen=True)
class _Line:
    name: str
    contract: str
    comment: str
    reason: str = ""
    above: str = ""  # what to know of how it is read, where that does not fit beside it


def write_files(plan: Plan, project: Project, folder: Path) -> None:
    """Write every file of the project into `folder`, those of git and DVC aside."""
    package = project.package
    texts = {
        "conf/config.yaml": "config.yaml",
        f"conf/data/{package}.yaml": "data.yaml",
        f"conf/features/{package}.yaml": "features.yaml",
        f"conf/experiment/{package}.yaml": "experiment.yaml",
        "params.yaml": "params.yaml",
        "pyproject.toml": "pyproject.toml",
        "Makefile": "Makefile",
        "README.md": "README.md",
        ".gitignore": "gitignore",
        ".gitattributes": "gitattributes",
        ".dvcignore": "dvcignore",
        f"src/{package}/__init__.py": "package.py",
        "tests/test_contract.py": "test_contract.py",
        "tests/test_parity.py": "test_parity.py",
    }
    environment = _make_environment()
    facts = _list_facts(plan, project)
    for name, template in texts.items():
        file = folder / name
        file.parent.mkdir(parents=True, exist_ok=True)
        text = environment.get_template(f"{template}.jinja").render(facts)
        file.write_text(f"{text.rstrip()}\n", encoding="utf-8")
    for name in _SHIPPED:
        (folder / name).write_bytes(find_shipped(name).read_bytes())
    if project.local_treadle is not None:
        (folder / ".treadle-source").write_text(f"{project.local_treadle}\n", encoding="utf-8")


def render(name: str, facts: Mapping[str, Any]) -> str:
    """One template."""
    return _make_environment().get_template(f"{name}.jinja").render(facts)


def _make_environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
        finalize=_finish,
        autoescape=False,  # noqa: S701 - YAML, Python and Markdown, not HTML
    )
    environment.filters |= {
        "yaml": to_yaml,
        "flow": to_flow,
        "sql": quote,
        "cell": lambda text: text.replace("|", r"\|"),
        "code": _to_code,
        "prose": _to_prose,
        "toml": partial(json.dumps, ensure_ascii=False),
        "first_upper": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def _list_facts(plan: Plan, project: Project) -> dict[str, Any]:
    features = [choice for choice in plan.choices if choice.role != "out"]
    weekdays = [feature.name for feature in plan.derived if feature.period == 7]  # noqa: PLR2004 - days
    cycles: dict[int, list[str]] = {}
    for feature in plan.derived:
        if feature.period is not None:
            cycles.setdefault(feature.period, []).append(feature.name)
    return {
        **project.__dict__,
        "plan": plan,
        "task": plan.target.task,
        "target": plan.target,
        "question": escape(_ask(plan)),
        "origin": escape(project.origin),
        "distribution": project.package.replace("_", "-"),
        "python": f"python{project.python}",
        "python_title": f"Python {project.python}",
        "requires_python": f">={project.python}",
        "columns": _list_columns(plan),
        "left_out": [_describe_left_out(choice) for choice in plan.left_out if not _is_read(choice.profile.name, plan)],
        "others": [choice for choice in plan.left_out if not choice.is_suspect],
        "known": [choice.profile.name for choice in features],
        "numbers": [*plan.list_columns("number"), *(f.name for f in plan.derived if f.name not in weekdays)],
        "spiky": plan.list_columns("spiky"),
        "categories": [*plan.list_columns("category"), *weekdays],
        "hashed": plan.list_columns("hashed"),
        "cycles": cycles,
        "units": {7: "days", 12: "months", 1440: "minutes"},
        "max_words": MAX_WORDS,
    }


def _ask(plan: Plan) -> str:
    target = plan.target
    if target.task == "regression":
        return f"How much is {target.name}?"
    return (
        f"Is {target.label.replace(quote(target.name), target.name)}?"
        if target.task == "binary"
        else f"Which {target.name} is it?"
    )


# --- the contract -------------------------------------------------------------------------------------


def _is_read(name: str, plan: Plan) -> bool:
    return name in {plan.target.name, plan.predict_at, plan.weight, plan.split.get("column")}


def _list_columns(plan: Plan) -> list[_Line]:
    """The columns that are read, those that are no features first."""
    roles = {plan.target.name: "the target", plan.predict_at: "the moment of the prediction", plan.weight: "the weight"}
    roles.setdefault(plan.split.get("column"), "the split")
    lines = [_describe(plan.target_profile, roles[plan.target.name], is_target=True)]
    for choice in plan.choices:
        name = choice.profile.name
        if choice.role != "out" or _is_read(name, plan):
            lines.append(_describe(choice.profile, roles.get(name, choice.reason), is_target=name in roles))
    return lines


def _describe(profile: Profile, remark: str, *, is_target: bool) -> _Line:
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
    return _Line(profile.name, text, f"  # {_shorten(comment, max(40, room))}" if comment else "", above=above)


def _describe_left_out(choice: Choice) -> _Line:
    column = choice.profile.column.model_copy(update={"missing": []})
    contract = _list_contract(Profile(choice.profile.name, column, 0, 0, 0), most=0)
    text = to_yaml(contract)
    room = WIDTH - len(f"      #   {to_yaml(choice.profile.name)}: {text}  # ")
    return _Line(choice.profile.name, text, "", _shorten(escape(choice.reason), max(40, room)))


def _list_contract(profile: Profile, *, most: int | None) -> dict[str, Any]:
    """The keys of a column's contract that are not the default, and the limits that the values show.

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


class _Lines(str):
    """Text of ours that may have several lines."""

    __slots__ = ()


def _finish(value: Any) -> Any:
    """The door into a file: a name or a class stays on the line that our template gives it."""
    return value if isinstance(value, _Lines) else escape(str(value))


def _to_prose(text: str) -> str:
    """For Markdown: no link, image, HTML, code or cell of a table begins in a name."""
    return re.sub(r"([\\`*\[\]<|~]|:(?=//))", r"\\\1", escape(text))


def _to_code(text: str) -> str:
    """As code in Markdown, between more backticks than the text holds in a row."""
    text = escape(text)
    longest = max(map(len, re.findall(r"`+", text)), default=0)
    room = " " if "`" in text else ""
    return f"{'`' * (longest + 1)}{room}{text}{room}{'`' * (longest + 1)}"


# --- YAML ---------------------------------------------------------------------------------------------


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
    return _Lines(f"[{pad.join(line.rstrip() for line in lines).rstrip(',')}]")
