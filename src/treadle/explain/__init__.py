"""What a key means, how it came to its value, and who reads it."""
