"""Finished runs: what they say, side by side, and what differs between any two."""
