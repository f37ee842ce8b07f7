"""How long until the command line answers? Each in a fresh process; median of several.

    python benchmarks/startup.py [--quick]

Alternatives in the same run: a bare Python for `--help` and completion; a plain Hydra application that composes the
same conf/ (and checks nothing) for `compose` and `check`; importing PyTorch Lightning, for scale.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
TREADLE = [str(Path(sys.executable).with_name("treadle"))]
PLAIN_HYDRA = """
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf
with initialize_config_dir(config_dir={conf!r}, version_base="1.3"):
    OmegaConf.to_yaml(compose("config"), resolve=True)
"""
COMMANDS = {
    "python -c pass": [sys.executable, "-c", "pass"],
    "plain Hydra compose": [sys.executable, "-c", PLAIN_HYDRA.format(conf=str(ROOT / "conf"))],
    "import pytorch_lightning": [sys.executable, "-c", "import pytorch_lightning"],
    "treadle --help": [*TREADLE, "--help"],
    "treadle completion": [*TREADLE, "completion", "bash", "--words", "run", "model="],
    "treadle check": [*TREADLE, "check"],
    "treadle compose": [*TREADLE, "compose"],
    "treadle explain": [*TREADLE, "explain", "schedule.optimizer.lr"],
    "treadle lineage": [*TREADLE, "lineage", "plane_age"],
}
RATIOS = {
    "treadle --help": "python -c pass",
    "treadle completion": "python -c pass",
    "treadle check": "plain Hydra compose",
    "treadle compose": "plain Hydra compose",
    "treadle explain": "plain Hydra compose",
    "treadle lineage": "plain Hydra compose",
}


def measure(command: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="3 repeats instead of 11")
    repeats = 3 if parser.parse_args().quick else 11
    times: dict[str, list[float]] = {name: [] for name in COMMANDS}
    for _ in range(repeats):  # interleaved, so that a busy neighbour hits all alike
        for name, command in COMMANDS.items():
            times[name].append(measure(command))
    medians = {name: statistics.median(values) for name, values in times.items()}
    print(f"{'command':<26} {'median s':>9}  ratio")
    for name, value in medians.items():
        ratio = f"{value / medians[RATIOS[name]]:.2f} x {RATIOS[name]}" if name in RATIOS else ""
        print(f"{name:<26} {value:>9.3f}  {ratio}")
    ratios = {f"{name} / {other}": round(medians[name] / medians[other], 3) for name, other in RATIOS.items()}
    print(json.dumps({"seconds": {n: round(v, 3) for n, v in medians.items()}, "ratios": ratios}))


if __name__ == "__main__":
    main()
