"""What every feature is computed from, back to the columns of the files."""
