"""What a prediction needs of the tables: a part of the declarations, found by lineage."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from treadle.data.table_files import read_names
from treadle.experiment.blocks import list_example_columns
from treadle.experiment.spec import AsOf, Column, Data, History, Join, Table
from treadle.lineage.graph import Graph, list_label_joins, trace_data
from treadle.schema import KNOWN_AT, LABEL, PREDICT_AT


@dataclass(frozen=True)
class Needs:
    """The part of `data` that a prediction is made from."""

    columns: dict[str, set[str]]  # of each table that is needed: of its files, joined, derived, and KNOWN_AT
    own: set[str]  # those of the examples' table that must be known at the prediction
    features: dict[str, list[str]]  # what each table is needed for
    exclude: dict[str, str]  # exclusions that can be decided at the prediction
    left_aside: list[str]  # and those that cannot, by reason
    label_joins: list[Join]  # through which an example could see its label, looking back


def find_needs(data: Data) -> Needs:
    """What a prediction of these examples needs."""
    graph = trace_data(data)
    spec, table = data.examples, data.examples.table
    looks: list[AsOf | History] = [*spec.asof.values(), *spec.history.values()]
    keys = {f"{table}.{column}" for look in looks for column in look.by}
    known = [f"examples.{name}" for name in list_example_columns(data)]
    own = graph.reach([*known, *keys, f"examples.{PREDICT_AT}"], past=False)
    later = graph.reach([f"examples.{LABEL}"], past=False) - own
    exclude = {reason: text for reason, text in spec.exclude.items() if not _is_late(graph, reason, later)}
    own = graph.reach([*own, *(f"exclude.{reason}" for reason in exclude)], past=False)
    feeds = {look.table for look in looks}
    joins = [join for join in list_label_joins(data) if _share_files(data, join.table, feeds)]
    label_keys = [f"{table}.{here}" for join in joins for here in join.by]
    known_at = [f"{feed}.{KNOWN_AT}" for feed in feeds]
    nodes = graph.reach([*own, *known, *known_at, *label_keys], past=True)
    columns = _group(nodes, data)
    for join in joins:
        columns.setdefault(join.table, set()).update(join.by.values())
    features = {
        name: [node.removeprefix("examples.") for node in known if _reads(graph, node, name)] for name in columns
    }
    left_aside = [reason for reason in spec.exclude if reason not in exclude]
    return Needs(columns, _group(own, data).get(table, set()), features, exclude, left_aside, joins)


def restrict(data: Data, needs: Needs, *, files: Mapping[str, str], root: Path) -> Data:
    """The declarations that a prediction needs, of tables in other files.

    A column that is known only later may be missing in any row. The rules of columns that an example knows are the
    bundle's, which holds each row that it predicts against them, and rejects or warns.
    """
    tables = {name: _restrict(data, name, needs, path=files[name], root=root) for name in needs.columns}
    examples = data.examples.model_copy(update={"exclude": needs.exclude, "weight": None})
    return data.model_copy(update={"tables": tables, "examples": examples, "labels": None, "sample": None})


def _is_late(graph: Graph, reason: str, later: set[str]) -> bool:
    """Whether a row can be excluded only when its future is known."""
    return bool(graph.find_path(f"exclude.{reason}", ends=lambda node: bool(node.late) or node.name in later))


def _share_files(data: Data, table: str, others: Iterable[str]) -> bool:
    return any(data.tables[other].path == data.tables[table].path for other in others)


def _group(nodes: Iterable[str], data: Data) -> dict[str, set[str]]:
    """Columns by table, with the keys of the joins that they come from."""
    found: dict[str, set[str]] = {}
    for node in nodes:
        table, _, column = node.partition(".")
        if table in data.tables:
            found.setdefault(table, set()).add(column)
    for table, columns in list(found.items()):
        for join in data.tables[table].joins.values():
            if columns & join.columns.keys():
                found.setdefault(join.table, set()).update(join.by.values())
    return {name: found[name] for name in data.tables if name in found}


def _reads(graph: Graph, node: str, table: str) -> bool:
    return any(source.startswith(f"{table}.") for source in graph.reach([node], past=True))


def restrict_table(data: Data, name: str, needs: Needs, *, key: list[str]) -> Table:
    """One table with the columns that a prediction needs, and those of a key."""
    table, wanted = data.tables[name], needs.columns[name]
    joins = {
        join_name: join.model_copy(update={"columns": found})
        for join_name, join in table.joins.items()
        if (found := {column: text for column, text in join.columns.items() if column in wanted})
    }
    columns = {column: spec for column, spec in table.columns.items() if column in wanted or column in key}
    if name == data.examples.table:
        columns = {column: _relax(column, spec, data, needs) for column, spec in columns.items()}
    derive = {column: text for column, text in table.derive.items() if column in wanted}
    known_at = table.known_at if KNOWN_AT in wanted else None
    changed = {"columns": columns, "joins": joins, "derive": derive, "known_at": known_at, "key": key}
    return table.model_copy(update=changed)


def _restrict(data: Data, name: str, needs: Needs, *, path: str, root: Path) -> Table:
    here = data.tables[name].model_copy(update={"path": path})
    key = here.key if set(here.key) <= read_names(here, root=root) else []
    return restrict_table(data, name, needs, key=key).model_copy(update={"path": path})


def _relax(name: str, column: Column, data: Data, needs: Needs) -> Column:
    if name in data.examples.known:
        return column.model_copy(update={"nullable": True, "min": None, "max": None, "allowed": None})
    return column if name in needs.own else column.model_copy(update={"nullable": True})
