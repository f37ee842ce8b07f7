"""What does a step of training take, and do the stated costs of the models (`COST`) predict it?

    python benchmarks/model_speeds.py [--quick] [--device cpu|gpu]

Each network is trained on random rows by a loop written by hand: forward, binary cross-entropy, backward, fused AdamW.
On the CPU the clock is the CPU time of this process, which runs on one thread; on a GPU it is the wall clock around
steps that are waited for. The least time of several repeats counts, which interleave all cases.

From all cases together come the three speeds of a nominal device, those that miss the times least (squares of relative
errors). They are printed as conf/model/auto.yaml holds them.
"""

from __future__ import annotations

import argparse
import itertools
import json
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch import Tensor
from torch.nn import functional as nnf

from treadle.bundle import build_model
from treadle.config.compose import compose_options
from treadle.model_choice.choose import BACKWARD
from treadle.model_choice.ladder import complete, find_cost
from treadle.targets.costs import Work

ROOT = Path(__file__).parents[1]
TARGETS = ["treadle.models."]


@dataclass(frozen=True)
class Case:
    """A network, the inputs of a row, and the rows of a step."""

    option: str
    values: dict[str, Any]
    num_numeric: int
    cardinalities: tuple[int, ...]
    batch_size: int

    def __str__(self) -> str:
        named = ", ".join(f"{name} {value}" for name, value in self.values.items())
        inputs = f"{self.num_numeric} + {len(self.cardinalities)}"
        return f"{self.option + (f' ({named})' if named else ''):<36} {inputs:>8} {self.batch_size:>6}"

    @property
    def node(self) -> dict[str, Any]:
        return {**compose_options(ROOT, "model", [self.option])[self.option], **self.values}

    @property
    def work(self) -> Work:
        cost = find_cost(self.node)
        assert cost is not None
        return cost.measure(
            {
                **complete(self.node),
                "num_numeric": self.num_numeric,
                "num_categories": len(self.cardinalities),
                "num_words": sum(self.cardinalities),
                "num_outputs": 1,
            }
        )


FEW, SOME, MANY = (8, ()), (31, (17, 4, 106, 31, 20, 8, 257)), (220, (9, 17, 8, 16, 7, 6, 3, 43))
NETWORKS = [
    ("linear", {}, [SOME, MANY]),
    ("mlp", {"num_layers": 1, "width": 64}, [FEW, SOME]),
    ("mlp", {}, [FEW, SOME, MANY]),
    ("mlp", {"num_layers": 3, "width": 512}, [SOME]),
    ("mlp", {"dropout": 0.2}, [SOME]),
    ("mlp_plr", {}, [FEW, SOME]),
    ("resnet", {}, [SOME, MANY]),
    ("dcn_v2", {}, [SOME, MANY]),
    ("ft_transformer", {}, [FEW, SOME]),
    ("tabm", {}, [FEW, SOME, MANY]),
    ("tabm", {"width": 256}, [SOME]),
    ("tabm_wide", {}, [SOME, MANY]),
    ("tabm", {"k": 32, "width": 256}, [FEW, SOME]),
]


def list_cases(*, quick: bool) -> list[Case]:
    """Every network on its inputs, at two sizes of a step; of the larger inputs one is enough."""
    cases = [
        Case(option, values, *inputs, batch_size)
        for option, values, many in NETWORKS
        for inputs, batch_size in itertools.product(many, (256, 1024))
        if inputs is not MANY or batch_size == 256
    ]
    return cases[::6] if quick else cases


def make_step(case: Case, device: torch.device) -> Callable[[], None]:
    """One step of training, on rows that stay where they are."""
    torch.manual_seed(0)
    sizes = {"num_numeric": case.num_numeric, "cardinalities": case.cardinalities}
    network = build_model(case.node, targets=TARGETS, **sizes, num_classes=0).to(device).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    numeric = torch.randn(case.batch_size, case.num_numeric, device=device)
    ids = [torch.randint(size, (case.batch_size, 1), device=device) for size in case.cardinalities]
    ids = torch.cat([torch.empty(case.batch_size, 0, dtype=torch.int64, device=device), *ids], dim=1)
    target = torch.randint(2, (case.batch_size,), device=device).float()

    def step() -> None:
        output: Tensor = network(numeric, ids)
        expected = target.view(-1, *[1] * (output.dim() - 1)).expand_as(output)
        loss = nnf.binary_cross_entropy_with_logits(output, expected)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()

    return step


def measure(step: Callable[[], None], *, seconds: float, device: torch.device) -> float:
    """What a step takes [seconds], over as many as fill the time, at least two."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait = torch.cuda.synchronize if device.type == "cuda" else lambda: None
    wait()
    start, count = clock(), 0
    while count < 2 or clock() - start < seconds:
        step()
        count += 1
        if device.type == "cuda" and count % 20 == 0:
            wait()
    wait()
    return (clock() - start) / count


def fit(cases: list[Case], times: list[float]) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of a step, of a product and of a value; and what they predict for each case."""
    rows = np.array(
        [[1.0, *((1 + BACKWARD) * c.batch_size * np.array([c.work.products, c.work.values]))] for c in cases]
    )
    scale = rows.max(axis=0)
    found, _ = nnls(rows / scale / np.array(times)[:, None], np.ones(len(times)))
    return found / scale, rows @ (found / scale)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a sixth of the cases, for less time")
    parser.add_argument("--device", choices=["cpu", "gpu"], default="cpu")
    options = parser.parse_args()
    torch.set_num_threads(1)
    device = torch.device("cuda" if options.device == "gpu" else "cpu")
    cases = list_cases(quick=options.quick)
    steps = [make_step(case, device) for case in cases]
    for step in steps:
        step()
    repeats = [
        [measure(step, seconds=0.1 if options.quick else 0.25, device=device) for step in steps] for _ in range(3)
    ]
    times = [min(found) for found in zip(*repeats, strict=True)]
    speeds, predicted = fit(cases, times)
    print(f"{'network':<36} {'inputs':>8} {'rows':>6} {'ms a step':>10} {'predicted':>10} {'ratio':>6}")
    ratios = {}
    for case, found, told in zip(cases, times, predicted, strict=True):
        print(f"{case} {found * 1e3:>10.2f} {told * 1e3:>10.2f} {told / found:>6.2f}")
        ratios[" ".join(str(case).split())] = round(told / found, 3)
    names = ("step", "products", "values")
    values = [speeds[0], *(1 / speed if speed else float("inf") for speed in speeds[1:])]
    print("\n  " + f"{options.device}: " + ", ".join(f"{n}: {v:.1e}" for n, v in zip(names, values, strict=True)))
    print(json.dumps({"median ratio": statistics.median(ratios.values()), "ratios": ratios}))


if __name__ == "__main__":
    main()
