"""Rows and a bundle of a small network: the one of the run `exported`."""

import pytest
import torch

from served import make_bundle, read_known


@pytest.fixture(scope="package", autouse=True)
def _one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="package")
def rows():
    return read_known("adult").tail(100)


@pytest.fixture(scope="package")
def bundle():
    return make_bundle("adult", num_rows=500)
