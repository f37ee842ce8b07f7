"""Files of tensors: whole or not at all."""

import resource
from contextlib import contextmanager

import pytest
import torch

from treadle.tensor_files import save_whole


@contextmanager
def limit_size(size):
    """As on a disk that is full after so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.mark.parametrize("size", [100, 50_000, 399_000])
def test_a_full_disk_is_the_systems_error_and_leaves_the_file_of_before(tmp_path, size):
    """Wherever in torch's archive the disk is full."""
    file = tmp_path / "last.ckpt"
    save_whole({"weight": torch.zeros(3)}, file)
    before = file.read_bytes()

    with limit_size(size), pytest.raises(OSError, match="File too large") as raised:
        save_whole({"weight": torch.zeros(100_000)}, file)

    assert raised.value.filename == str(file)
    assert file.read_bytes() == before
    assert [path.name for path in tmp_path.iterdir()] == ["last.ckpt"]
