"""Architectures, one a file, as plain PyTorch modules."""
