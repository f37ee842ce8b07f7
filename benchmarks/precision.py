"""What does bfloat16 cost in the verdict, and what does it save in time?

    python benchmarks/precision.py [--quick]

The verdict: shipped experiments are trained and judged by `treadle run` in a project of its own, with
`trainer.precision=32-true` and with `bf16-mixed`, over the same seeds; weights and optimizer stay in 32 bits in both.
What is printed is a metric of the test split, its mean and spread over the seeds, and how much the same seed differs.

The time: the CPU time of a step, as in `benchmarks/training.py`, eager and compiled.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from training import ROOT, SIZES, Timing, be_quiet, compare, in_silence, make_rows, run_treadle

EXPERIMENTS = {"flights": "auroc", "california": "rmse"}
PRECISIONS = ("32-true", "bf16-mixed")
ROADS = [(precision, switch) for precision in PRECISIONS for switch in ("off", "on")]


def judge(experiment: str, precision: str, seed: int, *, project: Path) -> float:
    """The metric of the test split."""
    name = f"{experiment}_{precision}_{seed}"
    overrides = [f"experiment={experiment}", f"name={name}", f"seed={seed}", f"trainer.precision={precision}"]
    quiet_ones = ["tracker=disabled", "evaluation.baselines=[]", "evaluation.parity_rows=0"]
    command = [sys.executable, "-m", "treadle", "run", *overrides, *quiet_ones]
    subprocess.run(command, cwd=project, check=True, capture_output=True)
    (path,) = project.glob(f"runs/{name}-*/evaluation/metrics.json")
    return float(json.loads(path.read_text(encoding="utf-8"))["model"][EXPERIMENTS[experiment]])


def compare_verdicts(experiment: str, *, seeds: range, project: Path) -> dict[str, float]:
    metric = EXPERIMENTS[experiment]
    found = {p: [judge(experiment, p, seed, project=project) for seed in seeds] for p in PRECISIONS}
    for precision, values in found.items():
        spread = statistics.stdev(values) if len(values) > 1 else float("nan")
        print(
            f"{experiment:<12} {precision:<11} test {metric} {statistics.mean(values):.4f} +- {spread:.4f}", flush=True
        )
    differences = [low - full for full, low in zip(*found.values(), strict=True)]
    mean = statistics.mean(differences)
    print(
        f"{experiment:<12} difference  {mean:+.4f}, of single seeds {min(differences):+.4f} to {max(differences):+.4f}"
    )
    return {f"{metric}, 32-true": statistics.mean(found["32-true"]), "difference of bf16-mixed": mean}


def compare_times(name: str, *, repeats: int) -> dict[str, float]:
    size = SIZES[name]
    rows = make_rows(size)
    timings: dict[tuple[str, str], list[Timing]] = {road: [] for road in ROADS}
    for _ in range(repeats):
        for precision, switch in ROADS:
            with in_silence():
                timings[precision, switch].append(run_treadle(rows, size, switch=switch, precision=precision))
    for (precision, switch), values in timings.items():
        step_us = statistics.median(timing.step_us for timing in values)
        print(f"{name:<22} {precision:<11} compile={switch:<4} {step_us:>10,.0f} us", flush=True)
    base = timings["32-true", "off"]
    return {f"{p}, compile={s} / 32-true": compare(base, timings[p, s]) for p, s in ROADS[1:]}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="1 seed instead of 5, 3 repeats instead of 7")
    parser.add_argument("--only", nargs="+", choices=[*EXPERIMENTS, *SIZES], default=[*EXPERIMENTS, *SIZES])
    options = parser.parse_args()
    be_quiet()
    ratios: dict[str, dict[str, float]] = {}
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = str(Path(folder) / "cache")
        for name in filter(SIZES.__contains__, options.only):
            ratios[name] = compare_times(name, repeats=3 if options.quick else 7)
        shutil.copytree(ROOT / "conf", Path(folder) / "conf")
        (Path(folder) / "data").symlink_to((ROOT / "data").resolve())
        for name in filter(EXPERIMENTS.__contains__, options.only):
            ratios[name] = compare_verdicts(name, seeds=range(1 if options.quick else 5), project=Path(folder))
    print(json.dumps({"ratios": ratios}))


if __name__ == "__main__":
    main()
