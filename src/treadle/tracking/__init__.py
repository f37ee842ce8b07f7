"""The record of a run with a tracker, beside the plain files of its folder: one module for each vendor."""

from treadle.tracking.wandb import SCRATCH, Tracking, track

__all__ = ["SCRATCH", "Tracking", "track"]
