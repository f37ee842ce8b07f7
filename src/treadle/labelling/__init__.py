"""Labelling: the rows whose labels would teach most, chosen among rows without one."""
