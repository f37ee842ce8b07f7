"""`treadle label`: from a run and a file of rows to a file to fill in."""

import polars as pl
import pytest

from runs import find_run, treadle

pytestmark = pytest.mark.slow


def test_it_writes_the_rows_with_the_label_to_fill_in(project, capsys):
    words = ["experiment=california", "model=tabm", "trainer=debug", "schedule.max_epochs=1", "tracker=disabled"]
    assert treadle("train", *words) == 0
    run = find_run(project)
    rows = read_table(run)
    rows.write_csv("rows.csv")
    label = ["label", str(run), "--rows", "rows.csv", "--budget", "7"]

    assert treadle(*label, "--by", "disagreement", "-o", "fill.csv") == 0

    chosen = pl.read_csv("fill.csv")
    assert chosen.columns == [*rows.columns, "MedHouseVal"]
    assert len(chosen) == 7
    assert chosen["MedHouseVal"].is_null().all()
    assert chosen.drop("MedHouseVal").join(rows, on=rows.columns, how="semi").height == 7
    assert "7 of 300 rows  fill.csv\nfill in  MedHouseVal" in capsys.readouterr().out
    for wrong, said in (
        (["--by", "disagreement", "-o", "fill.csv"], "fill.csv exists"),
        (["-o", "other.csv"], "a regression has no classes; take --by disagreement"),
        (["--budget", "0", "-o", "other.csv"], "--budget: must be at least 1"),
    ):
        assert treadle(*label, *wrong) == 2
        assert said in capsys.readouterr().err


def read_table(run):
    """Rows as the table has them, without the label."""
    examples = pl.read_parquet(run / "examples" / "test.parquet").head(300)
    return examples.select(
        name for name in examples.columns if not name.startswith("_") and name not in ("row", "label")
    )
