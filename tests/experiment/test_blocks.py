"""The blocks that `auto` stands for: rows of one block and of another have nothing in common."""

import polars as pl
import pytest

from treadle.data.blocks import rank_blocks
from treadle.experiment.blocks import settle_blocks
from treadle.experiment.spec import Data

TABLES = {"sales": {"path": "sales.parquet", "columns": {"day": {"dtype": "datetime"}, "sold": {"dtype": "int"}}}}
SPLIT = {"by": "time", "valid_from": "2024-03-01", "test_from": "2024-04-01", "gap": "60d"}


@pytest.mark.parametrize(
    ("frequency", "horizon", "expected"),
    [("1h", 24, "day"), ("1h", 25, "week"), ("1d", 7, "week"), ("1d", 8, "month"), ("7d", 8, "month")],
)
def test_forecasts_of_two_blocks_share_few_labels(frequency, horizon, expected):
    data = Data.model_validate(
        {
            "task": "forecast",
            "tables": TABLES,
            "forecast": {"time": "day", "frequency": frequency, "horizon": horizon, "every": frequency},
            "examples": {"table": "sales", "known": [], "label": "sold"},
            "split": SPLIT,
        }
    )

    assert settle_blocks("auto", data) == (expected, "period")
    assert settle_blocks("row", data) == ("row", "row")


@pytest.mark.parametrize("group", ["day", "month"])
def test_the_group_of_a_split_is_a_column_whatever_its_name(group):
    data = Data.model_validate(
        {
            "task": "regression",
            "tables": {"sales": {"path": "sales.csv", "columns": {group: {"dtype": "int"}, "sold": {"dtype": "int"}}}},
            "examples": {"table": "sales", "known": [group], "label": "sold"},
            "split": {"by": "group", "column": group, "valid": 0.2, "test": 0.2, "seed": 0},
        }
    )
    rows = pl.LazyFrame({group: [3, 1, 3, 2]})

    assert rank_blocks(rows, settle_blocks("auto", data)).tolist() == [2, 0, 2, 1]
