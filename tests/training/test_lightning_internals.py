"""What is used of Lightning beyond its documented interface."""

import pickle
import warnings

import pytorch_lightning as lightning

from treadle.training.lightning_internals import spawn_silently


def test_a_spawned_process_is_as_silent_as_the_one_that_spawns_it():
    """It begins with filters of its own, and unpickles the Trainer."""
    trainer = lightning.Trainer(logger=False, enable_checkpointing=False, accelerator="cpu", devices=1)
    spawn_silently(trainer)
    carried = pickle.dumps(trainer)

    with warnings.catch_warnings(record=True) as told:
        warnings.simplefilter("always")
        pickle.loads(carried)  # noqa: S301 - our own
        warnings.warn("Checkpoint directory runs/x exists and is not empty.", stacklevel=1)
        warnings.warn("Something else.", stacklevel=1)

    assert [str(one.message) for one in told] == ["Something else."]
