"""The rule that chooses a model by the time that its training takes (`model=auto`)."""
