"""Batches of an epoch as training cuts them, at a moment that the test names."""

from types import SimpleNamespace

import torch

from treadle.training.loader import Batching


def make_batching(*, batch_size=16, seed=0, epoch=0, rank=0, num_processes=1, **others):
    limits = {"sampling": "shuffle", "max_batches": None, "max_steps": None, **others}
    clock = SimpleNamespace(current_epoch=epoch, global_rank=rank, device=torch.device("cpu"))
    return Batching(batch_size=batch_size, shuffle_seed=seed, num_processes=num_processes, clock=clock, **limits)
