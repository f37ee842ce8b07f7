"""What is handed over with a model: its card, and its bill of materials."""
