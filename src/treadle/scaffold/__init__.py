"""A project from a table: what its columns are, what they can be used for, and the files that say so."""
