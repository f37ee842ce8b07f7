import sys

import pytest
import torch
import yaml

from runs import find_run, forget_sources, run_quick
from treadle.experiment.spec import NO_AUGMENTATION, Experiment
from treadle.metrics.log import read_metrics_log
from treadle.schema import Batch
from treadle.targets.build import build
from treadle.training.augmentation import CutMix, MixedBatch, Mixup
from treadle.training.learner import compute_loss, compute_mixed_loss
from treadle.training.losses import FocalLoss, HuberLoss, TaskLoss

NUM_ROWS = 400
COLUMNS = {"numeric_columns": ["a", "b", "a"], "id_columns": ["c", "b"], "images": []}
KINDS = [Mixup, CutMix]


def make_rows(num_rows=NUM_ROWS):
    """Each value encodes its row and its column, the target its row."""
    index = torch.arange(num_rows)
    numeric = index[:, None] + torch.tensor([0.1, 0.2, 0.3])
    return Batch.of_numbers(numeric, index[:, None] * 10 + torch.tensor([1, 2]), index.float(), 1 + index.float())


def mix(kind, *, alpha=0.7, seed=0, rows=None):
    torch.manual_seed(seed)
    rows = rows or make_rows()
    return rows, kind(**COLUMNS, alpha=alpha)(rows)


@pytest.mark.parametrize("kind", KINDS)
class TestEach:
    def test_partners_are_the_rows_of_the_batch_in_another_order_with_their_weights(self, kind):
        rows, mixed = mix(kind)

        assert torch.equal(mixed.partner_target.sort().values, rows.target)
        assert not torch.equal(mixed.partner_target, rows.target)
        assert torch.equal(mixed.partner_weight, mixed.partner_target + 1)
        assert torch.equal(mixed.target, rows.target)
        assert torch.equal(mixed.weight, rows.weight)

    def test_an_id_is_the_rows_own_with_the_probability_of_its_share(self, kind):
        rows, mixed = mix(kind, seed=1)

        own = mixed.ids == rows.ids
        partner = mixed.ids // 10 == mixed.partner_target[:, None].long()
        assert (own | partner).all()
        assert own.double().mean() == pytest.approx(float(mixed.share), abs=0.06)
        assert 0.1 < mixed.share < 0.9

    def test_the_same_seed_mixes_alike_and_another_does_not(self, kind):
        _, first = mix(kind)

        assert all(map(torch.equal, first, mix(kind)[1]))
        assert not torch.equal(first.numeric, mix(kind, seed=1)[1].numeric)

    def test_shares_are_drawn_from_a_beta_distribution(self, kind):
        """Of variance 1 / (4 (2 alpha + 1)), around a half."""
        torch.manual_seed(0)
        augment, rows = kind(**COLUMNS, alpha=0.5), make_rows(2)
        shares = torch.stack([augment(rows).share for _ in range(2000)])

        assert shares.mean() == pytest.approx(0.5, abs=0.03)
        assert shares.var() == pytest.approx(1 / 8, abs=0.01)

    @pytest.mark.parametrize("num_rows", [0, 1])
    def test_a_batch_without_others_to_mix_with_stays(self, kind, num_rows):
        rows, mixed = mix(kind, rows=make_rows(num_rows))

        assert torch.allclose(mixed.numeric, rows.numeric)
        assert torch.equal(mixed.ids, rows.ids)

    def test_inputs_may_be_all_numbers_or_all_ids(self, kind):
        index = torch.arange(8)
        none = torch.empty(8, 0)
        rows = Batch.of_numbers(none, index[:, None], index.float(), torch.ones(8))
        mixed = kind(numeric_columns=[], id_columns=["c"], images=[], alpha=1.0)(rows)
        assert mixed.ids.shape == (8, 1)

        rows = Batch.of_numbers(index[:, None].float(), none.long(), index.float(), torch.ones(8))
        assert kind(numeric_columns=["a"], id_columns=[], images=[], alpha=1.0)(rows).numeric.shape == (8, 1)


def test_mixup_takes_the_mean_of_numbers_by_share():
    rows, mixed = mix(Mixup)
    partner = rows.numeric[mixed.partner_target.long()]

    assert torch.allclose(mixed.numeric, mixed.share * rows.numeric + (1 - mixed.share) * partner)


def test_cutmix_takes_each_column_from_one_row_with_all_that_it_gave():
    rows, mixed = mix(CutMix, seed=1)
    own_numbers, own_ids = mixed.numeric == rows.numeric, mixed.ids == rows.ids
    partner = rows.numeric[mixed.partner_target.long()]

    assert ((mixed.numeric == partner) | own_numbers).all()
    assert torch.equal(own_numbers[:, 0], own_numbers[:, 2])  # both from "a"
    assert torch.equal(own_numbers[:, 1], own_ids[:, 1])  # both from "b"
    assert len(torch.stack([own_numbers[:, 0], *own_ids.T], dim=1).unique(dim=0)) == 8  # one by one


# --- the loss ------------------------------------------------------------------------------------------


