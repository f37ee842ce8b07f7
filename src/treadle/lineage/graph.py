"""Lineage: what every feature is computed from, back to the columns of the files.

A path reaches an example's own row through columns, joins and derived columns. A step into the past (`asof`, `history`)
takes rows that were known when the prediction is made, so that a path may go through it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from treadle.errors import TreadleError
from treadle.experiment.blocks import list_example_columns
from treadle.experiment.spec import Block, Data, Experiment, Features, Forecast, Join, Table
from treadle.hints import Hint, find_nearest
from treadle.schema import LABEL, PREDICT_AT, STEP, WEIGHT
from treadle.sql.expressions import ExpressionError, list_columns, split_aggregate

RULE = "label function"  # before the name of a rule: no table can be called so


@dataclass(frozen=True)
class Edge:
    """What a node reads."""

    source: str
    past: bool = False  # only rows that were known by then


@dataclass(frozen=True)
class Node:
    """A column of a file, an example or a feature: `flights.arr_delay`, `examples.origin_late`, `measures.temp`."""

    name: str
    key: str  # of the configuration, where it is defined
    how: str  # the expression, or where it comes from
    reads: tuple[Edge, ...] = ()
    late: str = ""  # why it is known only after the prediction; empty where it is known before


@dataclass
class Graph:
    """Every column by name, and which of them are features (what a block takes)."""

    nodes: dict[str, Node] = field(default_factory=dict)
    features: list[str] = field(default_factory=list)

    def add(self, node: Node) -> None:
        """Add a node; it replaces one of the same name."""
        self.nodes[node.name] = node

    def reach(self, names: Iterable[str], *, past: bool) -> set[str]:
        """All that these nodes read, themselves included; with `past`, through steps into the past too."""
        found: set[str] = set()
        open_names = list(names)
        while open_names:
            current = open_names.pop()
            if current not in found and current in self.nodes:
                found.add(current)
                open_names += [edge.source for edge in self.nodes[current].reads if past or not edge.past]
        return found

    def find_path(self, name: str, *, ends: Callable[[Node], bool], without: str = "") -> list[Node]:
        """The shortest path on the same row from a node to one of `ends`, avoiding `without`; empty if none."""
        paths = [[name]]
        seen = {name, without}
        while paths:
            path = paths.pop(0)
            node = self.nodes[path[-1]]
            if ends(node):
                return [self.nodes[step] for step in path]
            fresh = [e.source for e in node.reads if not e.past and e.source in self.nodes and e.source not in seen]
            seen.update(fresh)
            paths += [[*path, source] for source in fresh]
        return []


# --- the graph ----------------------------------------------------------------------------------------


def trace(data: Data, features: Features) -> Graph:
    """The lineage of every column of an experiment. An invalid expression reads nothing."""
    graph = trace_data(data)
    known = {name: f"examples.{name}" for name in list_example_columns(data)}
    for name, text in features.derive.items():
        reads = tuple(Edge(known[column]) for column in list_columns(text) if column in known)
        graph.add(Node(f"features.{name}", f"features.derive.{name}", text, reads))
        known = {**known, name: f"features.{name}"}
    for name, block in features.blocks.items():
        _add_block(graph, name, block, known)
    return graph


def trace_data(data: Data) -> Graph:
    """The lineage of the columns of tables and examples."""
    graph = Graph()
    for name, table in data.tables.items():
        _add_table(graph, name, table, data)
    _add_examples(graph, data)
    return graph


def trace_experiment(experiment: Experiment) -> Graph:
    """The lineage of an experiment."""
    return trace(experiment.data, experiment.features)


def _add_table(graph: Graph, name: str, table: Table, data: Data) -> None:
    key = f"data.tables.{name}"
    for column, spec in table.columns.items():
        late = "known only after the prediction" if spec.known_after_prediction else ""
        graph.add(Node(f"{name}.{column}", f"{key}.columns.{column}", f"column of {table.path}", late=late))
    for join_name, join in table.joins.items():
        other = data.tables.get(join.table)
        late = ""
        if other is not None and other.known_at is not None:
            late = f"rows of {join.table!r} become known at their `known_at`, and a join by key takes them at any time"
        keys = tuple(Edge(f"{name}.{column}") for column in join.by)
        for column, text in join.columns.items():
            reads = tuple(Edge(f"{join.table}.{source}") for source in list_columns(text))
            how = f"{text}, of {join.table} by {', '.join(join.by)}"
            graph.add(Node(f"{name}.{column}", f"{key}.joins.{join_name}.columns.{column}", how, (*reads, *keys), late))
    for column, text in (*table.derive.items(), *(() if table.known_at is None else (("known_at", table.known_at),))):
        reads = tuple(Edge(f"{name}.{source}") for source in list_columns(text) if source != column)
        place = f"{key}.known_at" if column == "known_at" else f"{key}.derive.{column}"
        graph.add(Node(f"{name}.{column}", place, text, reads))
    if data.forecast is not None and name == data.examples.table:
        _add_steps(graph, name, data.forecast)


def _add_steps(graph: Graph, name: str, forecast: Forecast) -> None:
    """What a forecast adds to the rows of its table: the step, and what is derived of it."""
    how = "periods from the origin to the row"
    graph.add(Node(f"{name}.{STEP}", "data.forecast.horizon", how, (Edge(f"{name}.{forecast.time}"),)))
    for column, text in forecast.derive.items():
        reads = tuple(Edge(f"{name}.{source}") for source in list_columns(text) if source != column)
        graph.add(Node(f"{name}.{column}", f"data.forecast.derive.{column}", text, reads))


def _add_examples(graph: Graph, data: Data) -> None:
    spec, table = data.examples, data.examples.table
    roles = {f"data.examples.{PREDICT_AT}": spec.predict_at, f"data.examples.{WEIGHT}": spec.weight}
    for key, text in {**spec.labels, **roles}.items():
        if text is not None:
            reads = tuple(Edge(f"{table}.{column}") for column in list_columns(text))
            graph.add(Node(key.removeprefix("data."), key, text, reads))
    if isinstance(spec.label, dict):
        labels = tuple(Edge(key.removeprefix("data.")) for key in spec.labels)
        graph.add(Node(f"examples.{LABEL}", f"data.examples.{LABEL}", "several labels", labels))
    for reason, text in spec.exclude.items():
        reads = tuple(Edge(f"{table}.{column}") for column in list_columns(text))
        graph.add(Node(f"exclude.{reason}", f"data.examples.exclude.{reason}", text, reads))
    for rule, text in ({} if data.labels is None else data.labels.rules).items():
        reads = tuple(Edge(f"{table}.{column}") for column in list_columns(text))
        graph.add(Node(f"{RULE}.{rule}", f"data.labels.rules.{rule}", text, reads))
    for index, column in enumerate(spec.known):
        key = f"data.examples.known.{index}"
        graph.add(Node(f"examples.{column}", key, "known when the prediction is made", (Edge(f"{table}.{column}"),)))
    for kind, found in (("asof", spec.asof), ("history", spec.history)):
        for name, look in found.items():
            keys = [Edge(f"{table}.{column}") for column in look.by] + [Edge(f"examples.{PREDICT_AT}")]
            for column, text in look.columns.items():
                read = dict.fromkeys([*_list_past_columns(text), *look.by.values()])
                past = tuple(Edge(f"{look.table}.{c}", past=True) for c in read)
                key = f"data.examples.{kind}.{name}.columns.{column}"
                within = getattr(look, "within", None) or getattr(look, "window", "")
                how = f"{text}, of {look.table} by {', '.join(look.by)}, known in the {within} before"
                graph.add(Node(f"examples.{column}", key, how, (*past, *keys)))


def _list_past_columns(text: str) -> list[str]:
    try:
        _, inner, _ = split_aggregate(text)
    except ExpressionError:
        return list_columns(text)
    return [] if inner == "*" else list_columns(inner)


def _add_block(graph: Graph, name: str, block: Block, known: dict[str, str]) -> None:
    steps = ", ".join(step["_target_"].rpartition(".")[2] for step in block.steps.values())
    for index, column in enumerate(block.columns):
        reads = (Edge(known[column]),) if column in known else ()
        feature = f"{name}.{column}"
        graph.add(Node(feature, f"features.blocks.{name}.columns.{index}", steps or "as it is", reads))
        graph.features.append(feature)


def find_nodes(graph: Graph, name: str) -> list[str]:
    """The features of that name, `block.column` or a column alone; else other nodes of that name.

    Raises:
        TreadleError: there is none.
    """
    named = [node for node in graph.nodes if name in {node, node.partition(".")[2]}]
    found = [node for node in named if node in graph.features] or named
    if not found:
        among = [*graph.nodes, *(feature.partition(".")[2] for feature in graph.features)]
        hint = Hint(find_nearest(name, among), tuple(graph.features))
        raise TreadleError(f"no feature or column is called {name!r}. {hint}")
    return found


def list_label_joins(data: Data) -> list[Join]:
    """The joins of the examples' table that the label is computed from."""
    table = data.tables.get(data.examples.table)
    if table is None:
        return []
    read = {column for text in data.examples.labels.values() for column in list_columns(text)}
    for name, text in reversed(table.derive.items()):
        read |= set(list_columns(text)) if name in read else set()
    joins = []
    for join in reversed(table.joins.values()):
        if read & join.columns.keys():
            joins.append(join)
            read |= join.by.keys()
    return joins
