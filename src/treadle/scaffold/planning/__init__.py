"""Deciding what a new project declares of its table: roles, target, split."""
