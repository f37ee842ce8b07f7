"""A second training on train and valid: the same as one that knew the number of epochs from the start."""

import json
import random

import numpy as np
import polars as pl
import pytest
import torch

from runs import QUICK, find_run, make_project, run_quick
from treadle.bundle import load, load_judged
from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.models.mlp import Mlp
from treadle.schema import Batch
from treadle.training.fit import fit
from treadle.training.refit import refit
from treadle.training.resume import find_state
from treadle.training.rows import MemoryRows
from treadle.training.scaling import Scaling

ALL = "schedule.refit=all"

# A network that stops in the step that a file names, as Ctrl-C would.
OWN = """\
from pathlib import Path

from torch import nn


class Own(nn.Module):
    def __init__(self, *, num_numeric, cardinalities, num_outputs, width: int):
        super().__init__()
        self.net = nn.Linear(num_numeric, num_outputs)

    def forward(self, numeric, ids):
        file = Path("stop_at")
        if self.training and file.exists():
            left = int(file.read_text()) - 1
            file.write_text(str(left))
            if left == 0:
                raise KeyboardInterrupt
        return self.net(numeric)
"""


def make_rows(count, *, seed):
    numeric = torch.randn(count, 5, generator=torch.Generator().manual_seed(seed))
    target = numeric[:, 0] * numeric[:, 1] + numeric[:, 2]
    return Batch.of_numbers(numeric, torch.zeros(count, 0, dtype=torch.int64), target, torch.ones(count))


def make_network(num_outputs=1):
    torch.manual_seed(0)
    return Mlp(
        num_numeric=5, cardinalities=[], num_outputs=num_outputs, num_layers=2, width=16, dropout=0.1, embedding_dim=1
    )


def make_experiment(root, *overrides):
    quick = [override for override in QUICK if not override.startswith("schedule.")]
    values = compose(
        overrides=[*quick, "schedule.batch_size=64", "schedule.early_stopping=null", *overrides], root=root
    )
    return Experiment.model_validate(values.values)


def refit_rows(experiment, folder, train, valid, *, num_epochs, num_outputs=1):
    rows = {"train": MemoryRows(train), "valid": MemoryRows(valid)}
    network = make_network(num_outputs)
    return refit(network, rows, experiment, num_epochs=num_epochs, scaling=Scaling(), checkpoints=folder, augment=None)


def test_it_is_the_training_on_all_rows_that_ends_after_the_best_epoch(root, tmp_path):
    train, valid = make_rows(300, seed=0), make_rows(100, seed=1)
    together = MemoryRows(Batch(*map(torch.cat, zip(train, valid, strict=True))))
    network = make_network()
    shared = {"scaling": Scaling(), "callbacks": []}
    experiment = make_experiment(root, "schedule=default", "schedule.max_epochs=3")
    fit(network, {"train": together, "valid": together}, experiment, checkpoints=tmp_path / "first", **shared)

    found = refit_rows(
        make_experiment(root, "schedule=default", "schedule.max_epochs=9"), tmp_path, train, valid, num_epochs=3
    )

    assert (found.num_rows, found.num_epochs, found.global_step) == (400, 3, 21)
    last = tmp_path / "refit" / "last.ckpt"
    assert find_state(last.parent, num_processes=1) == last, "where it would go on, without a best epoch"
    assert all(torch.equal(found.weights[name], value) for name, value in network.state_dict().items())


class Noisy(torch.nn.Module):
    """Draws from NumPy and from Python, as a user's own network may."""

    def __init__(self):
        super().__init__()
        self.layer = torch.nn.Linear(5, 1)

    def forward(self, numeric, ids):  # noqa: ARG002 - as any network
        return self.layer(numeric * np.random.rand() + random.random())  # noqa: NPY002, S311 - as others do


def test_the_seed_reaches_numpy_and_python(root, tmp_path):
    rows = MemoryRows(make_rows(300, seed=0))
    found = []
    for count in range(2):
        torch.manual_seed(0)
        network = Noisy()
        random.seed()
        np.random.seed()  # noqa: NPY002 - as above
        fit(
            network,
            {"train": rows, "valid": rows},
            make_experiment(root, "schedule.max_epochs=1"),
            scaling=Scaling(),
            checkpoints=tmp_path / str(count),
            callbacks=[],
        )
        found.append(network.layer.weight)
    assert torch.equal(*found)


