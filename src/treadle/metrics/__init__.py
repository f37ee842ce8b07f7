"""The metrics of each task: their names, and how they are computed."""
