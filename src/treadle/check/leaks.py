"""Proof that no feature leaks the label, over all paths of the lineage.

From an example's own row no feature may read what is known only after the prediction, nor what the label is computed
from. A point-in-time lookup (`asof`, `history`) reads rows that were known at prediction time, and the stage `prepare`
excludes the example's own rows from them. But a past row may be joined by key with any row of any time, the example's
own among them: such a join is accepted only if its columns are known together with the past row.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import combinations, islice
from os.path import normpath
from pathlib import Path

from treadle.errors import TreadleError
from treadle.experiment.files import list_sources, match_files
from treadle.experiment.spec import Data, Join, Table
from treadle.lineage.graph import Graph, Node, list_label_joins
from treadle.schema import KNOWN_AT, LABEL, PREDICT_AT
from treadle.sql.expressions import list_columns

Names = Mapping[str, set[str]]  # for each table, or each column, the others that are the same

_LEAVE = "remove it, or read it by `asof` or `history`, which take only rows that were known at prediction time"


@dataclass(frozen=True)
class Leak:
    """A path from a feature, or from the prediction time, to what is known only after the prediction."""

    key: str
    path: list[Node]
    why: str
    fix: str

    def __str__(self) -> str:
        return " <- ".join(node.name for node in self.path) + f" ({self.why})"


def find_leaks(graph: Graph, data: Data, *, same: Names) -> Iterator[Leak]:
    """Every feature that could leak the label, with its path through the lineage.

    Args:
        graph: the lineage of an experiment.
        data: its data.
        same: for each table those that read a file of its own, as `find_same_tables` gives them.
    """
    late = _list_late(graph, data, same)
    joins = _PastJoins(data, graph, late, same)
    moment = f"examples.{PREDICT_AT}"
    for name in (moment, *graph.features):
        if name not in graph.nodes:
            continue
        without = moment if name != moment else ""  # the prediction time is checked once, by itself
        path = graph.find_path(name, ends=lambda node: node.name in late, without=without)
        if path:
            yield Leak(path[0].key, path, late[path[-1].name], _LEAVE)
        else:
            yield from islice(_walk_past(graph, name, joins), 1)


def find_label_namesakes(graph: Graph, data: Data, *, same: Names) -> Iterator[tuple[Node, str]]:
    """Looked-up columns that read a column of the same name as one that the label is computed from; and that column.

    It is in another file: if that holds the examples' own rows again, they cannot be distinguished from others.
    """
    columns = {
        f"{name}.{column}": (name, spec.name_in_file(column))
        for name, table in data.tables.items()
        for column, spec in table.columns.items()
    }
    of_label = [columns[name] for name in list_label_sources(graph, data) if name in columns]
    sources = {source for _, source in of_label}
    holders = {name for name, _ in of_label}
    known = holders.union(*(same.get(name, set()) for name in holders))
    for node in graph.nodes.values():
        for edge in node.reads:
            table_name, source = columns.get(edge.source, ("", ""))
            if edge.past and source in sources and table_name not in known:
                yield node, edge.source


def find_same_tables(data: Data, *, root: Path) -> Names:
    """For each table the others that read a file of its own, or a copy of one; by their paths alone without files."""
    same = defaultdict(set)
    files = {name: _list_present(table.path, root) for name, table in data.tables.items()}
    for one, other in combinations(data.tables, 2):
        is_path = normpath(data.tables[one].path) == normpath(data.tables[other].path)
        if is_path or match_files(files[one], files[other]):
            same[one].add(other)
            same[other].add(one)
    return same


def _list_present(path: str, root: Path) -> list[Path]:
    try:
        return list_sources(path, root=root)
    except TreadleError:  # reported by check/file_heads.py
        return []


# --- what is known only after the prediction ----------------------------------------------------------


def _list_late(graph: Graph, data: Data, same: Names) -> dict[str, str]:
    """Columns that a feature may not read from the example's own row, and why; the same in every table of a file."""
    late = dict.fromkeys((*list_label_sources(graph, data), f"examples.{LABEL}"), "the label is computed from it")
    late |= {name: node.late for name, node in graph.nodes.items() if node.late}
    for name, twins in _list_twins(data, same).items():
        twin = next((twin for twin in sorted(twins) if twin in late), None)
        if twin is not None and name not in late:
            late[name] = f"in the file it is {twin}: {late[twin]}"
    return late


def list_label_sources(graph: Graph, data: Data) -> set[str]:
    """The columns that the label is computed from; if some of them are declared late, only those; of each label alone.

    The key of a join is not among them: it selects a row, and is no part of the value.
    """
    label = f"examples.{LABEL}"
    several = [edge.source for edge in graph.nodes[label].reads if edge.source.startswith(f"{label}.")]
    return {source for one in several or [label] for source in _list_sources(one, graph, data)}


