"""Logs of a champion and of a challenger beside it, with labels."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from treadle.monitoring.labels import store_labels
from treadle.serving.log import SHADOW, PredictionLog, Record

BEGIN = datetime(2026, 1, 1)  # noqa: DTZ001 - a log is in UTC without a zone
CHAMPION, CHALLENGER = "a" * 64, "b" * 64


def open_log(folder, *, keyed=False):
    outputs = {"probability": pl.Float64()}
    return PredictionLog(folder, types={}, kept=[], outputs=outputs, share=1.0, roll=timedelta(days=999), keyed=keyed)


def write(folder, records, *, keyed=False):
    log = open_log(folder, keyed=keyed)
    for record in records:
        log.add(record)
    log.close(now=BEGIN.replace(tzinfo=UTC))


def draw(seed, *, days, rows, error):
    """Labels, and predictions of two models: the one is off by 1 on average, the other by `error`."""
    generator = np.random.default_rng(seed)
    day = np.repeat(np.arange(days), rows)
    truth = generator.normal(size=days * rows) + generator.normal(size=days)[day]
    label = generator.random(days * rows) < 1 / (1 + np.exp(-truth))
    models = [1 / (1 + np.exp(-(truth + size * generator.normal(size=days)[day]))) for size in (1.0, error)]
    return day, label, models


def write_shadow(folder, *, seed=0, days=40, rows=60, error=1.0, labelled=None, missing=(), known_at=None):
    day, label, models = draw(seed, days=days, rows=rows, error=error)
    times = [BEGIN + timedelta(days=int(each)) for each in day]
    for place, (digest, into) in enumerate(((CHAMPION, folder), (CHALLENGER, folder / SHADOW))):
        kept = (row for row in range(len(day)) if not place or row not in missing)
        write(into, [Record(str(r), times[r], digest, 1.0, (), {"probability": float(models[place][r])}) for r in kept])
    file = folder.parent / "labels.csv"
    known = range(len(day) if labelled is None else labelled)
    pl.DataFrame({"id": [str(r) for r in known], "label": label[list(known)].astype(int)}).write_csv(file)
    store_labels(file, log=folder, by=["id"], label="label", empty="awaited", now=known_at or BEGIN)
    return label, models
