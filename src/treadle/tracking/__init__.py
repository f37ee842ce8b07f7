"""The record of a run with a tracker, beside the plain files of its folder: one module for each vendor."""

from treadle.tracking.membership import Membership, write_setting
from treadle.tracking.wandb import SCRATCH, Tracking, is_asked_for_another, track

__all__ = ["SCRATCH", "Membership", "Tracking", "is_asked_for_another", "track", "write_setting"]
