"""A small shop, whose orders are late more often when they are large, and a log of its predictions."""

import hashlib
import json
from datetime import datetime, timedelta

import numpy as np
import polars as pl
from sklearn.metrics import log_loss

from runs import treadle
from treadle.monitoring.settings import Settings
from treadle.profiles.realised import relate_to_prior

START = datetime(2024, 1, 1)  # noqa: DTZ001 - times are in UTC without a zone
ROWS = 200  # of a week
WEEK = 7 * 24 * 60  # minutes
NAMES = ["amount", "size", "country"]
MISTAKE = 2  # exit code
CARD = b'{"a": "bundle"}'
DIGEST = hashlib.sha256(CARD).hexdigest()


USUAL = Settings(false_alarms=0.05, min_share=0.95, season=False, min_effect=0.0, ignore=frozenset(), last=None)


def make_orders(*, first, weeks, seed):
    """Orders with the chance that they are late, which is the prediction as well."""
    generator = np.random.default_rng(seed)
    num = weeks * ROWS
    minutes = (first * WEEK + np.arange(num) * WEEK / ROWS).tolist()
    amount = generator.normal(50, 10, num).round(2)
    chance = 1 / (1 + np.exp(-(amount - 55) / 5))
    return pl.DataFrame(
        {
            "id": [f"order-{first * ROWS + place}" for place in range(num)],
            "time": [START + timedelta(minutes=minute) for minute in minutes],
            "bundle": DIGEST[:12],
            "amount": amount,
            "size": (amount / 10).round(0).astype(int),
            "country": generator.choice(["at", "ch", "de"], num, p=[0.1, 0.2, 0.7]),
            "probability": chance,
            "late": (generator.uniform(size=num) < chance).astype(int),
        }
    )


def measure_shares(orders):
    """The loss of each week as a share of its prior's."""
    return {
        str(week): relate_to_prior(log_loss(part["late"], part["probability"]), part["late"], task="binary")
        for week, part in enumerate(orders.iter_slices(ROWS))
    }


def spoil(log, week, **columns):
    file = log / f"{week}.parquet"
    pl.read_parquet(file).with_columns(**columns).write_parquet(file)


def monitor(made, log, *options):
    return treadle("monitor", str(made), "--log", str(log), "--no-effect", *options)


def read_findings(made, log, capsys, *options):
    code = monitor(made, log, "--format", "json", *options)
    return code, json.loads(capsys.readouterr().out)
