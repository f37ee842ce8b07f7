"""Checks of an evaluation, one file each: a function of what was evaluated that says whether something holds."""
