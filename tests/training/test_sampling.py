import polars as pl
import pytest
import torch

from batching import make_batching
from runs import run_quick
from treadle.bundle import load
from treadle.schema import Batch
from treadle.training.loader import BatchLoader
from treadle.training.sampling import draw_order

RARE = torch.tensor([0.0] * 970 + [1.0] * 30)


def draw(target, *, sampling="balanced", seed=0):
    return draw_order(target, sampling=sampling, generator=torch.Generator().manual_seed(seed))


def make_loader(**batching):
    index = torch.arange(len(RARE))
    rows = Batch.of_numbers(index[:, None].float(), index[:, None], RARE, torch.ones(len(RARE)))
    return BatchLoader(rows, batching=make_batching(batch_size=100, sampling="balanced", **batching))


def read(loader):
    return [batch.ids[:, 0].tolist() for batch in loader]


def test_an_epoch_has_as_many_rows_and_each_class_the_same_share():
    order = draw(RARE)

    assert len(order) == 1000
    assert RARE[order].mean() == 0.5


def test_rows_of_a_class_stand_equally_often_give_or_take_one():
    """500 of 970 rows once; 30 rows 500 / 30 times, which is 16 or 17."""
    times = draw(RARE).bincount(minlength=1000)

    assert times[:970].unique().tolist() == [0, 1]
    assert times[970:].unique().tolist() == [16, 17]


def test_each_batch_is_mixed():
    shares = [batch.target.mean().item() for batch in make_loader()]

    assert len(shares) == 10
    assert all(0.3 < share < 0.7 for share in shares)


def test_what_cannot_be_divided_goes_to_some_classes_and_a_class_without_rows_gets_nothing():
    target = torch.tensor([0] * 6 + [1] * 1 + [3] * 1)
    counts = target[draw(target)].bincount(minlength=4).tolist()

    assert sorted(counts) == [0, 2, 3, 3]
    assert counts[2] == 0
    assert len({tuple(target[draw(target, seed=seed)].bincount().tolist()) for seed in range(20)}) == 3


def test_other_rows_of_a_frequent_class_stand_in_the_next_epoch():
    first, second = (set(map(int, draw(RARE, seed=seed)[:500])) for seed in (0, 1))

    assert len(first & second) < len(first)


def test_the_order_follows_from_seed_and_epoch_alone():
    assert read(make_loader()) == read(make_loader())
    assert read(make_loader()) != read(make_loader(epoch=1))
    assert read(make_loader()) != read(make_loader(seed=1))


def test_processes_share_each_batch():
    whole = read(make_loader())
    parts = [read(make_loader(rank=rank, num_processes=2)) for rank in (0, 1)]

    for batch, *shares in zip(whole, *parts, strict=True):
        assert sorted([*shares[0], *shares[1]]) == sorted(batch)


def test_shuffled_rows_stand_once_each():
    assert sorted(draw(RARE, sampling="shuffle").tolist()) == list(range(1000))


@pytest.mark.slow
def test_balance_finds_more_of_the_rare_class(project):
    """A quarter of the records are positive; balanced, the mean probability rises towards even classes."""
    found = {}
    for sampling in ("shuffle", "balanced"):
        run_quick(
            "experiment=adult",
            "model=mlp",
            "model.width=16",
            "tracker=disabled",
            f"schedule.sampling={sampling}",
            f"name=run_{sampling}",
        )
        (run,) = project.glob(f"runs/run_{sampling}-*")
        rows = pl.read_parquet(run / "examples" / "test.parquet")
        probability = load(run).predict(rows)["probability"]
        truth = rows["label"].cast(pl.Boolean)
        found[sampling] = probability.mean(), (probability.filter(truth) > 0.5).mean()

    assert found["shuffle"][0] == pytest.approx(0.24, abs=0.04)
    assert found["balanced"][0] > 0.32
    assert found["balanced"][1] > found["shuffle"][1] + 0.15
