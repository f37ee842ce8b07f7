"""Evaluation: metrics of the model and its baselines on the test split, which no other stage reads."""
