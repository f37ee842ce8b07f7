"""A run of images from its rows to its report: what counts values leaves them out, what asks the model does not."""

import json

import polars as pl
import pytest

pytest.importorskip("PIL")

from runs import find_run, treadle


@pytest.mark.slow
def test_a_run_with_images_is_evaluated_and_predicts_files(project):
    done = treadle(
        "run",
        "experiment=digits",
        "tracker=disabled",
        "schedule.max_epochs=3",
        "evaluation.parity_rows=5",
        "evaluation.explanation.predictions=1000",
    )
    run = find_run(project)
    evaluation = run / "evaluation"
    pl.read_parquet("data/digits/digits.parquet").head(30).write_parquet("rows.parquet")

    assert done == 0
    assert json.loads((evaluation / "metrics.json").read_text())["model"]["accuracy"] > 0.5
    assert json.loads((evaluation / "parts" / "explanation.json").read_text())["importance"]["image"]["growth"] > 0
    assert json.loads((evaluation / "reference" / "reference.json").read_text())["ignored"].keys() == {"image"}
    assert treadle("predict", str(run), "rows.parquet", "-o", "out.csv") == 0
    assert len(pl.read_csv("out.csv")) == 30
