"""Replay: models trained at moments of the past, judged in each later block, and policies that would have used them."""

FOLDER = "replays"  # of a project: what was predicted and found, by the name of the sweep that trains the models
