"""How tests run sweeps: in a process of their own, which they may kill, with networks that end as they are told."""

import json
import subprocess
import sys
import time

from runs import QUICK

TINY = [*(word for word in QUICK if not word.startswith("evaluation.")), "tracker=disabled"]

# A network of the user's own that ends in the way that its argument names.
OWN = """\
import os
import resource
import signal
import time
from pathlib import Path

import torch
from torch import nn


class Own(nn.Module):
    def __init__(self, *, num_numeric, cardinalities, num_outputs, behaviour: str):
        super().__init__()
        self.behaviour = behaviour
        self.net = nn.Linear(num_numeric, num_outputs)

    def forward(self, numeric, ids):
        if self.behaviour == "raise":
            raise ValueError("no luck")
        if self.behaviour == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "kill once" and not os.path.exists("killed"):
            open("killed", "w").close()
            os.kill(os.getpid(), signal.SIGKILL)
        if self.behaviour == "hang":
            time.sleep(600)
        if self.behaviour == "memory":
            resource.setrlimit(resource.RLIMIT_DATA, (1 << 20, 1 << 30))
            torch.zeros(1 << 30)
        if self.behaviour == "blind":
            for file in Path.cwd().glob("runs/**/examples/test.parquet"):
                file.unlink(missing_ok=True)
        if self.behaviour == "disk":
            resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        return self.net(numeric) * (float("nan") if self.behaviour == "diverge" else 1)
"""


def start(project, *words):
    """A sweep in a process of its own."""
    has_model = any(word.startswith("model=") for word in words)
    tiny = [word for word in TINY if not (has_model and word.startswith("model"))]
    command = [sys.executable, "-m", "treadle", "run", "-m", *tiny, *words]
    with (project / "out.txt").open("a") as out:
        return subprocess.Popen(command, cwd=project, stdout=out, stderr=out)


def wait_for(project, event, count=1):
    """Until the ledger tells of so many events of a kind."""
    limit = time.monotonic() + 300  # a busy machine is no mistake of the code
    while time.monotonic() < limit:
        lines = [
            line
            for file in project.glob("sweeps/*/ledger.jsonl")
            for line in file.read_text().splitlines(keepends=True)
        ]
        if sum(line.endswith("\n") and json.loads(line)["event"] == event for line in lines) >= count:
            return
        time.sleep(0.1)
    raise AssertionError((project / "out.txt").read_text())


def add_own(project):
    """A network that ends as `model.behaviour` tells it."""
    (project / "failing_trials.py").write_text(OWN)
    (project / "conf/model/own.yaml").write_text("_target_: failing_trials.Own\nbehaviour: good\n")
    config = project / "conf/config.yaml"
    config.write_text(config.read_text().replace("targets:\n", "targets:\n  - failing_trials.\n"))
