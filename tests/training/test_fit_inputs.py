import pytest
import torch

from runs import find_run
from treadle.bundle import load
from treadle.features.stored import load_rows
from treadle.models.piecewise import PiecewiseEmbeddings

SMALL = ("model=tabm_piecewise", "model.k=2", "model.width=16", "model.num_bins=6")


@pytest.mark.slow
def test_what_a_network_learns_of_its_inputs_before_training_comes_with_the_bundle(run_once):
    runs = run_once("experiment=california", *SMALL)

    run = find_run(runs.parent)

    numeric = load_rows(run / "features" / "train").numeric
    fresh = PiecewiseEmbeddings(num_numeric=numeric.shape[1], num_bins=6, embedding_dim=16)
    fresh.fit(numeric)
    loaded = load(run).model.net.num_module
    assert torch.equal(loaded.impl.weight, fresh.impl.weight)
    assert torch.equal(loaded.impl.bias, fresh.impl.bias)
    assert (run / "evaluation" / "parity.json").is_file()
