"""Reading a table without declared types: dialect, encoding, types, missing values."""
