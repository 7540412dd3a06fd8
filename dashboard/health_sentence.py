"""What is not as it should be, gravest first, and the one sentence made of it."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Final

from dashboard import format as fmt
from dashboard.health import GOOD_STORAGE
from dashboard.light import Level, desk_light
from trading.desk import Desk
from trading.health import Component, ComponentHealth, Condition, Incident, Uptimes
from trading.health_ports import Watch
from trading.ports import FeedState

BLIND_AFTER: Final = 10.0  # seconds without a look of the monitor
IN_TROUBLE: Final = (Condition.DOWN, Condition.FLAPPING)


@dataclass(frozen=True, slots=True)
class _Trouble:
    component: Component
    about: str
    words: str


def troubles(desk: Desk) -> list[str]:
    """Return what is not as it should be right now, the gravest first; nothing when all is well.

    What the watch has proven is told in its words; what the desk's own parts say at this moment is
    told too, unless the watch speaks of it already.
    """
    found = []
    if desk.progress.stage == "failed":
        found.append(f"start failed: {desk.progress.reason}")
    watched: list[_Trouble] = []
    if desk.watch is not None:
        blind = blindness(desk)
        found += [blind] if blind else []
        watched = [] if blind else list(_watched(desk, desk.watch.watch))
    told = {(trouble.component, trouble.about) for trouble in watched}
    direct = [t for t in _direct(desk) if (t.component, t.about) not in told]
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
    now, known, incidents = desk.clock.now(), watch.components(), watch.open_incidents()
    for health in (each for each in known if each.condition in IN_TROUBLE):
        word = "down" if health.condition is Condition.DOWN else "on and off"
        since = f" since {fmt.moment(health.since, now)}" if health.since else ""
        words = f"{health.name} {word}{since}, {_cause(health, incidents)}"
        yield _Trouble(health.component, health.about, words)


def _cause(health: ComponentHealth, incidents: Sequence[Incident]) -> str:
    for incident in incidents:
        if incident.component is health.component and health.about in incident.key:
            return incident.cause.removeprefix(str(incident.component)).strip()
    return health.words


def _direct(desk: Desk) -> Iterator[_Trouble]:
    """Yield what the parts of the desk say of themselves, at once and without proof."""
    now = desk.clock.now()
    feed = desk.feed.stats()
    light = desk_light(desk)
    if feed.state is not FeedState.LIVE and light.level is not Level.CLOSED:
        because = f", {feed.reason}" if feed.reason else ""
        words = f"market feed {feed.state} since {fmt.moment(feed.since, now)}{because}"
        yield _Trouble(Component.MARKET_FEED, "", words)
    elif light.level in (Level.LATE, Level.STALE, Level.WAITING):
        words = f"market feed silent for {fmt.age(desk.market_data.heard_age())}"
        yield _Trouble(Component.MARKET_FEED, "", words)
    yield from _accounts(desk)
    storage = desk.journal.stats()
    if storage.state != GOOD_STORAGE:
        because = f", {storage.reason}" if storage.reason else ""
        yield _Trouble(Component.STORAGE, "", f"storage {storage.state}{because}")
    if feed.missing:
        words = f"no data for {len(feed.missing)} instruments"
        yield _Trouble(Component.MARKET_FEED, "missing", words)


def _accounts(desk: Desk) -> Iterator[_Trouble]:
    """Yield what is wrong with the streams and books of the accounts."""
    now = desk.clock.now()
    for account, stream in desk.portfolio_feeds.items():
        stats = stream.stats()
        if stats.state is not FeedState.LIVE:
            because = f", {stats.reason}" if stats.reason else ""
            at = fmt.moment(stats.since, now)
            words = f"portfolio stream of {account} {stats.state} since {at}{because}"
            yield _Trouble(Component.PORTFOLIO, account, words)
    for state in desk.accounts.all():
        account = state.account.id
        books = desk.positions.books(account)
        if books.failed:
            words = f"the books of {account} could not be read: {books.failed}"
            yield _Trouble(Component.BOOKS, "", words)
        elif books.differs:
            yield _Trouble(Component.BOOKS, "", f"the books of {account} differ from ours")
