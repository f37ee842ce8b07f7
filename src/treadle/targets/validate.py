"""A `_target_` and its arguments against the signature in its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Literal

from treadle.hints import Hint, nearest
from treadle.problems import Problem
from treadle.targets.annotations import find_fault, list_options
from treadle.targets.injected import list_context, list_required
from treadle.targets.signatures import Signature, UnknownTargetError, read_signature

RESERVED = ("_target_", "_partial_")
_HYDRA = ("_args_", "_convert_", "_recursive_")  # what Hydra's own `instantiate` knows


def find_targets(node: Any, key: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every node with a `_target_`, with its dotted key."""
    if isinstance(node, dict):
        if isinstance(node.get("_target_"), str):
            yield key, node
        for name, value in node.items():
            yield from find_targets(value, f"{key}.{name}".lstrip("."))
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from find_targets(value, f"{key}.{index}")


def judge_target(
    key: str, node: dict[str, Any], allowed: Sequence[str]
) -> Iterator[tuple[Literal["key", "value"], Problem]]:
    """Every mistake in a target and its arguments, each with the part of its key that is wrong; without places."""
    fault = _judge_path(key, node["_target_"], allowed)
    if fault is not None:
        yield "value", fault
        return
    signature = read_signature(node["_target_"])
    yield from (("key", problem) for problem in _check_names(key, node, signature))
    yield from (("value", problem) for problem in _check_values(key, node, signature))


def _judge_path(key: str, path: str, allowed: Sequence[str]) -> Problem | None:
    """What is wrong with the target itself."""
    key = f"{key}._target_"
    if not any(path.startswith(prefix) for prefix in allowed):
        rule = f"{path!r} is outside the allowed targets"
        fix = "add the package to `targets` in conf/config.yaml, if you trust it"
        return Problem(key, rule, fix, hint=Hint(allowed=tuple(allowed)))
    try:
        read_signature(path)
    except UnknownTargetError as error:
        hint = nearest(error.missing, error.options)
        mend = f"{key}={path.replace(error.missing, hint.nearest)}" if hint.nearest else ""
        fix = "" if error.options else "a package of your own lies in the project's folder, or is installed"
        return Problem(key, str(error), fix, hint=hint, mend=mend)
    except SyntaxError as error:
        return Problem(key, f"the source of {path!r} is not Python: line {error.lineno}: {error.msg}")
    return None


def _check_names(key: str, node: dict[str, Any], signature: Signature) -> Iterator[Problem]:
    path, takes, context = node["_target_"], signature.parameters, list_context(key)
    given = [str(name) for name in node if name not in RESERVED]
    for name in sorted(list_required(key) - takes.keys()) if signature.known and not signature.open else ():
        rule = f"{path} must take the argument {name!r}, which Treadle hands to it here"
        yield Problem(f"{key}._target_", rule, f"give it a parameter {name}, or choose another target")
    for name in given:
        dotted = f"{key}.{name}"
        if name in _HYDRA:
            rule = f"{path} does not take {name!r}: Treadle builds targets by keyword, nested ones first"
            yield Problem(dotted, rule, "remove it", mend=f"~{dotted}")
        elif name in context:
            rule = f"{name!r} is given twice: {path} takes it from Treadle, which knows it from the data"
            yield Problem(dotted, rule, "remove it", mend=f"~{dotted}")
        elif name not in takes and not signature.open:
            hint = nearest(name, takes.keys() - context)
            yield Problem(dotted, f"{path} does not take {name!r}", hint=hint, mend=f"~{dotted}")
    if "_partial_" not in node:
        for parameter in takes.values():
            if parameter.required and parameter.name not in {*given, *context}:
                dotted = f"{key}.{parameter.name}"
                rule = f"{path} needs the argument {parameter.name!r}, {parameter.type}"
                yield Problem(key, rule, f"add {dotted}", mend=f"+{dotted}=…")


def _check_values(key: str, node: dict[str, Any], signature: Signature) -> Iterator[Problem]:
    path, takes = node["_target_"], signature.parameters
    if not isinstance(node.get("_partial_", False), bool):
        yield Problem(f"{key}._partial_", f"must be true or false, found {node['_partial_']!r}")
    for name, value in node.items():
        parameter = takes.get(str(name))
        if parameter is None or name in RESERVED or name in list_context(key):
            continue
        fault = find_fault(value, parameter.type)
        if fault:
            options = list_options(parameter.type)
            hint = nearest(str(value), options) if options else Hint()
            mend = f"{key}.{name}={hint.nearest}" if hint.nearest else ""
            yield Problem(f"{key}.{name}", f"{path}: {name} {fault}", hint=hint, mend=mend)
    for rule in signature.rules:
        for name, breach, fix in rule.find(node):
            yield Problem(f"{key}.{name}", f"{path}: {name} {breach}", fix)
