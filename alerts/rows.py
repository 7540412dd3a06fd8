"""The rows of the Health page as one look sees them, in words. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from alerts import heartbeat
from alerts.bot import polling
from alerts.sight import ChannelSight, FeedSight, Sight, rest_sum
from alerts.words import clock, count, duration
from trading.health import Component, Condition
from trading.ports import Percentiles
from trading.trust import STALE_AFTER

PHONE: Final = "telegram"
NOT_SENDING: Final = (polling.NAME, heartbeat.NAME)  # it listens; it calls no person


@dataclass(frozen=True, slots=True)
class Row:
    """A component while nothing is found of it."""

    component: Component
    words: str
    about: str = ""
    condition: Condition = Condition.OK
    since: datetime | None = None
    latency: Percentiles = field(default_factory=Percentiles)
    latency_of: str = ""
    reconnects: int | None = None  # since the feed began


def rows(sight: Sight, *, recovery: str) -> Iterator[Row]:
    """Yield every component in the order of the page."""
    yield _feed(Component.MARKET_FEED, sight.market, "")
    for stream in sight.streams:
        yield _feed(Component.PORTFOLIO, stream, stream.account)
    yield _rest(sight)
    yield _books(sight)
    yield Row(Component.RECOVERY, recovery)
    storage = sight.storage
    yield Row(
        Component.STORAGE,
        f"{storage.lag:.1f} s behind, {count(storage.queued, 'row')} waiting",
        latency=Percentiles(p50=storage.last_commit_ms),
        latency_of="the last commit",
    )
    late = sum(job.missed for job in sight.jobs)
    runs_late = f", {count(late, 'run')} left out" if late else ", none left out"
    yield Row(Component.JOBS, f"{count(len(sight.jobs), 'job')}{runs_late}")
    yield _clock(sight)
    vitals = sight.vitals
    yield Row(
        Component.PROCESS,
        f"{vitals.memory_bytes / 1e6:.0f} MB, {count(vitals.threads, 'thread')}",
        latency=vitals.loop_lag,
        latency_of="how late the desk answers",
    )
    phone = [c for c in sight.channels if c.health.name.startswith(PHONE)]  # with its commands
    yield _channels(Component.PHONE, phone)
    yield _channels(Component.CHANNELS, [c for c in sight.channels if c not in phone])


def _feed(component: Component, feed: FeedSight, about: str) -> Row:
    stats = feed.stats
    market = component is Component.MARKET_FEED
    age = stats.tick_age if market else stats.frame_age
    heard = "nothing heard yet" if age is None else f"{duration(age)} ago"
    rate = f"{stats.tick_rate:.0f} prices/s, " if market else "alive, "
    return Row(
        component,
        f"{rate if stats.frame_age is not None else ''}{heard}",
        about,
        condition=_heard(feed),
        since=stats.since,
        latency=stats.latency,
        latency_of="exchange to us" if market else "",
        reconnects=stats.reconnects,
    )


def _heard(feed: FeedSight) -> Condition:
    """Judge a feed of which nothing is found yet: what the header calls stale is not good here."""
    if not feed.due:
        return Condition.CLOSED
    silent = feed.silence is not None and feed.silence > STALE_AFTER
    return Condition.OK if feed.connected and not silent else Condition.PENDING


def _rest(sight: Sight) -> Row:
    rest = rest_sum(sight.rest.values())
    if not rest.calls:
        return Row(Component.REST, "not asked yet", condition=Condition.UNKNOWN)
    words = f"{count(rest.calls, 'call')}, {rest.failures or 'none'} failed"
    if rest.failures and rest.last_failure_age is not None:
        words += f", the last {duration(rest.last_failure_age)} ago: {rest.last_error}"
    return Row(Component.REST, words, latency=rest.latency, latency_of="the broker's answer")


def _books(sight: Sight) -> Row:
    ages = [books.age for books in sight.books]
    known = [age for age in ages if age is not None]
    if len(known) < len(ages) or not ages:
        return Row(Component.BOOKS, "not read yet", condition=Condition.UNKNOWN)
    agree = all(books.agree for books in sight.books)
    words = "agree" if agree else "being compared"
    return Row(Component.BOOKS, f"{words}, read {duration(max(known))} ago")


def _clock(sight: Sight) -> Row:
    skew = sight.market.stats.clock_skew
    if skew is None:
        words = "not compared with the exchange's yet"
        return Row(Component.CLOCK, words, condition=Condition.UNKNOWN)
    return Row(Component.CLOCK, f"{abs(skew):.2f} s {'behind' if skew > 0 else 'ahead'}")


def _channels(component: Component, channels: list[ChannelSight]) -> Row:
    used = [channel.health for channel in channels if channel.health.state != "off"]
    if not used:
        return Row(component, "nothing is configured", condition=Condition.OFF)
    names, ways = ", ".join(c.name for c in used), [c for c in used if c.name not in NOT_SENDING]
    if not ways:
        return Row(component, names)
    last = max((c.last_sent for c in ways if c.last_sent is not None), default=None)
    sent = f"last message {clock(last)}" if last else "no message yet"
    queued = sum(channel.queued for channel in ways)
    waits = f", {queued} waiting" if queued else ""
    return Row(component, f"{names}: {sent}{waits}")
