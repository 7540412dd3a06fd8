"""The broker's limits: how many instruments a connection may hold, how many calls a second."""

from collections import deque
from collections.abc import Mapping
from enum import StrEnum


class Mode(StrEnum):
    """How much of an instrument a subscription asks for, in the broker's words."""

    LTPC = "ltpc"
    OPTION_GREEKS = "option_greeks"
    FULL = "full"
    FULL_D30 = "full_d30"


ALONE = {Mode.LTPC: 5000, Mode.OPTION_GREEKS: 3000, Mode.FULL: 2000, Mode.FULL_D30: 50}
# The documentation gives full_d30 1500 beside other modes though 50 alone; taken literally here.
TOGETHER = {Mode.LTPC: 2000, Mode.OPTION_GREEKS: 2000, Mode.FULL: 1500, Mode.FULL_D30: 1500}
CONNECTIONS = 2  # a user, on both feeds alike; the Plus plan has five
KEYS = 500  # in one REST call
GREEK_KEYS = 50

Window = tuple[float, int]  # seconds, calls
STANDARD: tuple[Window, ...] = ((1.0, 50), (60.0, 500), (1800.0, 2000))


def room(mode: Mode, used: Mapping[Mode, int]) -> int:
    """Return how many more instruments fit in `mode`, given how many each mode holds."""
    others = any(count for other, count in used.items() if other is not mode)
    cap = (TOGETHER if others else ALONE)[mode]
    return max(0, cap - used.get(mode, 0))


class RateLimiter:
    """Sliding windows for each user and path, counted in real seconds."""

    def __init__(self, windows: tuple[Window, ...] = STANDARD) -> None:
        self._windows = windows
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def allow(self, user: str, path: str, now: float) -> bool:
        """Count this call and say whether it is within all windows; a refused one is free."""
        if not self._windows:
            return True
        calls = self._calls.setdefault((user, path), deque())
        longest = max(seconds for seconds, _ in self._windows)
        while calls and calls[0] <= now - longest:
            calls.popleft()
        if any(_within(calls, now - seconds) >= most for seconds, most in self._windows):
            return False
        calls.append(now)
        return True


def _within(calls: deque[float], since: float) -> int:
    count = 0
    for at in reversed(calls):
        if at <= since:
            break
        count += 1
    return count
