"""The fire drills that there are: each fault, what it strikes, and how long it may take."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Final

from alerts.drill_eyes import (
    Action,
    Around,
    BurstEye,
    Eye,
    FeedEye,
    MissingEye,
    PhoneEye,
    StreamEye,
)
from trading.health import Component

PRICES: Final = frozenset({Component.MARKET_FEED, Component.RECOVERY})


class Need(Enum):
    """What not every desk has; without it the drill is not offered."""

    LOGIN = auto()  # somebody who gets a new token afterwards
    PHONE = auto()  # the simulated one, and a test message on its way
    STREAMS = auto()  # of orders: none where fills are made up
    LIVE_MARKET = auto()  # a recorded one cannot be made louder


@dataclass(frozen=True, slots=True)
class Drill:
    """One fault, or a few in this order.

    `holds` is for how many seconds they stay on once they were noticed: the time in which the page
    and the phone tell of it. `within` is how long noticing, and then recovering, may take. With
    `own_sign` only the eye notices: what else is found comes from the way the fault was made.
    """

    name: str
    does: str
    faults: Callable[[Around], Sequence[Action]]
    eye: Callable[[Around], Eye]
    components: frozenset[Component] = PRICES
    holds: float = 5.0
    within: float = 60.0
    own_sign: bool = False
    need: Need | None = None


def _prices(around: Around) -> Eye:
    return FeedEye(around.feed, around.clock)


def _just(name: str, **parameters: object) -> Callable[[Around], Sequence[Action]]:
    return lambda _: [(name, parameters)]


DRILLS: Final = (
    Drill(
        "pull the plug",
        "The exchange ends the feed's connection without a word.",
        _just("drop", how="fin"),
        _prices,
        holds=0.0,
    ),
    Drill(
        "freeze without close",
        "The connection stays open and answers pings, but no price comes.",
        _just("stall"),
        _prices,
    ),
    Drill(
        "heartbeats only",
        "The exchange says every second that it is open, and sends no price.",
        _just("heartbeats", every=1.0),
        _prices,
    ),
    Drill(
        "half-open connection",
        "The other end reads, writes and accepts nothing any more; nobody closes.",
        _just("half_open"),
        _prices,
    ),
    Drill(
        "garbage frames",
        "20 messages in a row that nobody can read.",
        _just("garbage", next=20),
        _prices,
        holds=0.0,
    ),
    Drill(
        "late ticks",
        "Prices and answers of the broker come 20 seconds late, as to a slow consumer.",
        lambda around: [("slow", {"seconds": 20.0 * around.scale})],
        _prices,
        components=PRICES | {Component.REST, Component.BOOKS, Component.CLOCK},
    ),
    Drill(
        "expired token",
        "The access token ends, and with it the connections; a new one is fetched.",
        _just("expire_token"),
        _prices,
        components=PRICES | {Component.REST, Component.PORTFOLIO},
        holds=0.0,
        need=Need.LOGIN,
    ),
    Drill(
        "exchange refuses",
        "The connection ends, and new ones are not authorised: status 503.",
        lambda _: [
            ("authorize", {"how": "status", "status": 503, "feed": "market"}),
            ("drop", {"how": "fin"}),
        ],
        _prices,
    ),
    Drill(
        "missing instruments",
        "After a new connection the exchange leaves a few subscriptions unanswered.",
        lambda around: [("ignore_keys", {"keys": list(around.few())}), ("drop", {"how": "fin"})],
        lambda around: MissingEye(around.feed, around.clock, around.few()),
        within=90.0,  # the ladder is patient where nothing is held
        own_sign=True,
    ),
    Drill(
        "market burst",
        "20 times as many price changes as usual.",
        _just("burst", factor=20.0),
        lambda around: BurstEye(around.feed, around.clock),
        components=PRICES | {Component.STORAGE, Component.PROCESS},
        own_sign=True,
        need=Need.LIVE_MARKET,
    ),
    Drill(
        "order stream dropped",
        "The stream that tells of orders and positions ends; they are read again.",
        _just("drop", how="fin", feed="portfolio"),
        lambda around: StreamEye(around.streams, around.clock),
        components=frozenset({Component.PORTFOLIO, Component.BOOKS}),
        need=Need.STREAMS,
        holds=0.0,
    ),
    Drill(
        "Telegram down",
        "The simulated Telegram answers nothing while a test message is on its way.",
        _just("telegram_down"),
        lambda around: PhoneEye(around.channels, around.clock),
        components=frozenset({Component.PHONE, Component.CHANNELS}),
        need=Need.PHONE,
    ),
)
