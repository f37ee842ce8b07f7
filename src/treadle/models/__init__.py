"""Architectures: one file each, plain modules of PyTorch."""
