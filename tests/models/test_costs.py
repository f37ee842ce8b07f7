"""What each model states of its training, against what it really multiplies."""

from pathlib import Path

import pytest
import torch
import yaml
from torch.utils.flop_counter import FlopCounterMode

from treadle.bundle import build_model
from treadle.config.compose import compose_options, list_options
from treadle.experiment.spec import is_rule
from treadle.model_choice.ladder import complete, find_cost
from treadle.targets.costs import Cost, CostError, parse_cost

ROOT = Path(__file__).parents[2]
NODES = compose_options(ROOT, "model", list_options(ROOT)["model"])
NETWORKS = [name for name, node in NODES.items() if not is_rule(node) and find_cost(node)]
ROWS = 64
PERIODIC = {"numeric_embedding": "periodic", "num_frequencies": 16, "frequency_scale": 0.1, "numeric_embedding_dim": 8}


def measure(node, num_numeric, cardinalities):
    """The cost that is stated, and the multiplications that torch counts, of the way forward of a row.

    On a CPU torch counts no products of attention: of few tokens they are few.
    """
    sizes = {"num_numeric": num_numeric, "num_categories": len(cardinalities), "num_words": sum(cardinalities)}
    told = find_cost(node).measure({**complete(node), **sizes, "num_outputs": 1})
    torch.manual_seed(0)
    network = build_model(
        node, targets=["treadle.models."], num_numeric=num_numeric, cardinalities=cardinalities, num_classes=0
    )
    ids = torch.zeros(ROWS, len(cardinalities), dtype=torch.int64)
    with FlopCounterMode(display=False) as counter:
        network(torch.randn(ROWS, num_numeric), ids)
    return told, counter.get_total_flops() / 2 / ROWS


@pytest.mark.parametrize("cardinalities", [[], [30, 70]], ids=["numbers alone", "with categories"])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_shipped_model_states_what_it_multiplies(name, cardinalities):
    told, counted = measure(NODES[name], 24, cardinalities)

    assert told.products == pytest.approx(counted, rel=0.1, abs=100)
    assert told.values > 0


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("dcn_v2", {"rank": 4}),
        ("ft_transformer", {"num_blocks": 3, "activation": "relu", "head_dim": 32}),
        ("mlp", {"num_layers": 4, "width": 32, "embedding_dim": 2}),
        ("tabm", {"k": 3, "num_blocks": 3, **PERIODIC}),
    ],
    ids=["a rank", "more blocks", "more layers", "periodic embeddings"],
)
def test_arguments_are_followed(name, changes):
    told, counted = measure({**NODES[name], **changes}, 24, [30, 70])

    assert told.products == pytest.approx(counted, rel=0.1)


def test_a_cost_is_read_from_its_source():
    cost = parse_cost(
        'Cost(inputs="num_numeric + 1", products="inputs * (rank or 2)", values="3 if rank == None else 4")'
    )

    assert vars(cost.measure({"num_numeric": 4, "rank": None})) == {"products": 10.0, "values": 3.0}
    assert vars(cost.measure({"num_numeric": 4, "rank": 8})) == {"products": 40.0, "values": 4.0}


@pytest.mark.parametrize("text", ["3", "Cost", "Cost(products='1')", "Cost(products=width, values='1')", "Other()"])
def test_what_is_no_cost_is_none(text):
    assert parse_cost(text) is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("widht * 2", "'widht'"),
        ("width / 0", "division by zero"),
        ("open('x')", "no arithmetic"),
        ("width *", "invalid"),
    ],
)
def test_an_expression_that_cannot_be_computed_is_named(text, said):
    with pytest.raises(CostError, match=f"(?s)COST: products=.*{said}"):
        Cost(products=text, values="1").measure({"width": 3})


def test_the_costs_of_the_shipped_ladder_rise(root):
    """Rungs stand from cheap to dear, so that a larger budget buys more of what there is."""
    ladder = yaml.safe_load((root / "conf" / "model" / "auto.yaml").read_text())["ladder"]
    sizes = {"num_numeric": 40, "num_categories": 6, "num_words": 120, "num_outputs": 1}
    nodes = [{**NODES[rung["option"]], **rung.get("set", {})} for rung in ladder]
    products = [find_cost(node).measure({**complete(node), **sizes}).products for node in nodes]

    assert products == sorted(products)
