"""The light in the header: may the prices on this page be acted on, and if not, why."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Final

from dashboard import format as fmt
from trading.desk import Desk, Stage
from trading.health import Check, Component
from trading.hours import MarketState, Phase
from trading.model import segment_of
from trading.ports import FeedState
from trading.trust import LIVE_WITHIN, STALE_AFTER


class Level(StrEnum):
    LIVE = "live"
    LATE = "late"
    CARE = "care"  # prices are fresh, but something else wants a look before money moves
    STALE = "stale"
    CLOSED = "closed"
    STARTING = "starting"
    WAITING = "waiting"  # it runs, and nothing was heard yet
    OPENING = "opening"  # the session has begun, and no price of it has come yet
    BROKEN = "broken"  # whatever the age of the prices, something else is wrong


# The browser passes through these by itself as prices age: where all inputs are judged ...
TRADE_WORDS: Final[Mapping[Level, str]] = {
    Level.LIVE: "CAN TRADE",
    Level.LATE: "CARE: prices late",
    Level.STALE: "DO NOT TRADE: market feed silent",
}
# ... and where nobody watches anything but the prices.
FEED_WORDS: Final[Mapping[Level, str]] = {
    Level.LIVE: "FEED LIVE",
    Level.LATE: "PRICES LATE",
    Level.STALE: "DO NOT TRADE: market feed silent",
}
NO_CONTACT: Final = "NO CONTACT WITH THE APP"
DEFAULT_SEGMENT: Final = "NSE_EQ"
MARKET: Final = "Market"  # the input that says whether any wanted market is open


@dataclass(frozen=True, slots=True)
class Light:
    level: Level
    text: str


@dataclass(frozen=True, slots=True)
class Countdown:
    """What the header counts down to; `until` in epoch ms of the exchange, None if not known."""

    session: str
    verb: str
    until: int | None


def light(
    *,
    stage: Stage,
    reason: str,
    market: MarketState,
    feed: FeedState,
    feed_reason: str,
    heard_age: float | None,
    now: datetime,
    told: datetime | None = None,
    inputs: Sequence[Check] | None = None,
) -> Light:
    """Judge the desk as a whole; of several troubles the one that has to be healed first.

    `told` is when the exchange sent the newest price. `inputs` are all that the watch checks,
    gravest first; None where nothing is watched.
    """
    if stage == "failed":
        return Light(Level.BROKEN, f"DO NOT TRADE: start failed, {reason}")
    if stage == "stopping":
        return Light(Level.BROKEN, "DO NOT TRADE: the desk is stopping")
    if feed is FeedState.REFUSED:
        return Light(Level.BROKEN, f"DO NOT TRADE: feed refused, {feed_reason}")
    if market.phase is not Phase.OPEN:
        return Light(Level.CLOSED, _closed(market, now))
    if heard_age is None:
        if stage == "starting":
            return Light(Level.STARTING, "STARTING")
        return Light(Level.WAITING, "DO NOT TRADE: no price yet")
    words = FEED_WORDS if inputs is None else TRADE_WORDS
    if heard_age > STALE_AFTER and market.since and told and told < market.since:
        return Light(Level.OPENING, "DO NOT TRADE: no price since the opening")
    if heard_age > STALE_AFTER:
        return Light(Level.STALE, words[Level.STALE])
    troubled = judged(_current(inputs or (), heard_age))
    if troubled is not None:
        return troubled
    level = Level.LATE if heard_age > LIVE_WITHIN else Level.LIVE
    return Light(level, words[level])


def _current(inputs: Sequence[Check], heard_age: float) -> list[Check]:
    """Leave out what is known here better than an input of a moment ago tells it.

    The market feed's was judged before this price came, or only says that prices are late; and
    whether the market is open was asked just now.
    """
    return [check for check in inputs if check.name != MARKET and not _is_past(check, heard_age)]


def _is_past(check: Check, heard_age: float) -> bool:
    if check.name.lower() != Component.MARKET_FEED:
        return False
    return not check.grave or (check.age is not None and heard_age < check.age)


def judged(inputs: Sequence[Check]) -> Light | None:
    """Return what the gravest input that is not good says, None if all are good."""
    bad = sorted((check for check in inputs if not check.good), key=lambda check: not check.grave)
    if not bad:
        return None
    first = bad[0]
    level, head = (Level.BROKEN, "DO NOT TRADE") if first.grave else (Level.CARE, "CARE")
    more = f" (+{len(bad) - 1})" if len(bad) > 1 else ""
    return Light(level, f"{head}: {spoken(first)}{more}")


def spoken(check: Check) -> str:
    """Return name and words of an input as one piece: `Clock 1.8 s ahead`."""
    repeated = check.words.lower().startswith(check.name.lower())
    return check.words if repeated else f"{check.name} {check.words}"


def words_of(desk: Desk) -> Mapping[Level, str]:
    """Return the words that the browser may come to by itself."""
    return FEED_WORDS if desk.watch is None else TRADE_WORDS


def _closed(market: MarketState, now: datetime) -> str:
    if market.phase is Phase.UNKNOWN:
        return "MARKET HOURS NOT KNOWN"
    word = "PRE-OPEN" if market.phase is Phase.PRE_OPEN else "MARKET CLOSED"
    if market.next_open is None:
        return word
    return f"{word}, opens {fmt.opening(market.next_open, now)}"


def desk_light(desk: Desk, inputs: Sequence[Check] | None = None) -> Light:
    """Judge the desk; without `inputs`, by its prices and its feed alone."""
    now = desk.clock.now()
    stats, newest = desk.feed.stats(), desk.market_data.newest()
    told = newest.exchange_ts if newest else 0
    return light(
        stage=desk.progress.stage,
        reason=desk.progress.reason,
        market=desk.hours.state(header_segment(desk), now),
        feed=stats.state,
        feed_reason=stats.reason,
        heard_age=desk.market_data.heard_age(),
        now=now,
        told=datetime.fromtimestamp(told / 1000, UTC) if told > 0 else None,
        inputs=inputs,
    )


def header_segment(desk: Desk) -> str:
    """Return the segment whose session the header shows: that of the first index."""
    return segment_of(desk.canaries[0]) if desk.canaries else DEFAULT_SEGMENT


def countdown(market: MarketState, now: datetime) -> Countdown:
    name = f": {market.name}" if market.name else ""
    if market.phase is Phase.OPEN:
        if market.until is None or market.until - now > timedelta(days=1):
            return Countdown(f"Open{name}, does not close", "", None)  # a simulated exchange
        return Countdown(f"Open{name}", "closes in", _ms(market.until))
    if market.phase is Phase.UNKNOWN:
        return Countdown("Hours not known", "", None)
    verb = f"{market.next_name} opens in" if market.next_name else "opens in"
    return Countdown(f"{market.phase.value.capitalize()}{name}", verb, _ms(market.next_open))


def _ms(at: datetime | None) -> int | None:
    return None if at is None else int(at.timestamp() * 1000)
