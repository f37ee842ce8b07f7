"""How a log is judged where nothing else is asked for."""

FALSE_ALARMS = 0.05  # share of normal blocks that may alarm, of all columns together
MIN_LABELS = 0.95  # share of a day's labels that must be there for it to count
