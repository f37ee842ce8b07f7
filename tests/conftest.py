"""Real data, tiny where it can be: shared by all tests."""

import contextlib
import gc
import os
from collections import defaultdict
from datetime import datetime
from pathlib import Path

import hypothesis
import pytest
import yaml

from runs import make_project, run_quick

# Tests run side by side, one a core: the libraries' own threads would only get in each other's way.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# What tests write need not outlast a power cut: a quick run would wait for the disk as long as it computes.
os.fsync = lambda _: None

# Imports make objects that stay: looking for rubbish among them takes a fifth of the collection.
gc.disable()

# A busy machine is no mistake of the code.
hypothesis.settings.register_profile("any speed", deadline=None)
hypothesis.settings.load_profile("any speed")

ROOT = Path(__file__).parents[1]
NOW = datetime(2026, 1, 1)  # noqa: DTZ001 - tables are in UTC without a zone


# A mark that names how many cases of a table stay, and the mark of the others.
SAMPLES = {"sampled_cases": "exhaustive", "fast_cases": "slow"}


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Of a table of many cases, or of a module of costly tests, a sample stays; before the others are deselected."""
    for sample, other in SAMPLES.items():
        tables = defaultdict(list)
        for item in items:
            if any(item.get_closest_marker(name) for name in ("exhaustive", other)):
                continue
            for node, mark in item.iter_markers_with_node(sample):
                table = (item.parent.nodeid, item.originalname) if node is item else node.nodeid
                tables[table, mark.args[0]].append(item)
                break  # the closest one
        for (_, count), cases in tables.items():
            kept = {index * len(cases) // count for index in range(count)}
            for index, case in enumerate(cases):
                if index not in kept:
                    case.add_marker(getattr(pytest.mark, other))


def pytest_collection_finish():
    """The libraries stay: the collector need not look through them again and again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)  # libraries are imported by the tests, too
    gc.enable()


def read_conf(name):
    return yaml.safe_load((ROOT / "conf" / f"{name}.yaml").read_text())


@pytest.fixture(scope="session")
def root():
    return ROOT


@pytest.fixture(scope="session")
def flights_tables(tmp_path_factory):
    from treadle.data.tables import load_tables
    from treadle.experiment.spec import Data

    scratch = tmp_path_factory.mktemp("flights")
    loaded = load_tables(Data.model_validate(read_conf("data/flights")), root=ROOT, now=NOW, scratch=scratch)
    return {name: table.rows for name, table in loaded.items()}


@pytest.fixture
def one_thread():
    """Sums of two threads differ in the last bits from run to run."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A project of its own: conf/ copied, data linked; the current directory."""
    make_project(tmp_path)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def run_once(tmp_path_factory):
    """Runs a selection the first time that it is asked for; gives the folder `runs`, of which a test takes a copy."""
    done = {}

    def run(*overrides):
        if overrides not in done:
            folder = tmp_path_factory.mktemp("once")
            make_project(folder)
            with contextlib.chdir(folder):
                assert run_quick(*overrides) == 0
            done[overrides] = folder / "runs"
        return done[overrides]

    return run


@pytest.fixture(scope="session")
def exported(tmp_path_factory):
    """The folder of a run with a small network, a test split, and an ONNX export, which takes seconds."""
    from served import make_bundle, read_known, save_run
    from treadle.cli.main import main

    folder = save_run(make_bundle("adult", num_rows=500), tmp_path_factory.mktemp("runs") / "people-0a1b2c3d")
    (folder / "examples").mkdir()
    read_known("adult").tail(100).write_parquet(folder / "examples" / "test.parquet")
    assert main(["export", str(folder), "--to", "onnx"]) == 0
    return folder
