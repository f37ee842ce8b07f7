"""`_target_` nodes: what they may name, what they take, and how the object is built."""
