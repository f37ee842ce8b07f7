"""A panel of two shops, day by day, and an experiment that forecasts their sales: small, with every kind of column."""

from datetime import datetime, timedelta

import polars as pl

from own_tables import describe_experiment, describe_features, make_own_project

START = datetime(2024, 1, 1)  # noqa: DTZ001 - a Monday; tables are in UTC without a zone
HORIZON, DAYS = 7, 140
TEST_FROM = START + timedelta(days=105)

DATA = """\
task: forecast
tables:
  sales:
    path: sales.parquet
    key: [shop, day]
    columns:
      shop: {dtype: str}
      day: {dtype: datetime}
      open: {dtype: bool, nullable: true}
      sold: {dtype: float, known_after_prediction: true, nullable: true}
    derive:
      weekday: EXTRACT(DOW FROM day)
forecast:
  time: day
  series: [shop]
  frequency: 1d
  horizon: 7
  every: 1d
  derive: {origin_weekday: EXTRACT(DOW FROM day - step * INTERVAL '1 day')}
examples:
  table: sales
  known: [weekday, open]
  exclude: {not sold: sold IS NULL}
  asof:
    last: {table: sales, by: {shop: shop}, within: 7d, columns: {last_sold: sold}}
    week: {table: sales, by: {shop: shop, weekday: weekday}, within: 30d, columns: {week_before: sold}}
  history:
    month: {table: sales, by: {shop: shop}, window: 28d, columns: {mean_month: AVG(sold)}}
    origin: {table: sales, by: {shop: shop, origin_weekday: weekday}, window: 28d, columns: {usual: AVG(sold)}}
  label: sold
split: {by: time, valid_from: "2024-03-18", test_from: "2024-04-15", gap: 7d}
"""
NUMBERS = ["last_sold", "week_before", "mean_month", "usual", "step"]
FILES = {
    "data": DATA,
    "features": describe_features(numbers=NUMBERS, categories=["shop", "weekday"]),
    "experiment": describe_experiment(
        "sales",
        question="How much will each shop sell on each of the next seven days?",
        evaluation="forecast",
        schedule={"max_epochs": 4},
        baselines=["prior"],
        naive={"by": ["shop"], "delay": "0h", "season": "1w"},
    ),
}


def sell(shop, day):
    """A level, a rise, a week, and something that looks like chance."""
    level = {"east": 100.0, "west": 1000.0}[shop]
    return level * (1 + 0.002 * day + 0.3 * (day % 7 in {5, 6}) + 0.05 * ((day * 7919 + len(shop)) % 11 - 5) / 5)


def make_sales():
    """140 days of two shops, in no order; a day of one of them is missing."""
    rows = [
        {"shop": shop, "day": START + timedelta(days=day), "open": day % 7 != 6, "sold": sell(shop, day)}
        for day in range(DAYS)
        for shop in ("west", "east")
        if (shop, day) != ("east", 50)
    ]
    return pl.DataFrame(rows).sample(fraction=1, shuffle=True, seed=0)


def make_forecast_project(folder):
    """A project in an empty folder."""
    make_own_project(folder, "sales", files=FILES, sales=make_sales())
