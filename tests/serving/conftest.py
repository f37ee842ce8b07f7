"""Served bundles: one of numbers and categories, in a folder as a run is."""

import orjson
import pytest

from served import make_bundle, open_client, read_known, save_run


@pytest.fixture(scope="package")
def run(tmp_path_factory):
    return save_run(make_bundle("adult"), tmp_path_factory.mktemp("runs") / "people-0a1b2c3d")


@pytest.fixture(scope="package")
def rows():
    """Rows as JSON holds them."""
    return [orjson.loads(orjson.dumps(row)) for row in read_known("adult").tail(200).to_dicts()]


@pytest.fixture(scope="package")
def client(run):
    with open_client(run) as opened:
        yield opened
