"""Mistakes in code of the user that a library reports."""

import operator

import pytest
import torch

from treadle.errors import TreadleError
from treadle.learners.build import reporting_mistakes


@pytest.mark.slow
def test_an_error_in_a_spawned_process_is_told_by_its_last_line():
    with (
        pytest.raises(TreadleError, match="a process of the training failed: ZeroDivisionError: division by zero"),
        reporting_mistakes(),
    ):
        torch.multiprocessing.spawn(operator.truediv, args=(0,), nprocs=1)
