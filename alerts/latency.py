"""How long the hops of a price took, minute by minute of the desk's clock, in market time only."""

from collections import Counter, deque
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from trading.health import Hop, HopMinute
from trading.histogram import Histogram, grown, quantile

MINUTE: Final = timedelta(minutes=1)
KEPT: Final = 60  # minutes


class LatencyBook:
    """Owns the minutes of the hops, in memory since the desk started; fed at each look.

    What is measured while the market is closed is left out: a snapshot tells old stamps. The
    minute under way is not told.
    """

    def __init__(self, *, arrival: Histogram, decoding: Histogram) -> None:
        self.screen = Histogram()
        self._sources = {Hop.ARRIVAL: arrival, Hop.DECODE: decoding, Hop.SCREEN: self.screen}
        self._seen = {hop: source.counts() for hop, source in self._sources.items()}
        self._current: dict[Hop, Counter[int]] = {hop: Counter() for hop in Hop}
        self._minutes: dict[Hop, deque[HopMinute]] = {hop: deque(maxlen=KEPT) for hop in Hop}
        self._start: datetime | None = None  # of the minute under way

    def note(self, now: datetime, *, judged: bool) -> None:
        """Count what was measured since the last look; `judged` if the market is open."""
        start = now.replace(second=0, microsecond=0)
        if self._start is not None and start != self._start:
            self._finish(self._start)
        self._start = start
        for hop, source in self._sources.items():
            counts = source.counts()
            if judged:
                self._current[hop].update(grown(self._seen[hop], counts))
            self._seen[hop] = counts

    def minutes(self, hop: Hop) -> Sequence[HopMinute]:
        if self._start is None:
            return ()
        oldest = self._start - MINUTE * KEPT
        return tuple(m for m in self._minutes[hop] if oldest <= m.start < self._start)

    def _finish(self, start: datetime) -> None:
        for hop, counts in self._current.items():
            p50, p99 = quantile(counts, 0.50), quantile(counts, 0.99)
            if p50 is not None and p99 is not None:
                self._minutes[hop].append(HopMinute(start, counts.total(), p50, p99))
            counts.clear()
