import pytest
import torch
from pytorch_lightning.strategies import SingleDeviceStrategy

from treadle.bundle import build_model
from treadle.errors import TreadleError
from treadle.models.ensemble import Ensemble
from treadle.models.mlp import Mlp
from treadle.schema import Batch, ImageSpan
from treadle.training.learner import compute_loss
from treadle.training.losses import TaskLoss
from treadle.training.schedules import constant
from treadle.training.steps import Steps

pytestmark = pytest.mark.usefixtures("one_thread")

MLP = {
    "_target_": "treadle.models.mlp.Mlp",
    "num_layers": 2,
    "width": 16,
    "dropout": 0.0,
    "embedding_dim": 2,
}
TABM = {
    "_target_": "treadle.models.tabm.TabM",
    "k": 3,
    "num_blocks": 1,
    "width": 8,
    "dropout": 0.0,
    "arch_type": "tabm",
    "numeric_embedding": "none",
    "num_frequencies": None,
    "frequency_scale": None,
    "num_bins": None,
    "numeric_embedding_dim": None,
}
MEMBERS = 3


def make(node, *, seed=0):
    torch.manual_seed(seed)
    return build_model(node, targets=["treadle.models."], num_numeric=3, cardinalities=[4], num_classes=0)


def make_ensemble(member=MLP, **options):
    return make({"_target_": "treadle.models.ensemble.Ensemble", "members": MEMBERS, "member": member}, **options)


def draw_batches(count, *, num_rows=32):
    generator = torch.Generator().manual_seed(1)
    for _ in range(count):
        numeric = torch.randn(num_rows, 3, generator=generator)
        ids = torch.randint(4, (num_rows, 1), generator=generator)
        target = numeric[:, 0] * numeric[:, 1] + ids[:, 0]
        yield Batch.of_numbers(numeric, ids, target, torch.rand(num_rows, generator=generator))


def train(network, *, optimizer, clip, num_steps=200):
    """The network, and its loss in each step."""
    made = optimizer(network.parameters(), lr=0.01)
    for group in made.param_groups:
        group["initial_lr"] = group["lr"]
    steps = Steps(
        network,
        optimizer=made,
        factor=constant(num_steps=num_steps, warmup=0.1),
        done=0,
        loss=lambda output, batch: compute_loss(output, batch, loss=TaskLoss(task="regression"), weighted=True),
        clip=clip,
        strategy=SingleDeviceStrategy(device="cpu"),
    )
    return network, torch.stack([steps.take(batch) for batch in draw_batches(num_steps)])


def same(one, other, *, atol=0.0):
    pairs = list(zip(one.parameters(), other.parameters(), strict=True))
    return all(torch.allclose(a, b, atol=atol, rtol=0.0) for a, b in pairs)


def test_a_member_begins_as_the_network_of_a_run_with_the_next_seed():
    ensemble = make_ensemble(seed=7)

    assert all(same(member, make(MLP, seed=7 + index)) for index, member in enumerate(ensemble.members))
    assert not same(ensemble.members[0], ensemble.members[1])


def test_building_an_ensemble_draws_no_random_number_of_its_surroundings():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    Ensemble(
        num_numeric=3,
        cardinalities=[],
        num_outputs=1,
        texts=[],
        images=[],
        members=2,
        member=lambda **_: torch.nn.Linear(1, 1),
    )

    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.slow
@pytest.mark.sampled_cases(2)
@pytest.mark.fast_cases(1)
@pytest.mark.parametrize("clip", [None, 0.1], ids=["free", "clipped"])
@pytest.mark.parametrize("optimizer", [torch.optim.AdamW, torch.optim.SGD])
@pytest.mark.parametrize("member", [MLP, TABM], ids=["mlp", "tabm"])
def test_members_are_what_each_becomes_when_it_is_trained_alone(member, optimizer, clip):
    """200 steps on the same batches."""
    ensemble, losses = train(make_ensemble(member), optimizer=optimizer, clip=clip)
    alone = [train(make(member, seed=seed), optimizer=optimizer, clip=clip) for seed in range(MEMBERS)]

    for trained, (network, _) in zip(ensemble.members, alone, strict=True):
        assert same(trained, network, atol=1e-6)
        assert not same(trained, make(member), atol=0.01)
    assert torch.allclose(losses, torch.stack([own for _, own in alone]).mean(dim=0), atol=1e-5)


@pytest.mark.slow
def test_members_of_members_stand_side_by_side():
    nested = {"_target_": "treadle.models.ensemble.Ensemble", "members": 2, "member": TABM}
    ensemble = make_ensemble(nested).eval()
    batch = next(draw_batches(1))

    output = ensemble(batch.numeric, batch.ids)

    assert output.shape == (32, MEMBERS * 2 * 3, 1)
    assert torch.equal(output[:, 3:6], ensemble.members[0].members[1](batch.numeric, batch.ids))
    _, losses = train(ensemble, optimizer=torch.optim.AdamW, clip=1.0)
    assert losses[-1] < 0.5 * losses[0]


def test_members_learn_from_the_training_rows_what_they_want_to_know_of_them():
    piecewise = {**TABM, "numeric_embedding": "piecewise", "num_bins": 4, "numeric_embedding_dim": 2}
    ensemble, alone = make_ensemble(piecewise), make(piecewise)
    numeric, ids, *_ = next(draw_batches(1))
    for network in (ensemble, alone):
        network.fit_inputs(numeric)

    assert torch.equal(ensemble.eval()(numeric, ids)[:, :3], alone.eval()(numeric, ids))


def test_a_member_that_is_no_network_is_refused():
    with pytest.raises(TreadleError, match=r"model\.member: must be a torch\.nn\.Module, found Tensor"):
        Ensemble(
            num_numeric=3,
            cardinalities=[],
            num_outputs=1,
            texts=[],
            images=[],
            members=2,
            member=lambda **_: torch.zeros(1),
        )


def test_members_look_at_the_images_that_are_handed_on():
    member = {
        "_target_": "treadle.models.image_resnet.ImageResNet",
        "widths": [4],
        "num_blocks": 1,
        "member": {"_target_": "treadle.models.linear.Linear"},
    }
    node = {"_target_": "treadle.models.ensemble.Ensemble", "members": 2, "member": member}
    sizes = {"num_numeric": 0, "cardinalities": [], "num_classes": 3, "images": [ImageSpan(0, 8, 8, 1)]}
    network = build_model(node, targets=["treadle.models."], **sizes)

    output = network(torch.empty(4, 0), torch.empty(4, 0).long(), torch.zeros(4, 64).byte())

    assert output.shape == (4, 2, 3)
    with pytest.raises(TreadleError, match="Mlp reads no images"):
        build_model({**node, "member": MLP}, targets=["treadle.models."], **sizes)


def test_another_number_of_members_changes_none_of_the_first():
    two = make({"_target_": "treadle.models.ensemble.Ensemble", "members": 2, "member": MLP})

    assert all(map(same, make_ensemble().members, two.members))
    assert isinstance(two.members[0], Mlp)
