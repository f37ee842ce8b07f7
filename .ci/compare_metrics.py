"""After `make demo`: fail unless its metrics are the committed ones.

On the processor of the commit they are equal to the last digit. Another one rounds in another way, and the steps of
training amplify that: a metric may then differ by the tolerance.
"""

import json
import subprocess
import sys
from pathlib import Path

FILE = "artifacts/evaluation/metrics.json"
TOLERANCE = 0.01  # of metrics between 0 and 1; where a threshold cuts, a few rows more count
TOLERANCES = {"f1": 0.03}


def flatten(metrics: dict[str, dict[str, float]]) -> dict[str, float]:
    """One value for each `predictor.metric`."""
    return {f"{who}.{name}": value for who, values in metrics.items() for name, value in values.items()}


def compare(committed: dict[str, float], made: dict[str, float]) -> list[str]:
    """A line for each metric that is missing, new, or farther away than its tolerance."""
    lines = [f"{name}: only in one of the two" for name in committed.keys() ^ made.keys()]
    for name in committed.keys() & made.keys():
        tolerance = TOLERANCES.get(name.rpartition(".")[2], TOLERANCE)
        if not abs(made[name] - committed[name]) <= tolerance:
            lines.append(f"{name}: {committed[name]} is committed, {made[name]} was made; tolerance {tolerance}")
    return sorted(lines)


def main() -> int:
    """Print what differs; 1 where that is too much."""
    shown = subprocess.run(["git", "show", f"HEAD:{FILE}"], check=True, capture_output=True).stdout
    committed, made = flatten(json.loads(shown)), flatten(json.loads(Path(FILE).read_text(encoding="utf-8")))
    if lines := compare(committed, made):
        print(
            f"{FILE} is not what is committed. If that is on purpose, commit the pipeline's state:", *lines, sep="\n  "
        )
        return 1
    print("metrics: equal" if made == committed else "metrics: equal within the tolerance for another processor")
    return 0


if __name__ == "__main__":
    sys.exit(main())
