from dataclasses import replace

import pytest
import torch
from torch import nn

from treadle.config.compose import compose
from treadle.experiment.spec import Experiment
from treadle.models.mlp import Mlp
from treadle.training.execution import Work, count_work, decide_execution

SMALL = Work(num_operations=28, num_elements=90_000, num_products=85_000, attends=False)  # MLP 2x64, batch 256
LARGE = Work(num_operations=74, num_elements=21_600_000, num_products=5_700_000, attends=False)  # TabM, batch 1024
FULL = ("trainer.precision=32-true",)  # where a test says nothing else


@pytest.fixture
def decide(root):
    def decide(*overrides, device="cpu", num_processes=1, steps=100_000, work=SMALL):
        experiment = Experiment.model_validate(compose(overrides=[*FULL, *overrides], root=root).values)
        ahead = {"planned_steps": steps, "count": lambda: work}
        return decide_execution(experiment, device=device, num_processes=num_processes, **ahead), experiment

    return decide


@pytest.mark.parametrize(
    ("steps", "work", "value"),
    [(999, LARGE, "off"), (20_000, SMALL, "off"), (100_000, SMALL, "on"), (3_000, LARGE, "off"), (5_000, LARGE, "on")],
)
def test_auto_compiles_where_the_steps_ahead_repay_it(decide, steps, work, value):
    found, experiment = decide("trainer.compile=auto", steps=steps, work=work)

    assert found.compile.value == value
    assert f"{steps:,} steps" in found.compile.reason
    (line,) = found.list_lines(experiment)
    assert line == f"compile    {value} ({found.compile.reason})"


def test_few_steps_are_not_even_counted(decide):
    decide("trainer.compile=auto", steps=999, work=None)


@pytest.mark.fast_cases(3)
@pytest.mark.parametrize("switch", ["on", "auto"])
@pytest.mark.parametrize(
    ("override", "situation", "says"),
    [
        ("trainer.precision=32-true", {"num_processes": 2}, "several processes"),
        ("trainer.precision=16-mixed", {}, "16-mixed"),
        ("trainer.precision=32-true", {"steps": 0}, "no batch is full"),
    ],
)
def test_what_cannot_be_compiled_is_reported(decide, switch, override, situation, says):
    found, experiment = decide(f"trainer.compile={switch}", override, **situation)

    assert found.compile.value == "off"
    assert says in found.compile.reason
    assert found.list_lines(experiment) == [f"compile    off ({found.compile.reason})"]


def test_what_is_off_is_not_reported(decide):
    found, experiment = decide("trainer.compile=off")

    assert found.compile.value == "off"
    assert found.list_lines(experiment) == []


def test_on_compiles_however_few_the_steps(decide):
    assert decide("trainer.compile=on", steps=2)[0].compile.value == "on"
    assert decide("trainer.compile=on", steps=2, device="cuda")[0].compile.value == "on"


def test_auto_leaves_a_device_alone_on_which_it_has_not_been_measured(decide):
    found, _ = decide("trainer.compile=auto", device="cuda", steps=10**7)

    assert found.compile.value == "off"
    assert "trainer.compile=on" in found.compile.reason


@pytest.mark.parametrize(
    ("able", "work", "value"),
    [
        (True, LARGE, "bf16-mixed"),
        (True, SMALL, "32-true"),
        (True, replace(LARGE, attends=True), "32-true"),
        (False, LARGE, "32-true"),
    ],
)
def test_auto_precision_is_low_for_large_operations_on_a_device_that_has_it(decide, monkeypatch, able, work, value):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": able})

    found, experiment = decide("trainer.compile=off", "trainer.precision=auto", work=work)

    assert found.precision.value == value
    assert found.list_lines(experiment) == [f"precision  {value} ({found.precision.reason})"]


def test_counting_leaves_no_trace():
    network = nn.Sequential(nn.Linear(5, 8), nn.BatchNorm1d(8), nn.Dropout(0.5), nn.Linear(8, 1))
    rows = torch.randn(32, 5)
    before = {name: value.clone() for name, value in network.state_dict().items()}
    random = torch.get_rng_state()

    work = count_work(
        lambda: network(rows).square().mean(), list(network.parameters()), buffers=list(network.buffers())
    )

    assert work.num_operations > 8
    assert work.num_products >= 32 * 8 + 32
    assert not work.attends
    assert all(torch.equal(value, before[name]) for name, value in network.state_dict().items())
    assert all(parameter.grad is None for parameter in network.parameters())
    assert torch.equal(torch.get_rng_state(), random)


def test_wider_layers_are_more_work_and_not_more_operations():
    def count(width):
        network = Mlp(
            num_numeric=5, cardinalities=[3], num_outputs=1, num_layers=2, width=width, dropout=0.0, embedding_dim=2
        )
        rows, ids = torch.randn(64, 5), torch.zeros(64, 1, dtype=torch.int64)
        return count_work(
            lambda: network(rows, ids).mean(), list(network.parameters()), buffers=list(network.buffers())
        )

    narrow, wide = count(16), count(64)

    assert narrow.num_operations == wide.num_operations
    assert narrow.saved_s < wide.saved_s
    assert narrow.cost_s == wide.cost_s
