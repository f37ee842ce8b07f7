"""The meaning of a key, how it got its value, and which stages read it."""
