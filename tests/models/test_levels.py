"""Several quantiles of one model: they rise, whatever the weights are, and travel through a file."""

import pytest
import torch

from estimators import CARDINALITIES, draw_rows, fit
from treadle.bundle import build_model, take_point, to_prediction
from treadle.errors import TreadleError
from treadle.models.estimator import Objective
from treadle.training.losses import QuantilesLoss

LEVELS = [0.1, 0.5, 0.8, 0.9]
NETWORKS = {
    "mlp": {"_target_": "treadle.models.mlp.Mlp", "width": 8, "num_layers": 1, "dropout": 0.0, "embedding_dim": 4},
    "ensemble": {
        "_target_": "treadle.models.ensemble.Ensemble",
        "members": 3,
        "member": {"_target_": "treadle.models.linear.Linear", "_partial_": True},
    },
}
LIGHTGBM = {"objective": Objective("regression", "quantiles")}


def build(node):
    return build_model(
        node, targets=["treadle.models."], num_numeric=3, cardinalities=CARDINALITIES, num_classes=0, levels=LEVELS
    )


def build_trees(**changes):
    from estimators import CONF, yaml

    node = yaml.safe_load((CONF / "lightgbm.yaml").read_text())
    pytest.importorskip("lightgbm")
    return build({**node, "max_rounds": 60, "eval_period": 20, **changes})


@pytest.mark.parametrize("name", NETWORKS)
def test_quantiles_of_a_network_rise_with_any_weights(name):
    network, rows = build(NETWORKS[name]), draw_rows(200)
    with torch.no_grad():
        for weight in network.parameters():
            weight.copy_(20 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(0)))

    found = to_prediction(network(rows.numeric.nan_to_num(0.0), rows.ids), task="regression", link="identity")

    assert found.shape == (200, 4)
    assert (found.diff(dim=1) >= 0).all()


@pytest.mark.slow
def test_a_network_learns_the_quantiles_of_what_spreads_unevenly():
    generator = torch.Generator().manual_seed(0)
    numeric = torch.rand(4000, 3, generator=generator)
    noise = torch.randn(4000, generator=generator)
    target = (0.2 + 2 * numeric[:, 0]) * noise
    network = build(NETWORKS["mlp"] | {"width": 16})
    ids = torch.zeros(4000, 2, dtype=torch.int64)
    loss = QuantilesLoss(task="regression", levels=LEVELS)
    optimizer = torch.optim.Adam(network.parameters(), lr=0.02)
    for _ in range(300):
        optimizer.zero_grad()
        loss(network(numeric, ids), target).mean().backward()
        optimizer.step()

    found = network(numeric, ids).detach()

    shares = (target[:, None] <= found).double().mean(dim=0)
    assert shares.tolist() == pytest.approx(LEVELS, abs=0.03)
    width = (found[:, 3] - found[:, 0]) / (2 * 1.2816 * (0.2 + 2 * numeric[:, 0]))
    assert float(width[numeric[:, 0] > 0.5].mean()) == pytest.approx(1, abs=0.15)


def test_trees_of_each_level_are_sorted_and_travel_through_one_file(tmp_path):
    model, rows, shown = build_trees(), draw_rows(1000, task="regression"), []

    def watch(*, rounds, train, valid):
        shown.append((rounds, train, valid))
        return rounds

    fit(model, rows, watch=watch, **LIGHTGBM)
    found = model(rows.numeric, rows.ids)
    model.save(tmp_path / model.FILE)
    other = build_trees()
    other.load(tmp_path / model.FILE)

    ((rounds, train, _),) = shown
    assert rounds == 60
    assert torch.equal(train, found)
    assert (found.diff(dim=1) >= 0).all()
    assert 0 <= model.crossed < 0.5
    assert (rows.target[:, None] <= found).double().mean(dim=0).tolist() == pytest.approx(LEVELS, abs=0.12)
    assert torch.equal(other(rows.numeric, rows.ids), found)
    alone = torch.cat([other(rows.numeric[i : i + 1], rows.ids[i : i + 1]) for i in range(5)])
    assert torch.equal(alone, found[:5])


def test_trees_of_each_level_are_restarted_with_the_rounds_of_their_own():
    rows, others = draw_rows(300, task="regression"), draw_rows(300, seed=1, task="regression")
    model = build_trees(eval_period=1, early_stopping_rounds=3, learning_rate=0.3)
    fit(model, rows, others, **LIGHTGBM)
    rounds = [estimator.booster.num_trees() for estimator in model.estimators]

    model.restart()
    fit(model, others, others, **LIGHTGBM)  # of rows that it learns from, the loss falls on and on

    assert [estimator.booster.num_trees() for estimator in model.estimators] == rounds
    assert len(set(rounds)) > 1


@pytest.mark.parametrize("content", ["[]", '["", "", "", ""]', '{"a": 1}', '["!", "!", "!", "!"]', "[1, 2, 3, 4]"])
def test_a_file_of_something_else_is_refused(content, tmp_path):
    (tmp_path / "models.json").write_text(content)

    with pytest.raises(TreadleError, match=r"models\.json"):
        build_trees().load(tmp_path / "models.json")


def test_the_point_is_the_median_and_of_classes_everything():
    values = torch.arange(8.0).reshape(2, 4)

    assert take_point(values, LEVELS).tolist() == [1.0, 5.0]
    assert take_point(values, []) is values
