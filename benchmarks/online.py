"""What a server takes for rows that come without their past, and for events: compiled programs beside Polars.

    python benchmarks/online.py RUN [--day 2013-12-10] [--rows 300]

RUN looks at the past (`experiment=flights`). The events of the week before the day are taken, then rows of the day are
completed and predicted one by one, and events prepared one by one. Printed are CPU milliseconds by program and by
Polars, and their ratio; the answers must be equal.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

import treadle
from treadle.online.feeds import Online
from treadle.serving.answering import Answerer
from treadle.serving.event_program import compile_events

BY_POLARS = 20  # rows and events that go through Polars: it takes long


def measure(function: Callable[[Any], object], items: list[Any]) -> float:
    """CPU milliseconds an item."""
    start = time.process_time()
    for item in items:
        function(item)
    return (time.process_time() - start) / len(items) * 1e3


def read_events(path: str, *, since: datetime, until: datetime) -> list[dict[str, Any]]:
    """The rows of a table of an hour, from one day until another, as JSON has them."""
    day = pl.col("time_hour").cast(pl.String).str.slice(0, 10)
    rows = pl.read_parquet(path).filter(day >= f"{since:%F}", day < f"{until:%F}")
    found: list[dict[str, Any]] = json.loads(rows.write_json())
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--day", type=datetime.fromisoformat, default=datetime(2013, 12, 10))  # noqa: DTZ001
    parser.add_argument("--rows", type=int, default=300)
    options = parser.parse_args()
    bundle = treadle.load(options.run)
    data = bundle.recipe.data
    files = {name: table.path for name, table in data.tables.items()}
    with tempfile.TemporaryDirectory() as scratch:
        day: datetime = options.day
        online = Online(data, files=files, log=None, root=Path.cwd(), now=day, scratch=Path(scratch))
        figures = {}
        for table in online.state.feeds:
            events = read_events(files[table], since=day - timedelta(days=7), until=day)
            online.add(table, [events], now=day)
            by_polars = measure(lambda event, table=table: online.prepare(table, [event]), events[:BY_POLARS])
            reasons = compile_events(online)
            assert table not in reasons, reasons
            program = measure(lambda event, table=table: online.programs[table]([event]), events[: options.rows])
            figures[f"an event of {table}"] = program, by_polars
        late = {name for name, column in online.row_columns.items() if column.known_after_prediction}
        asked = read_events(files[data.examples.table], since=day, until=day + timedelta(days=1))[: options.rows]
        rows = [{name: value for name, value in row.items() if name not in late} for row in asked]
        answerer = Answerer(bundle, online=online)
        assert not answerer.reason, answerer.reason
        answers: dict[str, list[object]] = {"program": [], "Polars": []}
        by_program = measure(lambda row: answers["program"].extend(answerer.ask([row], moments=[day])), rows)
        assert answerer.scorer.num_by_polars == 0
        answerer.program = None
        by_polars = measure(lambda row: answers["Polars"].extend(answerer.ask([row], moments=[day])), rows[:BY_POLARS])
        assert answers["program"][:BY_POLARS] == answers["Polars"]
        figures["a row, with its prediction"] = by_program, by_polars
    print(f"{'CPU ms':<28}{'program':>10}{'Polars':>10}{'ratio':>8}")
    for name, (program, by_polars) in figures.items():
        print(f"{name:<28}{program:>10.3f}{by_polars:>10.1f}{by_polars / program:>8.0f}")


if __name__ == "__main__":
    main()