def make_mixed(task, num_rows=6):
    torch.manual_seed(0)
    none = torch.empty(num_rows, 0)
    target = torch.randint(3, (num_rows,)) if task == "multiclass" else (torch.randn(num_rows) > 0).float()
    order = torch.randperm(num_rows)
    weight = torch.rand(num_rows)
    return MixedBatch(none, none.long(), target, weight, none, target[order], weight[order], torch.tensor(0.3))


@pytest.mark.parametrize("members", [(), (4,)], ids=["one", "ensemble"])
@pytest.mark.parametrize(
    "loss", [TaskLoss(task="multiclass"), FocalLoss(task="binary", gamma=2.0), HuberLoss(task="regression", delta=0.5)]
)
def test_the_loss_is_the_mean_by_share_over_both_targets(loss, members):
    mixed = make_mixed(loss.task)
    output = torch.randn(6, *members, 3 if loss.task == "multiclass" else 1)
    partner = Batch.of_numbers(mixed.numeric, mixed.ids, mixed.partner_target, mixed.partner_weight)
    both = [compute_loss(output, rows, loss=loss, weighted=True) for rows in (Batch.of_numbers(*mixed[:4]), partner)]

    assert torch.allclose(compute_mixed_loss(output, mixed, loss=loss, weighted=True), 0.3 * both[0] + 0.7 * both[1])


def test_the_log_loss_is_that_of_mixed_targets():
    mixed = make_mixed("binary")
    output = torch.randn(6, 1)
    soft = 0.3 * mixed.target + 0.7 * mixed.partner_target

    found = compute_mixed_loss(output, mixed, loss=TaskLoss(task="binary"), weighted=False)
    assert torch.allclose(found, torch.nn.functional.binary_cross_entropy_with_logits(output[:, 0], soft))


def test_the_squared_error_has_the_gradient_of_that_to_mixed_targets():
    mixed = make_mixed("regression")
    output = torch.randn(6, 1, requires_grad=True)
    soft = 0.3 * mixed.target + 0.7 * mixed.partner_target

    (found,) = torch.autograd.grad(
        compute_mixed_loss(output, mixed, loss=TaskLoss(task="regression"), weighted=False), output
    )
    (wanted,) = torch.autograd.grad((output[:, 0] - soft).square().mean(), output)
    assert torch.allclose(found, wanted, atol=1e-7)


def test_an_augmentation_of_inputs_alone_has_the_plain_loss():
    rows = Batch.of_numbers(*make_mixed("binary")[:4])
    output, loss = torch.randn(6, 1), TaskLoss(task="binary")

    assert torch.equal(
        compute_mixed_loss(output, rows, loss=loss, weighted=True), compute_loss(output, rows, loss=loss, weighted=True)
    )


# --- the configuration ---------------------------------------------------------------------------------


def test_a_project_whose_conf_chooses_none_has_none(root):
    default = Experiment.model_fields["augmentation"].default

    assert default == yaml.safe_load((root / "conf" / "augmentation" / "none.yaml").read_text())
    assert default == {"_target_": NO_AUGMENTATION}
    build(default, key="augmentation", targets=["treadle.training."], **COLUMNS)


def read_rows(folder):
    return read_metrics_log(find_run(folder) / "metrics.csv")


@pytest.mark.sampled_cases(1)
@pytest.mark.slow
@pytest.mark.parametrize("name", ["mixup", "cutmix"])
def test_training_mixes_rows_of_the_training_split_alone(project, run_once, name):
    """Mixed rows are harder to predict than the pure ones of validation."""
    plain = read_rows(run_once("experiment=adult", "tracker=disabled").parent)
    augment = (f"augmentation={name}", "augmentation.alpha=1.0")
    run_quick("experiment=adult", "tracker=disabled", *augment, verb="train")
    rows = read_rows(project)

    assert rows[-1]["train/loss"] > plain[-1]["train/loss"] + 0.05
    assert rows[-1]["train/loss"] > rows[-1]["valid/loss"] + 0.05
    assert rows[-1]["valid/loss"] < 1.3 * plain[-1]["valid/loss"]


OWN = """\
import torch


class Noise:
    def __init__(self, *, numeric_columns, id_columns, scale: float):
        self.scale = scale

    def __call__(self, batch):
        return batch._replace(numeric=batch.numeric + self.scale * torch.randn_like(batch.numeric))
"""


@pytest.fixture
def own_augmentation(project, monkeypatch):
    (project / "own_noise.py").write_text(OWN)
    monkeypatch.syspath_prepend(str(project))
    config = project / "conf" / "config.yaml"
    config.write_text(config.read_text().replace("targets:\n", "targets:\n  - own_noise.\n"))
    (project / "conf" / "augmentation" / "noise.yaml").write_text("_target_: own_noise.Noise\nscale: 0.1\n")
    forget_sources()
    yield "augmentation=noise"
    sys.modules.pop("own_noise", None)
    forget_sources()


@pytest.mark.slow
def test_an_augmentation_of_the_users_own_trains(project, own_augmentation):
    assert run_quick("tracker=disabled", own_augmentation, verb="train") == 0
    assert read_rows(project)[-1]["valid/loss"] < 1.0
