"""Views of the lineage: a list of features with their source columns, a tree of one, Mermaid, and SVG."""

from __future__ import annotations

import html
from collections import defaultdict
from collections.abc import Iterator, Sequence

from treadle.lineage.graph import RULE, Edge, Graph
from treadle.printable import escape
from treadle.schema import LABEL

SHOWN = 60  # characters of an expression in a tree
ROW, GAP, CHARACTER, MARGIN = 22, 90, 6.7, 12  # pixels: height of a node, between layers, of a letter, around all
PASSES = 4  # of the ordering within the layers
_INK, _SOFT, _COLORS = "#1d2330", "#9aa3b5", {"source": "#eef1f6", "step": "#ffffff", "end": "#dcebff"}


def list_sources(graph: Graph, name: str) -> list[str]:
    """The columns of files that a node comes from; `…` marks those that it takes from the past only."""
    now, ever = graph.reach([name], past=False), graph.reach([name], past=True)
    leaves = [source for source in sorted(ever) if not graph.nodes[source].reads and source != name]
    return [source if source in now else f"{source} …" for source in leaves]


def print_list(graph: Graph) -> str:
    """One line a feature: its sources."""
    shown = {name: escape(name) for name in graph.features}
    width = max(map(len, shown.values()))
    lines = [f"{shown[name]:<{width}}  {escape(', '.join(list_sources(graph, name))) or '-'}" for name in shown]
    return "\n".join([*lines, "", "… from rows that were known when the prediction is made"])


def print_tree(graph: Graph, name: str) -> str:
    """A node and all that it reads, as an indented tree."""
    return "\n".join(_print_node(graph, Edge(name), head="", body="", shown=set()))


def _print_node(graph: Graph, edge: Edge, *, head: str, body: str, shown: set[str]) -> Iterator[str]:
    node = graph.nodes[edge.source]
    how = " ".join(node.how.split())
    how = how if len(how) <= SHOWN else f"{how[: SHOWN - 1]}…"
    again = edge.source in shown and bool(node.reads)
    notes = [how, "from the past" if edge.past else "", node.late, "as above" if again else ""]
    yield f"{head}{escape(node.name)}  ({'; '.join(note for note in notes if note)})"
    shown.add(edge.source)
    reads = [] if again else [read for read in node.reads if read.source in graph.nodes]
    for index, read in enumerate(reads):
        last = index == len(reads) - 1
        branch, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
        yield from _print_node(graph, read, head=f"{body}{branch}", body=f"{body}{below}", shown=shown)


def _to_html(text: str) -> str:
    return html.escape(escape(text), quote=True)


def draw_mermaid(graph: Graph, names: Sequence[str]) -> str:
    """A Mermaid flowchart of these nodes and what they read; dotted lines come from the past."""
    shown = _take(graph, names)
    ids = {name: f"n{index}" for index, name in enumerate(shown)}
    lines = ["flowchart LR"]
    lines += [f'  {ids[name]}["{_to_html(name)}"]' for name in shown]
    for name in shown:
        reads = [edge for edge in graph.nodes[name].reads if edge.source in ids]
        lines += [f"  {ids[edge.source]} {'-.->' if edge.past else '-->'} {ids[name]}" for edge in reads]
    return "\n".join(lines)


def _take(graph: Graph, names: Sequence[str]) -> list[str]:
    """The nodes to draw, in the order in which they are made."""
    reached = graph.reach(names, past=True)
    return [name for name in graph.nodes if name in reached]


def list_ends(graph: Graph) -> list[str]:
    """What a drawing of a whole experiment ends in: its features, its label, and the rules that guess it."""
    rules = [name for name in graph.nodes if name.startswith(f"{RULE}.")]
    return [*graph.features, f"examples.{LABEL}", *rules]


# --- SVG ----------------------------------------------------------------------------------------------


