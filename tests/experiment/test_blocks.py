"""The blocks that `auto` stands for: rows of one block and of another have nothing in common."""

import pytest

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

    assert settle_blocks("auto", data) == expected
    assert settle_blocks("row", data) == "row"
