"""Learning: one learner for every task, over rows that lie in memory."""
