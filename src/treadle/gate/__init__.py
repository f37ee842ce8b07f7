"""The gate: whether a run may become champion, by its checks and beside the champion on the same test rows."""
