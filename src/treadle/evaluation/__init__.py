"""The verdict: the model beside its baselines, on the split that nothing else has read."""
