"""An open position without a price that may be believed.

An instrument that does not trade is none: its feed lives, and its last price stands. What is meant
is a feed that is silent for all, a price that never came, or trades that the feed does not tell.
"""

from collections.abc import Iterator, Sequence
from dataclasses import replace

from alerts.sight import HeldSight, Sight
from alerts.words import count, duration
from trading.health import Component, Finding, Severity

OPEN_MARKET_ONLY = True
BEHIND = "trades"


def check(sight: Sight) -> Iterator[Finding]:
    if not sight.market.due:
        return
    held = [each for each in sight.held if each.is_open]
    blind = [each for each in held if (each.blind or 0.0) >= sight.limits.position_stale]
    if not _feed_lives(sight):
        if blind:
            yield _together(sight, blind)
        return
    for each in blind:
        if not each.heard:
            yield _alone(sight, each)
    behind = [each for each in held if each.overtaken]
    if behind:
        yield _behind(sight, behind)


def _feed_lives(sight: Sight) -> bool:
    silence = sight.market.silence
    return sight.market.connected and silence is not None and silence < sight.limits.position_stale


def _severity(sight: Sight, seconds: float) -> Severity:
    grave = seconds >= sight.limits.position_blind
    return Severity.CRITICAL if grave else Severity.WARNING


def _together(sight: Sight, blind: Sequence[HeldSight]) -> Finding:
    seconds = max(each.blind or 0.0 for each in blind)
    return Finding(
        rule="stale_position",
        component=Component.MARKET_FEED,
        severity=_severity(sight, seconds),
        what=f"no price of {count(len(blind), 'open position')} for {duration(seconds)}",
        meaning="Their P&L is not known, and neither the feed nor the broker's quotes tell it",
        act="Watch them in the broker's own app until prices are back",
        lasted=seconds,
        instruments=tuple(each.instrument_key for each in blind),
    )


def _alone(sight: Sight, held: HeldSight) -> Finding:
    seconds = held.blind or 0.0
    return replace(
        _together(sight, [held]),
        what=f"no price of {sight.name(held.instrument_key)} for {duration(seconds)}",
        meaning="You hold it and its P&L is not known; other instruments have prices",
        act="Watch it in the broker's own app; the feed is asked for it again",
        about=held.instrument_key,
    )


def _behind(sight: Sight, held: Sequence[HeldSight]) -> Finding:
    """Return one finding of all: after a loss it may be most of them, for a moment."""
    name = sight.name(held[0].instrument_key)
    one = len(held) == 1
    return Finding(
        rule="stale_position",
        component=Component.MARKET_FEED,
        severity=Severity.WARNING,
        what=f"trades are not told of {name if one else count(len(held), 'open position')}",
        meaning="What is not told at each trade is asked for every few seconds meanwhile",
        act="Nothing: the feed is asked for it again",
        about=BEHIND,
        instruments=tuple(each.instrument_key for each in held),
    )
