"""A batch on a Ray cluster: a local one of two workers, each a process of its own."""

import subprocess
import sys

import polars as pl
import pytest

from treadle.bundle.batch import PART_ROWS

pytest.importorskip("ray")
pytestmark = pytest.mark.slow

SOUND = {"age": 30, "capital-gain": 0, "hours-per-week": 40, "workclass": "a", "education": "x", "race": "p"}


@pytest.fixture(scope="module")
def rows(tmp_path_factory):
    """Four parts and some rows, of which some break the contract in each part."""
    file = tmp_path_factory.mktemp("rows") / "rows.parquet"
    position = pl.int_range(4 * PART_ROWS + 1000, eager=True)
    age = pl.select(pl.when(position % 50_000 == 7).then(-1).otherwise(position % 80)).to_series()
    pl.DataFrame({"row": position, **SOUND, "age": age}).write_parquet(file)
    return file


def predict(*words):
    """The command in a process of its own: Ray's own warnings are none of ours."""
    command = [sys.executable, "-m", "treadle", "predict", *map(str, words)]
    return subprocess.run(["taskset", "-c", "0,1", *command], capture_output=True, text=True, check=False)


def test_it_writes_the_bytes_of_one_process_and_the_same_rejects(tiny, rows, tmp_path):
    here, there = tmp_path / "here.parquet", tmp_path / "there.parquet"

    alone, spread = predict(tiny, rows, "-o", here), predict(tiny, rows, "-o", there, "--ray", "local")

    assert (alone.returncode, spread.returncode) == (3, 3), spread.stderr
    assert there.read_bytes() == here.read_bytes()
    rejected = [path.with_suffix(".rejected.parquet") for path in (here, there)]
    assert len(pl.read_parquet(rejected[0])) == 6
    assert rejected[0].read_bytes() == rejected[1].read_bytes()
    assert alone.stderr.replace("here", "there") in spread.stderr


def test_rows_that_cannot_be_read_end_the_batch_as_in_one_process(tiny, rows, tmp_path):
    file = tmp_path / "texts.csv"
    pl.read_parquet(rows).head(20).with_columns(age=pl.lit("old")).write_csv(file)

    alone, spread = (predict(tiny, file, "-o", tmp_path / "out.csv", *more) for more in ((), ("--ray", "local")))

    assert (alone.returncode, spread.returncode) == (2, 2), spread.stderr
    assert "'old'" in alone.stderr
    assert alone.stderr in spread.stderr
