"""What stands for Ctrl-C in the tests of the studies."""


class StopsAfter:
    """Stands for a signal that arrives during the n-th step."""

    def __init__(self, steps):
        self.left = steps

    def now(self):
        self.left -= 1
        return self.left < 1
