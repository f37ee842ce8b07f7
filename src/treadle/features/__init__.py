"""Numbers: row-wise expressions, then transforms that learn from the training split."""
