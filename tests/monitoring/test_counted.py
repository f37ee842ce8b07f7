"""`treadle profile` counts a log, part by part and by whatever engine, and `treadle monitor` judges the counts."""

import json
import re
import shutil
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from orders import DIGEST, MISTAKE, START, USUAL, make_orders, read_findings, spoil
from runs import treadle
from treadle.monitoring.counted import count_log, read_counted
from treadle.monitoring.log import open_log
from treadle.monitoring.monitor import Monitored, monitor, monitor_counts
from treadle.profiles.blocks import Blocking
from treadle.profiles.cells import fit_cells
from treadle.profiles.losses import fit_losses
from treadle.profiles.profile import count_rows
from treadle.profiles.reference import Performance, Reference, read_reference


@pytest.fixture
def counts(made, log, tmp_path):
    """Of three parts of a log, on three machines as it were: one holds parts of two weeks."""
    spoil(log, 2, country=pl.col("country").str.to_uppercase())
    folder = tmp_path / "counts"
    for name, weeks in {"a": (0,), "b": (1, 2), "c": (3,)}.items():
        part = tmp_path / name
        part.mkdir()
        for week in weeks:
            shutil.copy(log / f"{week}.parquet", part)
        assert treadle("profile", str(made), "--log", str(part), "-o", str(folder / f"{name}.parquet")) == 0
    return folder


@pytest.mark.slow
def test_counts_of_parts_are_judged_as_the_whole_log_is(made, log, counts, capsys):
    code, whole = read_findings(made, log, capsys)

    by_counts = treadle("monitor", str(made), "--profiles", str(counts), "--format", "json")

    found = json.loads(capsys.readouterr().out)
    assert by_counts == code == 1
    for ours, theirs in zip(found["blocks"], whole["blocks"], strict=True):
        assert (ours["strength"], ours["alarms"]) == (theirs["strength"], theirs["alarms"])
    assert "estimated from rows (--log)" in found["notes"][1]
    assert treadle("monitor", str(made), "--profiles", str(counts), "--last", "1", "--format", "json") == 0
    assert [block["block"] for block in json.loads(capsys.readouterr().out)["blocks"]] == ["2024-06-10"]


def test_a_column_that_one_part_lacks_is_missing_there(made, log, counts, tmp_path, capsys):
    capsys.readouterr()
    pl.read_parquet(log / "3.parquet").drop("country").write_parquet(tmp_path / "less.parquet")
    again = ["--log", str(tmp_path / "less.parquet"), "-o", str(counts / "c.parquet")]
    assert treadle("profile", str(made), *again) == 0
    assert capsys.readouterr().out.endswith("c.parquet  200 rows, 1 week, 3 columns\n")

    assert treadle("monitor", str(made), "--profiles", str(counts), "--format", "json") == 1

    blocks = json.loads(capsys.readouterr().out)["blocks"]
    assert [bool(block["alarms"]) for block in blocks] == [False, False, True, True]
    assert "missing: 0 % before, 100.0 % now" in {alarm["words"] for alarm in blocks[3]["alarms"]}
    assert treadle("monitor", str(made), "--profiles", str(counts), "--ignore", "country") == 0


