"""The experiment as data: its shape, its stages, and what identifies a run."""
