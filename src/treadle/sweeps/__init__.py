"""Sweeps: many runs of one experiment over a space of values, with a ledger that survives every fault."""

FILE = "sweep.yaml"  # in the folder of each
