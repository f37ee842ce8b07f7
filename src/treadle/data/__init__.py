"""Data: tables and their contracts, point-in-time correct examples, and splits."""
