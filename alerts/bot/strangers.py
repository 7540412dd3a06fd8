"""Strangers get silence; the owner gets a line about each of them, at most one an hour."""

from collections import OrderedDict
from typing import Final

HOUR: Final = 3_600.0  # seconds
MOST: Final = 10  # lines an hour about all strangers together: a crowd is no reason for a storm


class Strangers:
    """Remembers when the owner was told of whom; times are monotonic seconds."""

    def __init__(self) -> None:
        self._told: OrderedDict[int, float] = OrderedDict()
        self.heard = 0  # messages and presses of strangers since the start

    def is_news(self, user: int, now: float) -> bool:
        """Return whether the owner has to be told of this stranger now."""
        self.heard += 1
        while self._told and now - next(iter(self._told.values())) >= HOUR:
            self._told.popitem(last=False)
        if user in self._told or len(self._told) >= MOST:
            return False
        self._told[user] = now
        return True
