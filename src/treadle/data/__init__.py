"""Rows: tables, their contract, examples that know only their past, and splits."""
