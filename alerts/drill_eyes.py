"""What a fire drill looks at: when a part of the desk left its good state, and when it is back."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol

from trading.clock import Clock
from trading.health import ChannelHealth
from trading.model import Mode
from trading.ports import FeedChange, FeedState, FeedStats
from trading.signal import Signal

FEW: Final = 3  # instruments that go missing in a drill
LOUD: Final = 3.0  # times the usual rate is a burst
HOLE: Final = 0.25  # seconds without any price that count as lost time at least
TELEGRAM: Final = "telegram"


class Feed(Protocol):
    """Either of the two kinds of feed."""

    name: str
    changes: Signal[FeedChange]

    def stats(self) -> FeedStats: ...


class Eye(Protocol):
    """Watches one part through one drill; `look` is called many times a second."""

    noticed_at: float | None  # monotonic: it left its good state

    def look(self) -> None: ...

    def expect(self) -> None:
        """From now on it may recover: the fault is off."""
        ...

    def well(self) -> bool: ...

    def words(self) -> str:
        """Say how it stands, for a drill that does not end."""
        ...

    def lost(self) -> int | None:
        """Return the ticks that never came; None where ticks say nothing about it."""
        ...

    def close(self) -> None: ...


class FeedEye:
    """Prices: gone when the feed is not LIVE any more, back with a price on a LIVE feed."""

    def __init__(self, feed: Feed, clock: Clock) -> None:
        self.noticed_at: float | None = None
        self._feed, self._clock = feed, clock
        stats = feed.stats()
        self._rate = stats.tick_rate
        self._ticks, self._ticked_at = stats.ticks, clock.monotonic()
        self._from = stats.ticks
        self._silent = 0.0
        self._undo = feed.changes.subscribe(self._changed)

    def look(self) -> None:
        ticks, now = self._feed.stats().ticks, self._clock.monotonic()
        if ticks != self._ticks:
            hole = now - self._ticked_at
            self._silent += hole if hole > max(HOLE, 5 / max(self._rate, 0.1)) else 0.0
            self._ticks, self._ticked_at = ticks, now

    def expect(self) -> None:
        self._from = self._feed.stats().ticks

    def well(self) -> bool:
        stats = self._feed.stats()
        return stats.state is FeedState.LIVE and stats.ticks > self._from

    def words(self) -> str:
        stats = self._feed.stats()
        return f"the {stats.feed} feed is {stats.state}: {stats.reason}"

    def lost(self) -> int | None:
        """Estimate by the rate before, as the gap ledger does."""
        return round(self._silent * self._rate)

    def close(self) -> None:
        self._undo()

    def _changed(self, change: FeedChange) -> None:
        if change.before is FeedState.LIVE and self.noticed_at is None:
            self.noticed_at = self._clock.monotonic()


class MissingEye(FeedEye):
    """Some instruments: gone when the feed calls them missing, back when each has a price."""

    def __init__(self, feed: Feed, clock: Clock, keys: Collection[str]) -> None:
        super().__init__(feed, clock)
        self._keys = frozenset(keys)

    def look(self) -> None:
        if self.noticed_at is None and self._gone():
            self.noticed_at = self._clock.monotonic()

    def well(self) -> bool:
        return super().well() and not self._gone()

    def words(self) -> str:
        return f"{super().words()}, still without prices: {', '.join(sorted(self._gone()))}"

    def lost(self) -> int | None:
        return None  # nobody counts the ticks of each instrument

    def _gone(self) -> frozenset[str]:
        return self._keys.intersection(self._feed.stats().missing)

    def _changed(self, change: FeedChange) -> None:
        """Ignore the new connection, which is the drill's own doing."""


class BurstEye(FeedEye):
    """A flood: seen by the rate, over when that has fallen; lost is what we dropped ourselves."""

    def __init__(self, feed: Feed, clock: Clock) -> None:
        super().__init__(feed, clock)
        self._dropped = feed.stats().dropped
        self._peak = 0.0

    def look(self) -> None:
        rate = self._feed.stats().tick_rate
        self._peak = max(self._peak, rate)
        if self.noticed_at is None and rate > LOUD * self._rate:
            self.noticed_at = self._clock.monotonic()

    def well(self) -> bool:
        return super().well() and self._feed.stats().tick_rate < self._peak / LOUD

    def lost(self) -> int | None:
        return self._feed.stats().dropped - self._dropped

    def _changed(self, change: FeedChange) -> None:
        """A burst alone must not end a connection; if it does, `well` waits for a new one."""


class StreamEye:
    """Portfolio streams: gone when one leaves LIVE, back when all are LIVE, which is caught up."""

    def __init__(self, streams: Sequence[Feed], clock: Clock) -> None:
        self.noticed_at: float | None = None
        self._streams, self._clock = tuple(streams), clock
        self._undo = [stream.changes.subscribe(self._changed) for stream in self._streams]

    def look(self) -> None: ...

    def expect(self) -> None: ...

    def well(self) -> bool:
        return all(stream.stats().state is FeedState.LIVE for stream in self._streams)

    def words(self) -> str:
        stats = [stream.stats() for stream in self._streams]
        return "; ".join(f"{s.feed} is {s.state}: {s.reason}" for s in stats)

    def lost(self) -> int | None:
        return None

    def close(self) -> None:
        for undo in self._undo:
            undo()

    def _changed(self, change: FeedChange) -> None:
        if change.before is FeedState.LIVE and self.noticed_at is None:
            self.noticed_at = self._clock.monotonic()


class PhoneEye:
    """Telegram: gone when its channel says so, back when nothing waits for it any more."""

    def __init__(self, channels: Callable[[], Sequence[ChannelHealth]], clock: Clock) -> None:
        self.noticed_at: float | None = None
        self._channels, self._clock = channels, clock

    def look(self) -> None:
        health = self._health()
        if self.noticed_at is None and health is not None and health.state != "ok":
            self.noticed_at = self._clock.monotonic()

    def expect(self) -> None: ...

    def well(self) -> bool:
        health = self._health()
        return health is not None and health.state == "ok" and not health.queued

    def words(self) -> str:
        health = self._health()
        if health is None:
            return "there is no Telegram channel"
        return f"Telegram is {health.state} ({health.reason}), {health.queued} messages wait"

    def lost(self) -> int | None:
        return None

    def close(self) -> None: ...

    def _health(self) -> ChannelHealth | None:
        return next((each for each in self._channels() if each.name == TELEGRAM), None)


Action = tuple[str, Mapping[str, Any]]  # a fault's name and its parameters


@dataclass(frozen=True, slots=True)
class Around:
    """What of the desk a drill may look at and use; `scale` multiplies its times."""

    feed: Feed
    clock: Clock
    wanted: Callable[[], Mapping[str, Mode]]
    streams: Sequence[Feed]
    channels: Callable[[], Sequence[ChannelHealth]]
    scale: float = 1.0

    def few(self) -> tuple[str, ...]:
        """Return a few instruments that prices are wanted of."""
        return tuple(sorted(self.wanted()))[:FEW]
