"""The files of a project: templates filled from a plan."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import jinja2

from treadle.config.shipped import find_shipped
from treadle.printable import escape
from treadle.scaffold.planning.plan import Plan
from treadle.scaffold.planning.roles import MAX_WORDS
from treadle.scaffold.planning.target import quote
from treadle.scaffold.writing.contract import describe_left_out, is_read, list_columns
from treadle.scaffold.writing.markdown import to_code, to_prose
from treadle.scaffold.writing.yaml_text import Lines, to_flow, to_yaml
from treadle.tasks import TRAITS

_TEMPLATES = Path(__file__).parent / "templates"
_SHIPPED = ("constraints.txt", "dvc.yaml")  # the same as Treadle's own


@dataclass(frozen=True)
class Project:
    """What the files contain besides the plan."""

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


@cache
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
        "code": to_code,
        "prose": to_prose,
        "toml": partial(json.dumps, ensure_ascii=False),
        "first_upper": lambda text: text[:1].upper() + text[1:],
    }
    return environment


def _finish(value: Any) -> Any:
    """Escape every value that goes into a file, so that a name stays on its line of the template."""
    return value if isinstance(value, Lines) else escape(str(value))


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
        "columns": list_columns(plan),
        "left_out": [describe_left_out(choice) for choice in plan.left_out if not is_read(choice.profile.name, plan)],
        "others": [choice for choice in plan.left_out if not choice.is_suspect],
        "known": [choice.profile.name for choice in features],
        "numbers": [*plan.list_columns("number"), *(f.name for f in plan.derived if f.name not in weekdays)],
        "spiky": plan.list_columns("spiky"),
        "categories": [*plan.list_columns("category"), *weekdays],
        "hashed": plan.list_columns("hashed"),
        "cycles": cycles,
        "units": {7: "days", 12: "months", 366: "days", 1440: "minutes"},
        "max_words": MAX_WORDS,
    }


def _ask(plan: Plan) -> str:
    target = plan.target
    if TRAITS[target.task].is_value:
        return f"How large is {target.name}?"
    if isinstance(target.label, dict):
        return f"Which of {target.name} is it?"
    return (
        f"Is {target.label.replace(quote(target.name), target.name)}?"
        if target.task == "binary"
        else f"Which {target.name} is it?"
    )
