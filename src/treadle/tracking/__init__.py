"""The record of a run with a tracker, beside the plain files of its folder: one module for each vendor."""

from treadle.tracking.membership import Membership, write_setting
from treadle.tracking.wandb import SCRATCH, Tracking, is_asked_for_another, track
from treadle.tracking.wandb_account import Account, find_account

__all__ = [
    "SCRATCH",
    "Account",
    "Membership",
    "Tracking",
    "find_account",
    "is_asked_for_another",
    "track",
    "write_setting",
]
