"""A challenger that a shadow starts instead of a bundle: its fault is in a module that the test writes."""


class Faulty:
    """`kind` says what it does."""

    def __init__(self, kind):
        self.kind = kind

    def run(self, connection):
        import faulty_challenger

        faulty_challenger.run(self.kind, connection)
