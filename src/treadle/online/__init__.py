"""The past online: events enter a state as they become known, and `asof` and `history` are answered from it."""