@pytest.mark.slow
def test_rates_follow_the_epochs_of_the_schedule_and_not_those_that_are_left(root, tmp_path):
    rows = make_rows(300, seed=0), make_rows(100, seed=1)
    whole, part = (
        refit_rows(
            make_experiment(root, "schedule=cosine", f"schedule.max_epochs={count}"),
            tmp_path / str(count),
            *rows,
            num_epochs=3,
        )
        for count in (3, 9)
    )

    assert whole.global_step == part.global_step
    assert not torch.equal(whole.weights["layers.0.weight"], part.weights["layers.0.weight"])


def test_a_limit_of_steps_ends_the_same_epoch(root, tmp_path):
    experiment = make_experiment(root, "schedule.max_epochs=9", "schedule.max_steps=12")  # 5 steps an epoch

    found = refit_rows(experiment, tmp_path, make_rows(300, seed=0), make_rows(100, seed=1), num_epochs=3)

    assert found.global_step == 17  # of 7 an epoch: 12 * 7 / 5


def test_rows_of_a_class_that_training_had_not_are_left_out(root, tmp_path):
    train, valid = make_rows(300, seed=0), make_rows(100, seed=1)
    train = train._replace(target=torch.arange(300) % 3)
    valid = valid._replace(target=torch.arange(100) % 4 - 1)
    experiment = make_experiment(root, "data.task=multiclass", "schedule.max_epochs=1")

    assert refit_rows(experiment, tmp_path, train, valid, num_epochs=1, num_outputs=3).num_rows == 375


@pytest.mark.slow
def test_the_weights_are_new_and_the_metrics_those_of_the_training_that_chose(run_once):
    once, again = (find_run(run_once("tracker=disabled", *words).parent) for words in ((), (ALL,)))

    first, second = load(once), load(again)

    assert (once / "metrics.csv").read_bytes() == (again / "metrics.csv").read_bytes()
    assert (once / "validation.json").read_bytes() == (again / "validation.json").read_bytes()
    assert (first.card.trained_on, second.card.trained_on) == (["train"], ["train", "valid"])
    pairs = list(zip(first.model.parameters(), second.model.parameters(), strict=True))
    assert not any(torch.equal(old, new) for old, new in pairs if old.numel())
    rows = pl.read_parquet(once / "examples/valid.parquet")
    assert load_judged(again).predict(rows).equals(first.predict(rows))
    assert load_judged(once).predict(rows).equals(first.predict(rows))
    counts = json.loads((again / "examples/summary.json").read_text())["rows"]
    summary = json.loads((again / "model/summary.json").read_text())
    assert summary["refit"]["num_rows"] == counts["train"] + counts["valid"]
    assert summary["refit"]["num_epochs"] == summary["best_epoch"]


@pytest.mark.slow
@pytest.mark.parametrize("stop_at", [9, 1 + 39 + 1 + 17 + 5], ids=["first", "second"])
def test_a_run_that_is_stopped_in_either_training_goes_on_with_the_same_numbers(tmp_path, monkeypatch, stop_at):
    words = ["model=own", ALL, "tracker=disabled", "schedule.max_epochs=3"]
    weights = []
    for name, stops in (("whole", False), ("stopped", True)):
        folder = tmp_path / name
        folder.mkdir()
        make_project(folder)
        (folder / "stoppable.py").write_text(OWN)
        (folder / "conf/model/own.yaml").write_text("_target_: stoppable.Own\nwidth: 1\n")
        config = folder / "conf/config.yaml"
        config.write_text(config.read_text().replace("targets:\n", "targets:\n  - stoppable.\n"))
        monkeypatch.chdir(folder)
        if stops:
            (folder / "stop_at").write_text(str(stop_at))
            assert run_quick(*words, verb="train") == 130
            (folder / "stop_at").unlink()
        assert run_quick(*words, verb="train") == 0
        (run,) = (folder / "runs").glob("california-*")
        weights.append(load(run, targets=["stoppable.", "treadle."]).model.state_dict())

    assert all(torch.equal(value, weights[1][name]) for name, value in weights[0].items())
