"""Label functions: a task with classes, shares that sum to 1, and rules that do not read what they are to guess."""

from __future__ import annotations

import math
from collections.abc import Iterator

from treadle.check.leaks import list_label_sources
from treadle.experiment.spec import Experiment
from treadle.hints import nearest
from treadle.lineage.graph import RULE, trace_data
from treadle.problems import Problem
from treadle.schema import BINARY_CLASSES
from treadle.tasks import TRAITS

_KEY = "data.labels"


def check_labels(experiment: Experiment) -> Iterator[Problem]:
    """Problems of `data.labels`."""
    data = experiment.data
    if data.labels is None:
        return
    if TRAITS[data.answer].is_value:
        rule = f"rules vote for classes; data.task is {data.task!r}"
        yield Problem(_KEY, rule, "set it to null", fix_override=f"{_KEY}=null")
        return
    yield from _check_balance(experiment)
    if data.examples.table not in data.tables:
        return
    graph = trace_data(data)
    sources = list_label_sources(graph, data)
    for rule in data.labels.rules:
        path = graph.find_path(f"{RULE}.{rule}", ends=lambda node: node.name in sources)
        if path:
            shown = " <- ".join(node.name for node in path)
            yield Problem(
                f"{_KEY}.rules.{rule}",
                f"reads what data.examples.label is computed from: {shown}",
                "a rule guesses the label from other columns; data.examples.label itself is used where it is known",
            )


def _check_balance(experiment: Experiment) -> Iterator[Problem]:
    data = experiment.data
    assert data.labels is not None
    balance = data.labels.balance
    if isinstance(balance, str):
        return
    if data.answer == "binary":
        for name in balance:
            if name not in BINARY_CLASSES:
                rule = f"no class {name!r}: those of a binary task are 'negative' and 'positive'"
                yield Problem(f"{_KEY}.balance.{name}", rule, hint=nearest(name, BINARY_CLASSES))
    total = math.fsum(balance.values())
    if not math.isclose(total, 1, abs_tol=1e-3):
        yield Problem(f"{_KEY}.balance", f"the shares of the classes must sum to 1; found {total:g}")
