"""Rules between the arguments of a component, written beside it and read without importing it.

    class Net(nn.Module):
        RULES = (OnlyWith("embedding", "periodic", ("num_frequencies", "frequency_scale")),)

Limits of a single argument stand in its annotation: `dropout: Annotated[float, Field(ge=0, lt=1)]`.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.hints import Fault

Found = tuple[str, Fault]  # the argument, and what is wrong with it


@dataclass(frozen=True)
class Exclusive:
    """At most one of these arguments is given."""

    names: tuple[str, ...]

    def find(self, values: Mapping[str, Any]) -> Iterator[Found]:
        """The fault, if there is one."""
        given = [name for name in self.names if _is_given(values.get(name))]
        if len(given) > 1:
            rule = f"{' and '.join(map(repr, given))} exclude each other"
            yield given[-1], Fault(rule, "set all but one of them to null")


@dataclass(frozen=True)
class Together:
    """All of these arguments are given, or none."""

    names: tuple[str, ...]

    def find(self, values: Mapping[str, Any]) -> Iterator[Found]:
        """The fault, if there is one."""
        absent = [name for name in self.names if not _is_given(values.get(name))]
        if absent and len(absent) < len(self.names):
            rule = f"{', '.join(map(repr, self.names))} must be given together, or none of them"
            yield from ((name, Fault(rule, f"give {name}, too")) for name in absent)


@dataclass(frozen=True)
class OnlyWith:
    """These arguments are read if and only if `name` has that value, or one of a tuple; otherwise they are null."""

    name: str
    value: Any
    names: tuple[str, ...]

    @property
    def values(self) -> tuple[Any, ...]:
        """The values with which the arguments are read."""
        return self.value if isinstance(self.value, tuple) else (self.value,)

    @property
    def condition(self) -> str:
        """The condition as text."""
        return " or ".join(f"{self.name}={value}" for value in self.values)

    def find(self, values: Mapping[str, Any]) -> Iterator[Found]:
        """Each fault."""
        wanted = values.get(self.name) in self.values
        for name in self.names:
            given = _is_given(values.get(name))
            if wanted and not given:
                yield name, Fault(f"is required with {self.condition}", f"give {name} a value")
            elif given and not wanted:
                rule = f"is only read with {self.condition}; here {self.name} is {values.get(self.name)!r}"
                yield name, Fault(rule, f"set {name} to null, or {self.name} to {' or '.join(map(str, self.values))}")


Rule = Exclusive | Together | OnlyWith
_KINDS: dict[str, type[Rule]] = {"Exclusive": Exclusive, "Together": Together, "OnlyWith": OnlyWith}

# Limits of arguments of other libraries, by prefix of the target.
FOREIGN: dict[str, dict[str, dict[str, float]]] = {
    "torch.optim.": {
        "lr": {"gt": 0},
        "weight_decay": {"ge": 0},
        "momentum": {"ge": 0, "lt": 1},
        "dampening": {"ge": 0, "lt": 1},
        "eps": {"ge": 0},
        "alpha": {"ge": 0},
    },
}


def parse_rules(text: str) -> list[Rule]:
    """The rules of a class attribute `RULES`, from its source."""
    try:
        node = ast.parse(text, mode="eval").body
    except SyntaxError:
        return []
    calls = node.elts if isinstance(node, ast.Tuple | ast.List) else [node]
    return [_parse_rule(call) for call in calls if isinstance(call, ast.Call) and _name(call) in _KINDS]


def _parse_rule(call: ast.Call) -> Rule:
    arguments = [ast.literal_eval(argument) for argument in call.args]
    named = {word.arg: ast.literal_eval(word.value) for word in call.keywords if word.arg is not None}
    return _KINDS[_name(call)](*arguments, **named)


def _name(call: ast.Call) -> str:
    return ast.unparse(call.func).rpartition(".")[2]


def _is_given(value: Any) -> bool:
    return value is not None and value not in ([], {})
