"""What is not as it should be, gravest first, and the one sentence made of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

from dashboard import format as fmt
from dashboard.health import GOOD_STORAGE
from dashboard.light import Level, desk_light
from trading.desk import Desk
from trading.health import Component, ComponentHealth, Condition, Uptimes
from trading.health_ports import Watch
from trading.ports import FeedState, FeedStats

BLIND_AFTER: Final = 10.0  # seconds without a look of the monitor
IN_TROUBLE: Final = (Condition.DOWN, Condition.FLAPPING)
NO_PRICE: Final = {
    Level.WAITING: "no price yet",
    Level.OPENING: "no price since the opening",
}


class Rule(StrEnum):
    """The rules of the watch that find what the desk's own parts say of themselves, too."""

    NO_PRICES = "no_prices"
    UNREACHABLE = "unreachable"
    REFUSED = "feed_refused"  # of an account
    NO_DATA = "no_data"
    STREAM_DOWN = "stream_down"  # of an account
    UNREAD = "books_unread"  # of an account
    DIFFER = "books_differ"  # of an account
    DISK = "disk"


@dataclass(frozen=True, slots=True)
class _Trouble:
    """What is to be said, and the keys of the findings that would say the same."""

    words: str
    matters: frozenset[str]


def troubles(desk: Desk) -> list[str]:
    """Return what is not as it should be right now, the gravest first; nothing when all is well.

    What the watch has proven is told in its words; what the desk's own parts say at this moment is
    told too, unless the watch speaks of that very matter.
    """
    found = []
    if desk.progress.stage == "failed":
        found.append(f"start failed: {desk.progress.reason}")
    watched: list[_Trouble] = []
    if desk.watch is not None:
        blind = blindness(desk)
        found += [blind] if blind else []
        watched = [] if blind else list(_watched(desk, desk.watch.watch))
    told = frozenset[str]().union(*(trouble.matters for trouble in watched))
    direct = [trouble for trouble in _direct(desk) if not trouble.matters & told]
    return [*found, *(trouble.words for trouble in (*watched, *direct))]


def sentence(desk: Desk) -> str:
    """Return the one sentence on top of the Health page."""
    if desk.progress.stage == "starting":
        return "Starting"
    if desk.progress.stage == "stopping":
        return "Stopping"
    found = troubles(desk)
    if desk.watch is None:
        found = [blindness(desk), *found]
    if found:
        return f"◐ Degraded: {'; '.join(found)}"
    light = desk_light(desk)
    if light.level is Level.CLOSED:
        words, comma, rest = light.text.partition(",")
        return f"● All systems good. {words.capitalize()}{comma}{rest}"
    return "● All systems good"


def blindness(desk: Desk) -> str:
    """Return why what is known of the components is not the truth of this moment, or nothing."""
    if desk.watch is None:
        return "the watch is not running: nobody looks for trouble, and no alert is sent"
    age = desk.watch.watch.alive_age()
    if age is None:
        return "the watch has not looked yet"
    if age > BLIND_AFTER:
        return f"the watch has not looked for {fmt.age(age)}: what it said last may not be true now"
    return ""


def rows(desk: Desk) -> Sequence[ComponentHealth]:
    """Return the components as they may be shown: without a watch nothing is known of them."""
    if desk.watch is None:
        return list(_nothing_known(desk))
    known = desk.watch.watch.components()
    if blindness(desk):
        return [
            replace(each, condition=Condition.UNKNOWN, words=f"last known: {each.words}")
            for each in known
        ]
    return known


def _nothing_known(desk: Desk) -> Iterator[ComponentHealth]:
    said = "the watch is not running"
    for component in Component:
        abouts = list(desk.portfolio_feeds) if component is Component.PORTFOLIO else [""]
        if component is not Component.RISK:
            for about in abouts:
                yield ComponentHealth(
                    component, about, Condition.UNKNOWN, None, said, (), Uptimes()
                )


def _watched(desk: Desk, watch: Watch) -> Iterator[_Trouble]:
    """Yield the components that the watch found in trouble, each with its cause."""
    now = desk.clock.now()
    for health in (each for each in watch.components() if each.condition in IN_TROUBLE):
        word = "down" if health.condition is Condition.DOWN else "on and off"
        since = f" since {fmt.moment(health.since, now)}" if health.since else ""
        cause = health.words.removeprefix(str(health.component)).strip()
        yield _trouble(f"{health.name} {word}{since}, {cause}", health.matter)


def _trouble(words: str, *matters: str) -> _Trouble:
    return _Trouble(words, frozenset(matters))


def _direct(desk: Desk) -> Iterator[_Trouble]:
    """Yield what the parts of the desk say of themselves, at once and without proof."""
    feed = desk.feed.stats()
    words = _feed(desk, feed)
    if words:
        feeds = [state.account.id for state in desk.accounts.all() if state.account.primary]
        refused = [f"{Rule.REFUSED} {account}" for account in feeds]
        yield _trouble(words, Rule.NO_PRICES, Rule.UNREACHABLE, *refused)
    yield from _accounts(desk)
    storage = desk.journal.stats()
    if storage.state != GOOD_STORAGE:
        because = f", {storage.reason}" if storage.reason else ""
        yield _trouble(f"storage {storage.state}{because}", Rule.DISK)
    if feed.missing:
        yield _trouble(f"no data for {len(feed.missing)} instruments", Rule.NO_DATA)


def _feed(desk: Desk, feed: FeedStats) -> str:
    light = desk_light(desk)
    if feed.state is not FeedState.LIVE and light.level is not Level.CLOSED:
        because = f", {feed.reason}" if feed.reason else ""
        since = fmt.moment(feed.since, desk.clock.now())
        return f"market feed {feed.state} since {since}{because}"
    if light.level in NO_PRICE:
        return f"market feed has told {NO_PRICE[light.level]}"
    if light.level in (Level.LATE, Level.STALE):
        return f"market feed silent for {fmt.age(desk.market_data.heard_age())}"
    return ""


def _accounts(desk: Desk) -> Iterator[_Trouble]:
    """Yield what is wrong with the streams and books of the accounts."""
    now = desk.clock.now()
    for account, stream in desk.portfolio_feeds.items():
        stats = stream.stats()
        if stats.state is not FeedState.LIVE:
            because = f", {stats.reason}" if stats.reason else ""
            at = fmt.moment(stats.since, now)
            words = f"portfolio stream of {account} {stats.state} since {at}{because}"
            yield _trouble(words, f"{Rule.STREAM_DOWN} {account}", f"{Rule.REFUSED} {account}")
    for state in desk.accounts.all():
        account = state.account.id
        books = desk.positions.books(account)
        if books.failed:
            words = f"the books of {account} could not be read: {books.failed}"
            yield _trouble(words, f"{Rule.UNREAD} {account}")
        elif books.differs:
            yield _trouble(f"the books of {account} differ from ours", f"{Rule.DIFFER} {account}")
