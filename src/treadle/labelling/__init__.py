"""Labelling: which rows without a label would teach most, and those of which a model is sure."""
