"""How tests run the command line: in this process, on a small and quick experiment with real data."""

import importlib
import shutil
from pathlib import Path

from treadle.cli.main import main

ROOT = Path(__file__).parents[2]
QUICK = [
    "experiment=california",
    "model=mlp",
    "model.width=16",
    "schedule.max_epochs=2",
    "schedule.batch_size=1024",
    "evaluation.baselines=[prior]",
    "evaluation.parity_rows=5",
    "evaluation.explanation=null",
    "evaluation.questions=null",
]

# A network of the user's own: the README's.
WIDE = """\
from torch import nn


class Wide(nn.Module):
    def __init__(self, *, num_numeric, cardinalities, num_outputs, width: int):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(num_numeric, width), nn.ReLU(), nn.Linear(width, num_outputs))

    def forward(self, numeric, ids):
        return self.net(numeric)
"""


def make_project(folder: Path) -> None:
    """A project in an empty folder: conf/ copied, data linked."""
    shutil.copytree(ROOT / "conf", folder / "conf")
    (folder / "data").symlink_to(ROOT / "data")
    shutil.copyfile(ROOT / "params.yaml", folder / "params.yaml")


def treadle(*arguments: str) -> int:
    return main(list(arguments))


def run_quick(*overrides: str, verb: str = "run") -> int:
    """An override takes the place of the quick one of its key: a group may be selected only once."""
    keys = {override.partition("=")[0] for override in overrides}
    return treadle(verb, *(quick for quick in QUICK if quick.partition("=")[0] not in keys), *overrides)


def forget_sources() -> None:
    """As in a new process: an edited source is read anew."""
    from treadle.experiment import fingerprint, imports, modules
    from treadle.targets import signatures

    importlib.invalidate_caches()
    for module in (fingerprint, imports, modules, signatures):
        for value in vars(module).values():
            if hasattr(value, "cache_clear"):
                value.cache_clear()


def find_run(project):
    (folder,) = [path.parent for path in project.glob("runs/*/stages.json")]
    return folder
