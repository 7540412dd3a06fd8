"""Upstox's portfolio stream: what happens to one account's orders, positions and holdings."""

import random
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final

from feeds.connection import Heard, Timing
from feeds.inbox import Inbox
from feeds.meter import RateMeter, Sample
from feeds.stream import Stream
from feeds.upstox.portfolio_protocol import Rows, Unreadable, Update
from feeds.upstox.rest import UpstoxRest
from feeds.upstox.token import TokenStore, mark
from trading.clock import Clock
from trading.model import Batch
from trading.order import BrokerHolding, BrokerOrder, BrokerPosition
from trading.ports import FeedStats
from trading.signal import Signal

UPDATE_TYPES: Final = ("order", "position", "holding")


class UpstoxPortfolioFeed:
    """Implements `broker.PortfolioFeed`; belongs to the loop, where its signals are told.

    The stream shows what changes and no snapshot. After each OPEN, whoever reads the account over
    REST says `caught_up` once those reads, begun after that OPEN was told, have come back.
    """

    def __init__(
        self,
        rest: UpstoxRest,
        token: TokenStore,
        clock: Clock,
        *,
        account: str,
        update_types: Sequence[str] = UPDATE_TYPES,
        timing: Timing | None = None,
        jitter: random.Random | None = None,
    ) -> None:
        self.account = account
        self.name = f"portfolio-{account}"
        self.order_updates: Signal[BrokerOrder] = Signal(f"order updates of {account}")
        self.position_updates: Signal[BrokerPosition] = Signal(f"position updates of {account}")
        self.holding_updates: Signal[BrokerHolding] = Signal(f"holding updates of {account}")
        self._listener = _Listener(Rows(account, is_mock=rest.is_mock), self._tell)
        self._stream = Stream(
            self.name,
            self._listener,
            clock,
            authorise=lambda: rest.authorize_portfolio_feed(update_types),
            token_mark=lambda: mark(token),
            probe=lambda: False,  # silence is never judged
            deliver=_no_ticks,
            is_mock=rest.is_mock,
            timing=timing or Timing(),
            jitter=jitter or random.Random(),
            opened="connected, not caught up yet",
            expected=True,  # an outage is always urgent: orders may be filled meanwhile
        )
        self.changes = self._stream.changes

    def start(self) -> None:
        """Begin to connect; must be called on the loop that is to hear the updates."""
        self._stream.start()

    def stop(self) -> None:
        """End the connection and tell what it had received: no update heard is lost."""
        self._stream.stop()

    def caught_up(self) -> None:
        """Call the connection LIVE whose OPEN was told last; nothing if it is lost meanwhile."""
        self._stream.confirm("caught up, updates arrive")

    def reconnect(self, reason: str) -> None:
        self._stream.reconnect(reason)

    def stats(self) -> FeedStats:
        """Ticks are updates here: of orders, positions and holdings."""
        listener, now = self._listener, time.monotonic()
        rates = listener.rates.rates(listener.sample(now))
        return replace(
            self._stream.stats(),
            ticks=listener.updates,
            frame_rate=rates.frames,
            tick_rate=rates.ticks,
            byte_rate=rates.bytes,
            tick_age=None if listener.updated is None else now - listener.updated,
            decode_errors=listener.garbage,
            unknown_fields=listener.rows.strange,
        )

    def _tell(self, update: Update) -> None:
        match update:
            case BrokerOrder():
                self.order_updates.emit(update)
            case BrokerPosition():
                self.position_updates.emit(update)
            case BrokerHolding():
                self.holding_updates.emit(update)


class _Listener:
    """The part on the connection's thread; implements `stream.Listener`. Its counters are plain."""

    inbox: Inbox

    def __init__(self, rows: Rows, tell: Callable[[Update], None]) -> None:
        self.rows = rows
        self.generation = 0
        self.updates = self.garbage = 0
        self.updated: float | None = None  # monotonic
        self.rates = RateMeter()
        self._tell = tell  # on the loop
        self._frames = self._bytes = 0

    def opened(self, generation: int) -> None:
        self.generation = generation

    def to_send(self, at: float) -> list[bytes]:
        """Return nothing: what is wanted was said with the authorisation."""
        self.rates.note(self.sample(at))
        return []

    def may_be_silent(self) -> bool:
        return True  # nothing happens while nobody trades

    def received(self, frame: bytes, *, text: bool, at: float, generation: int) -> Heard:
        """Read a message, which may come as text or binary."""
        self._frames += 1
        self._bytes += len(frame)
        try:
            update = self.rows.message(frame)
        except Unreadable:
            self.garbage += 1
            return Heard.GARBAGE
        if update is not None:
            self.updates += 1
            self.updated = at
            self.inbox.tell(lambda: self._tell(update))
        return Heard.OTHER

    def sample(self, at: float) -> Sample:
        return Sample(at, self._frames, self.updates, self._bytes)


def _no_ticks(batch: Batch) -> None:
    raise TypeError(f"a portfolio stream has no ticks: {batch}")
