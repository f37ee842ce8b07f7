"""The record of a run with a tracker, beside the plain files of its folder: one module for each vendor."""

from treadle.tracking.membership import Membership, write_setting
from treadle.tracking.open import is_asked_for_another, locate_record, open_record
from treadle.tracking.record import Record, Recorded, explain_missing
from treadle.tracking.wandb import SCRATCH
from treadle.tracking.wandb_account import Account, find_account, reporting_errors

__all__ = [
    "SCRATCH",
    "Account",
    "Membership",
    "Record",
    "Recorded",
    "explain_missing",
    "find_account",
    "is_asked_for_another",
    "locate_record",
    "open_record",
    "reporting_errors",
    "write_setting",
]
