"""Cost: parameters, bytes and the processor's time, and the checks that hold them below ceilings."""

import time
from types import SimpleNamespace

import polars as pl
import pytest

from treadle.evaluation.checks.cost import limit_parameters, limit_size, limit_time
from treadle.evaluation.cost import find_cost
from treadle.experiment.run_folder import RunFolder
from treadle.pages.render import render_page


class Busy:
    """Works for two milliseconds, and 20 microseconds a row."""

    def predict(self, rows, *, on_breach):
        assert on_breach == "allow"
        end = time.process_time() + 0.002 + 2e-5 * len(rows)
        while time.process_time() < end:
            pass


@pytest.fixture
def evaluated(tmp_path):
    folder = RunFolder(tmp_path)
    (folder.bundle / "members").mkdir(parents=True)
    (folder.bundle / "network.pt").write_bytes(b"x" * 700)
    (folder.bundle / "members" / "bundle.json").write_bytes(b"x" * 300)
    settings = SimpleNamespace(timed_rows=[1, 1000, 5000])
    return SimpleNamespace(
        folder=folder,
        bundle=Busy(),
        experiment=SimpleNamespace(evaluation=settings),
        training={"num_parameters": 1234},
        test=pl.LazyFrame({"row": range(1000)}),
    )


@pytest.mark.slow
def test_what_a_model_costs_is_found_as_far_as_there_are_rows(evaluated):
    found = find_cost(evaluated)

    assert (found.parameters, found.bytes, list(found.times)) == (1234, 1000, [1, 1000])
    assert 2 <= found.times[1] < 20 <= found.times[1000] < 100
    assert list(found.to_numbers()) == ["parameters", "bytes", "ms_1_rows", "ms_1000_rows"]
    page = render_page("parts/cost.html.jinja", found=found)
    assert "1,234" in page
    assert "1,000 rows" in page


def test_times_are_measured_only_where_they_are_asked_for(evaluated):
    evaluated.experiment.evaluation.timed_rows = []

    assert find_cost(evaluated).to_numbers() == {"parameters": 1234.0, "bytes": 1000.0}


@pytest.mark.parametrize(
    ("check", "limits", "state"),
    [
        (limit_parameters, {"ceiling": 1234}, "pass"),
        (limit_parameters, {"ceiling": 1233}, "fail"),
        (limit_size, {"ceiling": 1000}, "pass"),
        (limit_size, {"ceiling": 999}, "fail"),
        (limit_time, {"rows": 1, "ceiling_ms": 1000.0}, "pass"),
        (limit_time, {"rows": 1000, "ceiling_ms": 10.0}, "fail"),
        (limit_time, {"rows": 1001, "ceiling_ms": 10.0}, "not applicable"),
    ],
)
def test_a_ceiling_holds_or_not(evaluated, check, limits, state):
    assert check(evaluated, **limits).state == state


@pytest.mark.slow
def test_trees_have_no_parameters_to_limit(evaluated):
    evaluated.training = {"num_steps": 100}

    assert limit_parameters(evaluated, ceiling=1).state == "not applicable"
    assert find_cost(evaluated).to_numbers().get("parameters") is None
