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
CONNECTIONS = 2  # a user, on each of the two feeds; the Plus plan has five
KEYS = 500  # in one REST call
GREEK_KEYS = 50

Window = tuple[float, int]  # seconds, calls
STANDARD: tuple[Window, ...] = ((1.0, 50), (60.0, 500), (1800.0, 2000))

# Orders one by one and many at once count together; many at once have a stricter limit besides.
ORDERS: tuple[Window, ...] = ((1.0, 10), (60.0, 500), (1800.0, 2000))
BASKETS: tuple[Window, ...] = ((1.0, 4), (60.0, 40), (1800.0, 160))
ORDERS_OF = frozenset(
    f"/v{version}/order/{what}" for version in (2, 3) for what in ("place", "modify", "cancel")
)
BASKETS_OF = frozenset(
    ("/v2/order/multi/place", "/v2/order/multi/cancel", "/v2/order/positions/exit")
)


def room(mode: Mode, used: Mapping[Mode, int]) -> int:
    """Return how many more instruments fit in `mode`, given how many each mode holds."""
    others = any(count for other, count in used.items() if other is not mode)
    cap = (TOGETHER if others else ALONE)[mode]
    return max(0, cap - used.get(mode, 0))


class RateLimiter:
    """Sliding windows for each user and path, counted in real seconds.

    `windows` are those of a path that writes no orders; without any there is no limit at all.
    """

    def __init__(self, windows: tuple[Window, ...] = STANDARD) -> None:
        self._windows = windows
        self._calls: dict[tuple[str, str], deque[float]] = {}

    def allow(self, user: str, path: str, now: float) -> bool:
        """Count this call and say whether it is within all windows; a refused one is free."""
        if not self._windows:
            return True
        counted = [
            (self._calls.setdefault((user, group), deque()), windows)
            for group, windows in self._groups(path)
        ]
        if not all(_room_for_one(calls, windows, now) for calls, windows in counted):
            return False
        for calls, _ in counted:
            calls.append(now)
        return True

    def _groups(self, path: str) -> list[tuple[str, tuple[Window, ...]]]:
        """Return under which names a call counts, and the windows of each."""
        if path in ORDERS_OF:
            return [("orders", ORDERS)]
        if path in BASKETS_OF:
            return [("orders", ORDERS), (path, BASKETS)]
        return [(path, self._windows)]


def _room_for_one(calls: deque[float], windows: tuple[Window, ...], now: float) -> bool:
    longest = max(seconds for seconds, _ in windows)
    while calls and calls[0] <= now - longest:
        calls.popleft()
    return all(_within(calls, now - seconds) < most for seconds, most in windows)


def _within(calls: deque[float], since: float) -> int:
    count = 0
    for at in reversed(calls):
        if at <= since:
            break
        count += 1
    return count
