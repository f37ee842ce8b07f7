"""Training: one learner for every task, over rows in memory or on disk."""
