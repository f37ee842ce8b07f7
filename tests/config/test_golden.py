"""Each shipped experiment, composed, stands in tests/golden: a review sees what an edit of conf/ really changes.

After a change on purpose: `python tests/config/test_golden.py` writes them anew.
"""

from pathlib import Path

import pytest
import yaml

from treadle.check.resolve import resolve
from treadle.experiment.stages import CODE

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden"
EXPERIMENTS = sorted(path.stem for path in (ROOT / "conf" / "experiment").glob("*.yaml"))
# What an experiment needs that lies in a project: a teacher, of which composing reads the task, the label and columns.
NEEDS = {"flights_student": ["loss.teacher=tests/golden/teacher"]}


def flatten(node, key=""):
    if isinstance(node, dict) and node:
        for name, value in node.items():
            yield from flatten(value, f"{key}.{name}" if key else name)
    else:
        yield f"{key}: {node!r}"


def compose(name):
    values = resolve(overrides=[f"experiment={name}", *NEEDS.get(name, [])], root=ROOT).values
    return "".join(f"{line}\n" for line in sorted(flatten({k: v for k, v in values.items() if k != CODE})))


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_composes_to_its_golden_file(name):
    assert compose(name) == (GOLDEN / f"{name}.txt").read_text()


def test_every_golden_file_has_its_experiment():
    assert sorted(path.stem for path in GOLDEN.glob("*.txt")) == EXPERIMENTS


@pytest.mark.parametrize("name", EXPERIMENTS)
def test_an_experiment_is_a_short_delta_that_begins_with_its_question(name):
    lines = (ROOT / "conf" / "experiment" / f"{name}.yaml").read_text().splitlines()

    assert lines[0] == "# @package _global_"
    assert lines[1].startswith("# ")
    assert lines[1].endswith("?")
    assert len(lines) <= 16
    assert yaml.safe_load("\n".join(lines))["name"] == name


if __name__ == "__main__":
    for name in EXPERIMENTS:
        (GOLDEN / f"{name}.txt").write_text(compose(name))
