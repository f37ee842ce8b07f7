"""Two days of the flights as events, the files of their tables, and a bundle that looks back."""

import polars as pl

from served import ROOT, fit_bundle
from treadle.check.resolve import resolve
from treadle.data.prepare import build_examples
from treadle.schema import LABEL, PREDICT_AT, ROW


def make_days(folder):
    """The declarations, the rows of each table, and the files."""
    data = resolve(overrides=[], root=ROOT).experiment.data
    tables, events, files = {}, {}, {}
    for name, spec in data.tables.items():
        rows = pl.read_parquet(ROOT / spec.path)
        if "month" in rows.columns:
            rows = rows.filter(pl.col("month") == 6, pl.col("day").is_between(2, 3))
        files[name] = str(folder / f"{name}.parquet")
        rows.write_parquet(files[name])
        tables[name] = spec.model_copy(update={"path": files[name]})
        events[name] = rows.to_dicts()
    split = {"by": "random", "valid": 0.2, "test": 0.2, "seed": 0}
    changed = data.model_copy(update={"tables": tables})
    changed = type(data).model_validate({**changed.model_dump(), "split": split})
    return changed, events, files


def make_offline(data, *, now, scratch):
    """The examples that `prepare` makes, in the order of their moments."""
    made = build_examples(data, root=ROOT, now=now, scratch=scratch)
    return pl.concat([made.take(split) for split in made.rows]).sort(PREDICT_AT, ROW)


def make_flights_bundle(data, examples):
    """A network for the flights, which is not trained."""
    experiment = resolve(overrides=["experiment=flights", "model=mlp"], root=ROOT).experiment
    experiment = experiment.model_copy(update={"data": data})
    rows = examples.drop(LABEL, ROW, PREDICT_AT, strict=False)
    return fit_bundle(experiment, rows, experiment.features)
