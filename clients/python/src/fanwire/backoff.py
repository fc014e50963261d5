"""How long to wait before connecting again."""
import random


class Backoff:
    """Doubles from `first` to `longest` seconds, each time less a random half."""

    def __init__(self, first, longest):
        self._first = first
        self._longest = longest
        self._failures = 0

    def next(self, progress):
        """Returns the seconds to wait.  progress: the last connection was of use."""
        self._failures = 0 if progress else self._failures + 1
        return (min(self._longest, self._first * 2 ** min(self._failures, 30)) *
                random.uniform(0.5, 1))


class FullJitter:
    """Any time up to `first` seconds, whose bound doubles with each failure up to `longest`.

    Many clients that lose one worker at the same time so come back spread over the whole time.
    """

    def __init__(self, first, longest):
        self._first = first
        self._longest = longest
        self._failures = 0

    def next(self):
        """Returns the seconds to wait after one more failure."""
        bound = min(self._longest, self._first * 2 ** min(self._failures, 30))
        self._failures += 1
        return random.uniform(0, bound)

    def reset(self):
        self._failures = 0
