"""How far a number may be believed; the browser draws the same judgement (live.js) as it ages."""

from enum import StrEnum
from typing import Final

LIVE_WITHIN: Final = 2.0  # seconds
STALE_AFTER: Final = 5.0  # seconds


class Trust(StrEnum):
    LIVE = "live"
    QUIET = "quiet"  # no trade of this instrument, but prices of others come in
    LATE = "late"
    STALE = "stale"  # the feed itself is silent: the number is not to be acted on
    CLOSED = "closed"
    UNKNOWN = "unknown"  # never heard


def judge(*, price_age: float | None, heard_age: float | None, is_open: bool) -> Trust:
    """Judge one price: its own age, the age of the newest price of any instrument, the session."""
    if price_age is None:
        return Trust.UNKNOWN
    if not is_open:
        return Trust.CLOSED
    if heard_age is None or heard_age > STALE_AFTER:
        return Trust.STALE
    if heard_age > LIVE_WITHIN:
        return Trust.LATE
    return Trust.LIVE if price_age <= LIVE_WITHIN else Trust.QUIET
