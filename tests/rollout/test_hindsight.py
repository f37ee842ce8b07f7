"""What the champion before would have answered: judged on the rows that the log has whole, or not at all."""

from datetime import UTC, timedelta

import numpy as np
import polars as pl
import pytest

from shadow_logs import BEGIN, CHAMPION, draw
from treadle.bundle.card import Card
from treadle.monitoring.labels import store_labels
from treadle.rollout.evidence import UnreadableError
from treadle.rollout.hindsight import look_back
from treadle.serving.log import PredictionLog, Record

CARD = Card.model_construct(task="binary", classes=[])


@pytest.fixture
def answered(tmp_path):
    """Thirty days of the champion, which the one before would have answered better, by the column `x`."""
    day, label, (ours, theirs) = draw(0, days=30, rows=60, error=0.1)
    ids = [str(row) for row in range(len(day))]
    times = pl.Series([BEGIN + timedelta(days=int(each)) for each in day], dtype=pl.Datetime("us"))
    rows = pl.DataFrame({"id": ids, "time": times, "bundle": CHAMPION, "probability": ours, "x": theirs})
    (tmp_path / "log").mkdir()
    rows.write_parquet(tmp_path / "log" / "own.parquet")
    pl.DataFrame({"id": ids, "label": label.astype(np.int64)}).write_parquet(tmp_path / "labels.parquet")
    store_labels(
        tmp_path / "labels.parquet", log=tmp_path / "log", by=["id"], label="label", empty="awaited", now=BEGIN
    )
    return rows


def judge(folder, *, column="x"):
    return look_back(
        folder / "log",
        champion=CHAMPION,
        card=CARD,
        since=BEGIN,
        now=BEGIN + timedelta(days=90),
        alpha=0.05,
        min_share=0.95,
        before=lambda rows: rows.select(pl.col(column).fill_null(0.5).alias("probability")),
        columns=[column],
    )


def test_an_input_that_is_called_like_a_column_of_the_log_is_judged(tmp_path):
    """`key` is the canary's, and an input of that name is recorded apart, with a canary or without."""
    day, label, (ours, theirs) = draw(0, days=30, rows=60, error=0.1)
    outputs, types = {"probability": pl.Float64()}, {"key": pl.Float64()}
    forever = timedelta(days=999)
    log = PredictionLog(
        tmp_path / "log", types=types, kept=["key"], outputs=outputs, share=1.0, roll=forever, keyed=False
    )
    for row, (own, other) in enumerate(zip(ours, theirs, strict=True)):
        time = BEGIN + timedelta(days=int(day[row]))
        log.add(Record(str(row), time, CHAMPION, 1.0, (float(other),), {"probability": float(own)}))
    log.close(now=BEGIN.replace(tzinfo=UTC))
    file = tmp_path / "labels.parquet"
    pl.DataFrame({"id": [str(row) for row in range(len(day))], "label": label.astype(np.int64)}).write_parquet(file)
    store_labels(file, log=tmp_path / "log", by=["id"], label="label", empty="awaited", now=BEGIN)

    found = judge(tmp_path, column="key")

    assert (len(found.days), found.is_better) == (30, True)


def test_the_champion_before_is_judged_by_what_the_log_has_of_the_present_one(answered, tmp_path):
    found = judge(tmp_path)

    assert (len(found.days), found.is_better) == (30, True)


def test_a_column_that_only_rows_of_another_bundle_have_is_not_recorded(answered, tmp_path):
    earlier = answered.with_columns(bundle=pl.lit("b" * 64), id="b" + pl.col("id"))
    earlier.write_parquet(tmp_path / "log" / "earlier.parquet")
    answered.drop("x").write_parquet(tmp_path / "log" / "own.parquet")

    assert judge(tmp_path) is None


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"PAR1", "cannot read .*: parquet: "), (None, "has no column 'id': its files are none that `treadle serve`")],
    ids=["damaged", "of others"],
)
def test_files_that_are_no_log_are_told(tmp_path, content, message):
    file = tmp_path / "log" / "strange.parquet"
    file.parent.mkdir()
    if content is None:
        pl.DataFrame({"x": [1.0]}).write_parquet(file)
    else:
        file.write_bytes(content)

    with pytest.raises(UnreadableError, match=message):
        judge(tmp_path)


def test_without_a_log_or_labels_nothing_is_judged(answered, tmp_path):
    (labels,) = (tmp_path / "log" / "labels").iterdir()
    labels.unlink()

    assert judge(tmp_path) is None
    (tmp_path / "log" / "own.parquet").unlink()
    assert judge(tmp_path) is None
