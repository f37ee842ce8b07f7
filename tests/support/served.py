"""Bundles for the tests of serving: real rows, features fitted to them, and a network that is not trained."""

import socket
import threading
import time
from contextlib import contextmanager
from functools import cache
from pathlib import Path

import httpx
import polars as pl
import torch
import uvicorn

from treadle.bundle import TARGETS, Bundle, Card, Recipe, Standard, build_model, fingerprint_code, save
from treadle.bundle.conform import conform_rows
from treadle.check.resolve import resolve
from treadle.config.serving import read_serving
from treadle.experiment.spec import Block
from treadle.features.featurizer import Featurizer
from treadle.serving.app import Application
from treadle.serving.service import Service, Source

_IDS = {"ids": {"_target_": "treadle.features.categories.Hashing", "num_buckets": 50}}
ROOT = Path(__file__).parents[2]


@cache
def read_known(name):
    """The columns that an example knows, as the table's contract reads them: those of `name`'s only table."""
    data = _resolve(name).data
    table = data.tables[data.examples.table]
    raw = pl.read_parquet(ROOT / table.path)
    return conform_rows(raw, {column: table.columns[column] for column in data.examples.known})


def make_bundle(name, *, num_rows=3_000, model="mlp", derive=None, steps=_IDS, classes=()):
    """The bundle of a shipped experiment of one table; `derive` are further columns, with their steps."""
    experiment = _resolve(name, model)
    rows = read_known(name).head(num_rows)
    spec = experiment.features
    if derive is not None:
        blocks = {"derived": Block.model_validate({"columns": list(derive), "steps": steps}), **spec.blocks}
        spec = spec.model_copy(update={"derive": derive, "blocks": blocks})
    return fit_bundle(experiment, rows, spec, classes=classes)


def fit_bundle(experiment, rows, spec, *, classes=()):
    """The bundle of an experiment, whose features are fitted to these rows."""
    featurizer = Featurizer(spec, targets=TARGETS)
    featurizer.fit(rows)
    torch.manual_seed(0)
    network = build_model(
        experiment.network,
        targets=TARGETS,
        num_numeric=len(featurizer.numeric_names),
        cardinalities=featurizer.cardinalities,
        num_classes=len(classes),
        texts=featurizer.texts,
        images=featurizer.images,
    ).eval()
    recipe = Recipe.take(experiment).model_copy(update={"features": spec})
    types = {column: str(dtype) for column, dtype in rows.schema.items()}
    target = Standard(mean=2.0, scale=1.5) if experiment.data.task == "regression" else Standard(mean=0.0, scale=1.0)
    card = Card(
        task=experiment.data.answer, classes=list(classes), columns=types, target=target, code=fingerprint_code(recipe)
    )
    return Bundle(card, recipe, featurizer, network)


def save_run(bundle, folder):
    """The folder of a run that holds the bundle."""
    save(bundle, folder / "bundle")
    return folder


@contextmanager
def open_client(reference, *overrides, token=None, root=ROOT):
    """A client of a server in a thread, on a port of its own; its `application` is the server's."""
    serving = read_serving(overrides, root=ROOT)

    def make_service(count):
        return Service(Source(str(reference), root), serving, count_waiting=count)

    application = Application(make_service, token=token)
    listening = socket.create_server(("127.0.0.1", 0))
    server = uvicorn.Server(uvicorn.Config(application.starlette, log_level="warning", access_log=False))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
    thread.start()
    try:
        while not server.started:
            time.sleep(0.01)
            assert thread.is_alive()
        with httpx.Client(base_url=f"http://127.0.0.1:{listening.getsockname()[1]}", timeout=60) as client:
            client.application = application
            yield client
    finally:
        server.should_exit = True
        thread.join()


@cache
def _resolve(name, model=None):
    chosen = [] if model is None else [f"model={model}"]
    return resolve(overrides=[f"experiment={name}", *chosen], root=ROOT).experiment
