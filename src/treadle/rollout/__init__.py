"""A challenger in use, against the champion: evidence by day, looked at as often as one likes, and the decision."""
