"""Finished runs: their results, compared side by side, and the difference between any two."""
