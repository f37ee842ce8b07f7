"""Pixels are an input of an exported graph, which gives the bundle's numbers for them."""

import pytest
import torch

pytest.importorskip("PIL")

from served import make_bundle, read_known
from treadle.export.graph import PredictionGraph
from treadle.export.parity import ParityRows, find_gap
from treadle.export.signature import describe_inputs


@pytest.mark.slow
def test_a_graph_takes_pixels_where_there_is_nothing_else(tmp_path):
    bundle = make_bundle("digits", num_rows=300, model="image_resnet", classes="0123456789")
    torch.nn.init.normal_(bundle.model.member.weight)
    graph = PredictionGraph(bundle).eval()

    ParityRows.ask(bundle, read_known("digits").tail(20)).save(tmp_path)
    asked = ParityRows.load(tmp_path)

    (given,) = describe_inputs(bundle.featurizer)
    assert (given.name, given.dtype, given.width, graph.names) == ("pixels", "uint8", 64, ["pixels"])
    assert find_gap(asked, lambda inputs: graph(*inputs), names=graph.names).share < 1e-6
