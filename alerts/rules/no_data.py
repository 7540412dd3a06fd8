"""Instruments that the feed was asked for twice and never told anything of."""

from collections.abc import Iterator

from alerts.sight import Sight
from alerts.words import count
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True


def check(sight: Sight) -> Iterator[Finding]:
    missing = sight.market.stats.missing
    due = tuple(key for key in missing if sight.is_open(key))
    if not sight.market.due or not sight.market.connected or not due:
        return
    held = {each.instrument_key for each in sight.held}
    yours = [key for key in due if key in held]
    grave = bool(yours) or sight.blindfold
    yield Finding(
        rule="no_data",
        component=Component.MARKET_FEED,
        severity=Severity.WARNING if grave else Severity.INFO,
        what=f"no data for {count(len(due), 'instrument')}",
        meaning=_meaning(sight, len(yours)),
        act="Look whether they still trade: an expired one has no prices",
        instruments=due,
    )


def _meaning(sight: Sight, yours: int) -> str:
    if not sight.unread:
        return f"You hold {yours or 'none'} of them"
    known = f"You hold {yours} of them, perhaps more" if yours else "You may hold some of them"
    return f"{known}: {sight.unread}"
