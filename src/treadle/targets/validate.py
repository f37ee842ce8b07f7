"""A `_target_` and its arguments against the signature in its source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Any

import griffe

from treadle.hints import Fault, Hint, nearest
from treadle.problems import Problem
from treadle.targets.annotations import find_fault
from treadle.targets.injected import PREDICTION, TARGET, is_metric, list_allowed, list_context, list_required
from treadle.targets.signatures import Signature, UnknownTargetError, find_target, read_signature

RESERVED = ("_target_", "_partial_")
_HYDRA = ("_args_", "_convert_", "_recursive_")  # what Hydra's own `instantiate` knows


def check_target(key: str, node: dict[str, Any], allowed: Sequence[str]) -> Iterator[Problem]:
    """Every mistake in a target and its arguments, without places."""
    problem = _check_path(f"{key}._target_", node["_target_"], list_allowed(key, allowed))
    if problem is not None:
        yield problem
        return
    signature = read_signature(node["_target_"])
    yield from (replace(problem, part="key") for problem in _check_names(key, node, signature))
    yield from _check_values(key, node, signature)


def _check_path(key: str, path: str, allowed: Sequence[str]) -> Problem | None:
    """What is wrong with the target itself."""
    if not any(path.startswith(prefix) for prefix in allowed):
        rule = f"{path!r} is outside the allowed targets"
        fix = "add the package to `targets` in conf/config.yaml, if you trust it"
        return Problem(key, rule, fix, hint=Hint(allowed=tuple(allowed)))
    try:
        read_signature(path)
    except UnknownTargetError as error:
        hint = nearest(error.missing, error.options)
        override = f"{key}={path.replace(error.missing, hint.nearest)}" if hint.nearest else ""
        fix = "" if error.options else "put a package of your own into the project's folder, or install it"
        return Problem(key, str(error), fix, hint=hint, fix_override=override)
    except SyntaxError as error:
        return Problem(key, f"the source of {path!r} is not Python: line {error.lineno}: {error.msg}")
    return None


def _check_names(key: str, node: dict[str, Any], signature: Signature) -> Iterator[Problem]:
    path, takes, context = node["_target_"], signature.parameters, list_context(key)
    given = [str(name) for name in node if name not in RESERVED]
    yield from _check_metric(key, path, signature)
    for name in sorted(list_required(key) - takes.keys()) if signature.known and not signature.open else ():
        rule = f"{path} must take the argument {name!r}, which Treadle passes to it here"
        yield Problem(f"{key}._target_", rule, f"give it a parameter {name}, or choose another target")
    for name in given:
        dotted = f"{key}.{name}"
        if name in _HYDRA:
            rule = f"{path} does not take {name!r}: Treadle builds targets by keyword, nested ones first"
            yield Problem(dotted, rule, "remove it", fix_override=f"~{dotted}")
        elif name in context:
            rule = f"{name!r} is given twice: Treadle passes it to {path}, with its value from the data"
            yield Problem(dotted, rule, "remove it", fix_override=f"~{dotted}")
        elif name not in takes and not signature.open:
            hint = nearest(name, takes.keys() - context)
            yield Problem(dotted, f"{path} does not take {name!r}", hint=hint, fix_override=f"~{dotted}")
    if context or node.get("_partial_") is not True:
        for parameter in takes.values():
            if parameter.required and parameter.name not in {*given, *context}:
                dotted = f"{key}.{parameter.name}"
                rule = f"{path} needs the argument {parameter.name!r}, {parameter.type}"
                yield Problem(dotted, rule, f"add {dotted}", fix_override=f"+{dotted}=…")


def _check_metric(key: str, path: str, signature: Signature) -> Iterator[Problem]:
    """Whether a function can be called as a metric; the instance of a class is called by position."""
    if not is_metric(key) or signature.open or not isinstance(find_target(path), griffe.Function):
        return
    for what, names in (("predictions", PREDICTION), ("targets", TARGET)):
        if signature.parameters.keys().isdisjoint(names):
            rule = f"{path} must take the {what}, as an argument {' or '.join(names)}"
            yield Problem(f"{key}._target_", rule, "rename one of its arguments, or choose another function")


def _check_values(key: str, node: dict[str, Any], signature: Signature) -> Iterator[Problem]:
    if not isinstance(node.get("_partial_", False), bool):
        yield Problem(f"{key}._partial_", f"must be true or false, found {node['_partial_']!r}")
    for name, fault in _find_faults(node, signature, set(list_context(key))):
        override = f"{key}.{name}={fault.hint.nearest}" if fault.hint.nearest else ""
        rule = f"{node['_target_']}: {name} {fault.rule}"
        yield Problem(f"{key}.{name}", rule, fault.fix, hint=fault.hint, fix_override=override)


def _find_faults(node: dict[str, Any], signature: Signature, context: set[str]) -> Iterator[tuple[str, Fault]]:
    """Arguments of a wrong type or outside their limits; then those that do not fit each other."""
    for name, parameter in signature.parameters.items():
        fault = find_fault(node[name], parameter.type) if name in node.keys() - context else None
        if fault is not None:
            yield name, fault
    for rule in signature.rules:
        yield from rule.find(node)