def test_counts_of_another_model_or_reference_are_refused(made, log, counts, tmp_path, capsys):
    other = tmp_path / "other"
    shutil.copytree(made, other)
    reference = read_reference(made / "evaluation" / "reference")
    narrow = reference.keep(["amount", "country"])
    narrow.write(other / "evaluation" / "reference")
    (counts / "no.parquet").write_bytes(b"PAR1")
    pl.read_parquet(counts / "a.parquet").write_parquet(tmp_path / "old.parquet", metadata={"treadle": '{"format": 1}'})

    for run, path, words in [
        (other, counts / "a.parquet", "was counted in the cells of another reference"),
        (made, log / "0.parquet", "is no profile: `treadle profile` writes one"),
        (made, counts / "no.parquet", "cannot read"),
        (made, tmp_path / "old.parquet", "was counted by another version of Treadle; count its log again"),
        (made, tmp_path / "none", "no file or folder"),
    ]:
        assert treadle("monitor", str(run), "--profiles", str(path)) == MISTAKE
        assert re.search(words, capsys.readouterr().err)
    assert treadle("monitor", str(made), "--profiles", str(counts), "--min-effect", "0.1") == MISTAKE
    assert "--min-effect needs the bundle and the rows" in capsys.readouterr().err
    assert treadle("monitor", str(made), "--profiles", str(counts), "--time", "at") == MISTAKE
    assert "--time names a column of --log" in capsys.readouterr().err
    (other / "bundle" / "bundle.json").write_text("{}")
    assert treadle("monitor", str(other), "--profiles", str(counts / "a.parquet")) == MISTAKE
    assert f"was counted for the bundle {DIGEST[:12]}" in capsys.readouterr().err


def test_blocks_of_rows_do_not_add_up(made, log, tmp_path, capsys):
    reference = read_reference(made / "evaluation" / "reference")
    replace(reference, blocking=Blocking("rows", 200)).write(tmp_path / "rows")
    options = ["--log", str(log), "--reference", str(tmp_path / "rows"), "-o", str(tmp_path / "counts.parquet")]

    assert treadle("profile", str(made), *options) == MISTAKE

    assert "counts of parts add up where blocks have a time" in capsys.readouterr().err


@pytest.fixture
def costs(past):
    """The reference of a regression of the amount."""
    columns = tuple(fit_cells(past.lazy(), name, bins=8, top=10) for name in ("size", "country"))
    named = Blocking("week", 0).name_log(past.lazy(), time="time")
    rows = past.with_columns(prediction=pl.col("size") * 10.0)
    cells = fit_cells(rows.lazy(), "prediction", bins=8, top=0)
    errors = (rows["prediction"] - rows["amount"]).to_numpy()
    losses = fit_losses(rows, (*columns, cells), {"squared": errors**2, "absolute": np.abs(errors)})
    performance = Performance({}, 0.5, None, cells, losses)
    profile = count_rows(named, columns, num_paired=2)
    return Reference("regression", Blocking("week", 0), columns, {}, 2, profile, performance)


def find_both(costs, orders, folder):
    """What is found of the same rows, by themselves and by counts of them."""
    orders.write_parquet(folder / "log.parquet")
    log = open_log(folder / "log.parquet", reference=costs, time=None, digest=None)
    given = {
        "reference": costs,
        "settings": USUAL,
        "monitored": Monitored("costs", DIGEST, "log", START.replace(year=2025)),
    }
    count_log(log, reference=costs).write(folder / "counts.parquet", reference=costs, digest=DIGEST)
    counted = read_counted(folder / "counts.parquet", reference=costs, digest=DIGEST)
    return monitor(log, load=None, **given), monitor_counts(counted, **given)


def test_the_errors_of_a_regression_are_estimated_from_counts_as_from_rows(costs, tmp_path):
    orders = make_orders(first=20, weeks=4, seed=1).with_columns(prediction=pl.col("size") * 10.0)

    rows, counts = find_both(costs, orders, tmp_path)

    errors = (orders["prediction"] - orders["amount"]).abs()
    assert counts.blocks[0].estimated["mae"] == pytest.approx(errors.head(200).mean(), rel=0.1)
    assert [block.estimated for block in counts.blocks] == [block.estimated for block in rows.blocks]


def test_without_a_column_neither_rows_nor_counts_estimate_a_regression(costs, tmp_path):
    orders = make_orders(first=20, weeks=4, seed=1).with_columns(prediction=pl.col("size") * 10.0).drop("country")

    found = find_both(costs, orders, tmp_path)

    for each in found:
        assert each.absent == ["country"]
        assert not any(block.estimated for block in each.blocks)
        assert any(note.endswith("needs predictions and every column, and there is no country") for note in each.notes)
