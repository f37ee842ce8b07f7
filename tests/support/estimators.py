"""Models that train themselves: those that conf/model offers, and rows to train them on."""

from pathlib import Path

import pytest
import torch
import yaml

from treadle.bundle import build_model
from treadle.models.estimator import Objective, Training
from treadle.schema import Batch
from treadle.targets.signatures import read_constant

CONF = Path(__file__).parents[2] / "conf" / "model"
NUMERIC_COLUMNS = ["a", "b", "c"]
CARDINALITIES = [5, 3]


def list_estimators():
    nodes = {path.stem: yaml.safe_load(path.read_text()) for path in CONF.glob("*.yaml")}
    return sorted(name for name, node in nodes.items() if read_constant(node.get("_target_", ""), "OBJECTIVES"))


def build_estimator(name, *, num_classes=0, cardinalities=CARDINALITIES, num_numeric=3, **changes):
    node = {**yaml.safe_load((CONF / f"{name}.yaml").read_text()), **changes}
    pytest.importorskip(read_constant(node["_target_"], "LIBRARY"))
    return build_model(
        node,
        targets=["treadle.models."],
        num_numeric=num_numeric,
        cardinalities=cardinalities,
        num_classes=num_classes,
    )


def draw_rows(num_rows=400, *, seed=0, num_classes=0, task="binary"):
    """Three numbers, the first often missing; two columns of ids; a target that depends on some of them."""
    generator = torch.Generator().manual_seed(seed)
    numeric = torch.randn(num_rows, 3, generator=generator)
    ids = torch.cat([torch.randint(size, (num_rows, 1), generator=generator) for size in CARDINALITIES], dim=1)
    value = numeric[:, 0] + numeric[:, 1].abs() + 2.0 * (ids[:, 0] == 2) - 1
    numeric[torch.rand(num_rows, generator=generator) < 0.2, 0] = torch.nan
    if num_classes:
        target = (value + 1).clamp(0, num_classes - 1).long()
    else:
        target = value if task == "regression" else (value > 0).float()
    return Batch.of_numbers(numeric, ids, target, torch.ones(num_rows))


def fit(estimator, train, valid=None, *, task="binary", objective=None, seed=0, threads=1, watch=None, best=None):
    """Train; gives the number of rounds of each call of `watch`, which finds none better than `best`."""
    seen = []

    def watch_loss(*, rounds, train, valid):
        seen.append(rounds)
        return rounds if best is None else min(rounds, best)

    objective = objective or Objective(task, "default")
    training = Training(objective, NUMERIC_COLUMNS, seed=seed, threads=threads, watch=watch or watch_loss)
    estimator.fit(train, train if valid is None else valid, training=training)
    return seen
