"""Choice of a model by its predicted training time (`model=auto`)."""
