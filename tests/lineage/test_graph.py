"""Lineage: every feature traced to the columns of the files, drawn, and proved not to know the answer."""

import re
import xml.etree.ElementTree as ET
from itertools import pairwise

import polars as pl
import pytest

from runs import treadle
from treadle.check.leaks import find_leaks
from treadle.check.resolve import resolve
from treadle.errors import TreadleError
from treadle.lineage.graph import find_nodes, trace_experiment
from treadle.lineage.views import draw_mermaid, draw_svg, list_ends, list_sources, print_tree

pytestmark = pytest.mark.fast_cases(4)

SVG = "{http://www.w3.org/2000/svg}"


@pytest.fixture(scope="module")
def graph(root):
    experiment = resolve(overrides=[], root=root).experiment
    return trace_experiment(experiment)


@pytest.mark.slow
def test_every_feature_leads_back_to_columns_of_files(graph, root):
    experiment = resolve(overrides=[], root=root).experiment
    in_files = {
        f"{name}.{column}"
        for name, table in experiment.data.tables.items()
        for column in pl.read_parquet_schema(root / table.path)
    }

    for feature in graph.features:
        leaves = {source.removesuffix(" …") for source in list_sources(graph, feature)}
        assert leaves
        assert leaves <= in_files


def test_what_comes_from_the_past_is_marked(graph):
    assert list_sources(graph, "delays.origin_late") == [
        "flights.arr_delay …",
        "flights.minute",
        "flights.origin",
        "flights.time_hour",
    ]


def test_the_label_is_late_and_no_feature_reaches_it(graph, root):
    experiment = resolve(overrides=[], root=root).experiment
    late = {name for name, node in graph.nodes.items() if node.late}

    assert graph.reach(["examples.label"], past=False) & late == {"flights.arr_delay"}
    assert not graph.reach(graph.features, past=False) & late
    assert graph.reach(graph.features, past=True) & late
    assert list(find_leaks(graph, experiment.data, same={})) == []


def test_a_feature_is_found_by_its_column_or_with_its_block(graph):
    assert find_nodes(graph, "departure_minute") == ["measures.departure_minute", "clock.departure_minute"]
    assert find_nodes(graph, "clock.departure_minute") == ["clock.departure_minute"]
    assert find_nodes(graph, "flights.arr_delay") == ["flights.arr_delay"]
    with pytest.raises(TreadleError, match="Did you mean 'origin_late'"):
        find_nodes(graph, "orign_late")


@pytest.mark.slow
def test_a_tree_names_each_step_with_its_expression(graph):
    tree = print_tree(graph, "week.day_of_week")

    assert tree.splitlines()[0] == "week.day_of_week  (Cyclic)"
    assert "├─ examples.scheduled_at" in tree
    assert "(time_hour + minute * INTERVAL '1 minute')" in tree


def test_mermaid_holds_each_node_and_each_edge_once(graph):
    names = list_ends(graph)
    reached = graph.reach(names, past=True)

    text = draw_mermaid(graph, names)

    nodes = re.findall(r'^  n\d+\["(.+)"\]$', text, re.MULTILINE)
    edges = re.findall(r"^  n\d+ (-->|-\.->) n\d+$", text, re.MULTILINE)
    assert sorted(nodes) == sorted(reached)
    assert len(edges) == sum(edge.source in reached for name in reached for edge in graph.nodes[name].reads)
    assert edges.count("-.->") == sum(edge.past for name in reached for edge in graph.nodes[name].reads)


def test_svg_draws_files_left_of_what_reads_them_and_no_box_over_another(graph):
    names = list_ends(graph)
    root = ET.fromstring(draw_svg(graph, names))  # noqa: S314 - our own text

    boxes = {}
    for group in root.iter(f"{SVG}g"):
        rect, text = group.find(f"{SVG}rect"), group.find(f"{SVG}text")
        boxes[text.text] = [float(rect.get(side)) for side in ("x", "y", "width", "height")]
    assert boxes.keys() == graph.reach(names, past=True)
    for name, (x, y, width, height) in boxes.items():
        assert x + width <= float(root.get("width"))
        assert y + height <= float(root.get("height"))
        for edge in graph.nodes[name].reads:
            assert boxes[edge.source][0] < x
    ordered = sorted((x, y, height) for x, y, _, height in boxes.values())
    assert all(a[0] != b[0] or a[1] + a[2] <= b[1] for a, b in pairwise(ordered))


def test_the_verb_writes_a_drawing(project, capsys):
    assert treadle("lineage", "experiment=adult", "age", "--format", "svg", "-o", "age.svg") == 0
    assert "numbers.age" in (project / "age.svg").read_text()

    assert treadle("lineage", "experiment=adult", "nothing") == 2
    assert "no feature or column is called 'nothing'" in capsys.readouterr().err


def test_a_path_through_the_past_is_no_leak_and_one_on_the_own_row_is(project):
    """The same late column, once looked back at and once taken from the row itself."""
    flights = project / "conf" / "data" / "flights.yaml"
    experiment = resolve(overrides=[], root=project).experiment
    assert "plane_arr_delay" in experiment.data.examples.asof["plane_before"].columns

    flights.write_text(flights.read_text().replace("known: [month, ", "known: [arr_delay, month, "))
    features = project / "conf" / "features" / "flights.yaml"
    features.write_text(features.read_text().replace("[distance, ", "[distance, arr_delay, "))

    with pytest.raises(TreadleError, match=r"measures.arr_delay <- examples.arr_delay <- flights.arr_delay"):
        resolve(overrides=[], root=project)