def _list_sources(label: str, graph: Graph, data: Data) -> set[str]:
    steps = _list_steps(data)
    sources: set[str] = set()
    found, seen = [label], {label}
    while found:
        name = found.pop()
        reads = [step.source for step in steps.get(name, ())] or [edge.source for edge in graph.nodes[name].reads]
        fresh = {source for source in reads if source in graph.nodes} - seen
        seen |= fresh
        found += fresh
        sources |= {name} - {label} if not reads else set()
    declared = {name for name in sources if graph.nodes[name].late}
    return declared or sources


def _list_twins(data: Data, same: Names) -> Names:
    """For each column the others that read the same column of the same file, in this table or another."""
    twins = {}
    readers = {name: _list_readers(table) for name, table in data.tables.items()}
    for name, table in data.tables.items():
        others = (name, *same.get(name, ()))
        for column, spec in table.columns.items():
            source = spec.name_in_file(column)
            found = {f"{other}.{twin}" for other in others for twin in readers[other].get(source, ())}
            twins[f"{name}.{column}"] = found - {f"{name}.{column}"}
    return twins


def _list_readers(table: Table) -> dict[str, list[str]]:
    """For each column of the file those of the table that read it."""
    readers: dict[str, list[str]] = {}
    for name, column in table.columns.items():
        readers.setdefault(column.name_in_file(name), []).append(name)
    return readers


# --- lookups -------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Step:
    """A column of another table that a join reads."""

    table: str  # which the join belongs to
    join: Join
    source: str


def _list_steps(data: Data) -> dict[str, list[_Step]]:
    """For each joined column what it reads from the other table."""
    return {
        f"{name}.{column}": [_Step(name, join, f"{join.table}.{source}") for source in list_columns(text)]
        for name, table in data.tables.items()
        for join in table.joins.values()
        for column, text in join.columns.items()
    }


@dataclass(frozen=True)
class _PastJoins:
    """Checks what looked-up rows read from other rows by key."""

    data: Data
    graph: Graph
    late: Mapping[str, str]
    same: Names

    def check(self, step: _Step) -> tuple[str, str]:
        """Why a past row may not read that column of the joined row, and a fix; both empty if it may."""
        name, join, source = step.table, step.join, step.source
        other = self.data.tables.get(join.table)
        if other is None:
            return "", ""
        is_late, is_covered = source in self.late, self._covers(name, join)
        if is_late and self._is_same(join.table, self.data.examples.table):
            return "a past row joins it by key, possibly with the example's own row", "remove it"
        if is_late and self._holds_label(join.table):
            is_own = name == self.data.examples.table and _is_unique(self.data.tables[name], join)
            if not is_own:
                return (
                    "a past row joins it by key, possibly with the row that holds the example's label",
                    "remove it",
                )
            is_covered = is_covered or other.known_at is None
        if is_covered or not (is_late or other.known_at is not None):
            return "", ""
        why = f"a past row joins it by key, and `known_at` of {name!r} does not depend on when it is known"
        return why, f"look up {join.table!r} itself, or compute that `known_at` from a column of the join"

    def _covers(self, name: str, join: Join) -> bool:
        """Whether the table's `known_at` is computed from a column of the join."""
        return bool(self.graph.reach([f"{name}.{KNOWN_AT}"], past=False) & {f"{name}.{c}" for c in join.columns})

    def _holds_label(self, table: str) -> bool:
        return any(self._is_same(table, join.table) for join in list_label_joins(self.data))

    def _is_same(self, table: str, other: str) -> bool:
        return table == other or table in self.same.get(other, ())


def _is_unique(table: Table, join: Join) -> bool:
    """Whether no two rows of the table are joined with the same row."""
    is_key = bool(table.key) and join.by.keys() >= set(table.key)
    return is_key or any(table.columns[name].unique for name in join.by if name in table.columns)


def _walk_past(graph: Graph, name: str, joins: _PastJoins) -> Iterator[Leak]:
    """Each path from a node through a lookup to a joined row that is not proved to be known."""
    steps = _list_steps(joins.data)
    paths = [([name], False)]
    seen = {(name, False)}
    while paths:
        path, is_past = paths.pop(0)
        for step in steps.get(path[-1], ()) if is_past else ():
            why, fix = joins.check(step)
            if why and step.source in graph.nodes:
                yield Leak(graph.nodes[name].key, [graph.nodes[node] for node in (*path, step.source)], why, fix)
        for edge in graph.nodes[path[-1]].reads:
            state = (edge.source, is_past or edge.past)
            if edge.source in graph.nodes and state not in seen:
                seen.add(state)
                paths.append(([*path, edge.source], state[1]))
