"""The table of costs in conf/model/auto.yaml: what a training step takes, by rows and inputs.

    python benchmarks/model_costs.py [--quick]

Each candidate that is a network is trained on random rows, at several sizes of a step and numbers of inputs, by a loop
written by hand (forward, binary cross-entropy, backward, fused AdamW) on one thread. The clock is the CPU time of this
process; the least of several repeats counts, which interleave all cases. From the cases of a candidate come its three
numbers, those that miss the times least (squares of relative errors); they are printed as conf/model/auto.yaml holds
them, with the largest error.
"""

from __future__ import annotations

import argparse
import itertools
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.optimize import nnls
from torch.nn import functional as nnf

from treadle.bundle import build_network
from treadle.config.compose import compose

ROOT = Path(__file__).parents[1]
TARGETS = ["treadle.models."]
INPUTS = (8, 40, 200)
BATCHES = (64, 256, 1024)
CATEGORIES = (4, 17, 106)  # ids of each categorical input


def make_step(node: dict[str, Any], num_inputs: int, batch_size: int) -> Callable[[], None]:
    """One step of training of a network, on rows that stay where they are."""
    torch.manual_seed(0)
    num_numeric = num_inputs - len(CATEGORIES)
    network = build_network(
        node, targets=TARGETS, num_numeric=num_numeric, cardinalities=CATEGORIES, num_classes=0
    ).train()
    optimizer = torch.optim.AdamW(network.parameters(), lr=1e-3, fused=True)
    numeric = torch.randn(batch_size, num_numeric)
    ids = torch.stack([torch.randint(size, (batch_size,)) for size in CATEGORIES], dim=1)
    target = torch.randint(2, (batch_size,)).float()

    def step() -> None:
        output = network(numeric, ids)
        expected = target.view(-1, *[1] * (output.dim() - 1)).expand_as(output)
        loss = nnf.binary_cross_entropy_with_logits(output, expected)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimizer.step()

    return step


def measure(step: Callable[[], None], count: int) -> float:
    """CPU seconds of a step."""
    start = time.process_time()
    for _ in range(count):
        step()
    return (time.process_time() - start) / count


def fit(sizes: list[tuple[int, int]], seconds: list[float]) -> tuple[dict[str, float], float]:
    """Step, row and input by least squares of the relative errors; and the largest of these."""
    matrix = np.array([[1.0, rows, rows * inputs] for inputs, rows in sizes]) / np.array(seconds)[:, None]
    found, _ = nnls(matrix, np.ones(len(seconds)))
    error = float(np.abs(matrix @ found - 1).max())
    return dict(zip(("step", "row", "input"), map(float, found), strict=True)), error


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one repeat of few steps")
    options = parser.parse_args()
    torch.set_num_threads(1)
    repeats, count = (1, 2) if options.quick else (5, 10)
    candidates = compose(overrides=["model=auto"], root=ROOT).values["model"]["candidates"]
    nodes = {name: candidate["model"] for name, candidate in candidates.items() if "passes" not in candidate["cost"]}
    sizes = list(itertools.product(INPUTS, BATCHES))
    steps = {(name, *size): make_step(node, *size) for name, node in nodes.items() for size in sizes}
    for step in steps.values():
        step()
    times = {key: min(measure(step, count) for _ in range(1)) for key, step in steps.items()}
    for _ in range(repeats - 1):
        times = {key: min(times[key], measure(step, count)) for key, step in steps.items()}
    ratios = {}
    for name in nodes:
        found, error = fit(sizes, [times[(name, *size)] for size in sizes])
        ratios[name] = {key: found[key] / candidates[name]["cost"][key] for key in found if found[key]}
        text = ", ".join(f"{key}: {value:.1e}" for key, value in found.items())
        print(f"  {name}:\n    cost: {{{text}}}  # largest error {error:.0%}", flush=True)
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
