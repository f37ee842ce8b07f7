"""Profiles: how often the values of each column, and of pairs of columns, fall into fixed cells, block by block."""