def draw_svg(graph: Graph, names: Sequence[str]) -> str:
    """An SVG of these nodes and what they read: files on the left, features on the right."""
    layers = _order(graph, _layer(graph, _take(graph, names)))
    widths = [CHARACTER * max(map(len, layer)) + MARGIN for layer in layers]
    height = max(map(len, layers)) * ROW
    places: dict[str, tuple[float, float, float]] = {}  # left, middle, width
    left = float(MARGIN)
    for layer, width in zip(layers, widths, strict=True):
        step = height / len(layer)
        places.update({name: (left, MARGIN + (index + 0.5) * step, width) for index, name in enumerate(layer)})
        left += width + GAP
    size = (left - GAP + MARGIN, height + 2 * MARGIN)
    parts = [*_draw_edges(graph, places), *_draw_nodes(graph, places, set(names))]
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{size[0]:.0f}" height="{size[1]:.0f}" '
        f'viewBox="0 0 {size[0]:.0f} {size[1]:.0f}" role="img" aria-label="Lineage of the features" '
        'font-family="ui-monospace, monospace" font-size="11">'
    )
    return "\n".join([head, *parts, "</svg>"])


def _layer(graph: Graph, names: Sequence[str]) -> list[list[str]]:
    """Each node one step to the right of the last that it reads. Nodes come after what they read, or in a circle."""
    depth: dict[str, int] = {}

    def measure(name: str) -> int:
        if name not in depth:
            depth[name] = 0  # met again while it is being measured: a circle, which ends here
            reads = [edge.source for edge in graph.nodes[name].reads if edge.source in graph.nodes]
            depth[name] = 1 + max(map(measure, reads)) if reads else 0
        return depth[name]

    layers: dict[int, list[str]] = defaultdict(list)
    for name in names:
        layers[measure(name)].append(name)
    return [layers[level] for level in sorted(layers)]


def _order(graph: Graph, layers: list[list[str]]) -> list[list[str]]:
    """Put each node near the middle of its neighbours, layer by layer, forth and back (the barycentre heuristic)."""
    neighbours: dict[str, list[str]] = defaultdict(list)
    for name in (name for layer in layers for name in layer):
        for edge in graph.nodes[name].reads:
            neighbours[name].append(edge.source)
            neighbours[edge.source].append(name)
    for step in range(PASSES):
        for layer in layers if step % 2 == 0 else reversed(layers):
            height = {name: (i + 0.5) / len(each) for each in layers for i, name in enumerate(each)}
            near = {name: [height[n] for n in neighbours[name] if n in height] for name in layer}
            layer.sort(key=lambda name: sum(near[name]) / len(near[name]) if near[name] else height[name])
    return layers


def _draw_edges(graph: Graph, places: dict[str, tuple[float, float, float]]) -> Iterator[str]:
    for name, (left, middle, _) in places.items():
        for edge in graph.nodes[name].reads:
            if edge.source not in places:
                continue
            start_left, start, width = places[edge.source]
            x, bend = start_left + width, (left - start_left - width) / 2
            dashes = ' stroke-dasharray="4 3"' if edge.past else ""
            points = ((x, start), (x + bend, start), (left - bend, middle), (left, middle))
            curve = "M{} C{} {} {}".format(*(f"{across:.0f},{down:.0f}" for across, down in points))
            yield f'<path d="{curve}" fill="none" stroke="{_SOFT}"{dashes}/>'


def _draw_nodes(graph: Graph, places: dict[str, tuple[float, float, float]], ends: set[str]) -> Iterator[str]:
    for name, (left, middle, width) in places.items():
        node = graph.nodes[name]
        color = _COLORS["end" if name in ends else "step" if node.reads else "source"]
        box = f'x="{left:.0f}" y="{middle - ROW / 2 + 2:.0f}" width="{width:.0f}" height="{ROW - 4}" rx="4"'
        title = f"<title>{_to_html(node.how)}{f'; {node.late}' if node.late else ''}</title>"
        text = f'<text x="{left + MARGIN / 2:.0f}" y="{middle + 4:.0f}" fill="{_INK}">{_to_html(name)}</text>'
        yield f'<g><rect {box} fill="{color}" stroke="{_SOFT}"/>{title}{text}</g>'
