"""Planning a new project: the target, the split, the role of each column, the schedule."""
