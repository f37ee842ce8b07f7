"""Monitoring: whether later rows differ from the reference, and whether the model still predicts well."""
