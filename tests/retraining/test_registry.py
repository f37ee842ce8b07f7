"""A registry of W&B follows what is decided about a champion: promoted by a rule, and led back from."""

import os
import subprocess
import sys
from functools import partial

import pytest

import loopback_server
from drifting import RULES, make_visits_project
from treadle.champions.ledger import read_history
from treadle.retraining.ledger import read_decisions

WEAK = "max_rounds: 1\n"
ONLINE = ["tracker=online", "tracker.registry=model"]


def call(*words, server, project):
    """A verb in a process of its own, which talks to a server of W&B, and keeps its caches to itself."""
    caches = {f"WANDB_{kind}_DIR": str(project.parent / kind.lower()) for kind in ("CACHE", "DATA", "CONFIG")}
    environment = {**os.environ, **caches, "WANDB_BASE_URL": server, "WANDB_API_KEY": "0" * 40}
    command = [sys.executable, "-m", "treadle", *words]
    done = subprocess.run(command, env=environment, cwd=project, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.exhaustive
def test_a_registry_follows_a_promotion_by_rule_and_the_way_back(tmp_path):
    project = tmp_path / "project"
    project.mkdir()
    make_visits_project(project)
    weak = ["model.max_rounds=1", "model.learning_rate=0.001"]

    with loopback_server.serve() as (url, received):
        ask = partial(call, server=url, project=project)
        ask("retrain", *RULES, *ONLINE, "--now", "2020-04-15")
        ask("run", "experiment=visits", *weak, *ONLINE)
        (made,) = (file.parent for file in project.glob("runs/*/resolved.yaml") if WEAK in file.read_text())
        ask("promote", str(made), "--override", "I know better")
        ask("retrain", *RULES, *ONLINE, "--now", "2020-05-20")

    first = read_decisions("visits", root=project).items[0].run.removeprefix("runs/")
    history = read_history("visits", root=project)
    assert [decision.action for decision in history.decisions] == ["promote", "promote", "rollback"]
    collection = "firm/wandb-registry-model/visits"
    assert received.links == [(collection, name, ["champion"]) for name in (first, made.name, first)]
