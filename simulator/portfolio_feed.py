"""The portfolio stream: what happens to a user's orders, positions and holdings, as it happens."""

import asyncio
import math
import re
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final, NamedTuple

import orjson

from simulator.connection import FeedConnection, Frame
from simulator.envelope import BrokerError, Json
from simulator.faults import (
    BinaryUpdates,
    DropUpdates,
    Fault,
    Injection,
    LateUpdates,
    RepeatUpdates,
    ShuffleUpdates,
    Silence,
    UpdateSnapshot,
)
from simulator.feeder import STATUS_EVERY, StreamHost
from simulator.frames import Opcode
from simulator.tokens import Invitation
from simulator.venue import Venue

PATH: Final = "/upstox-developer-api/order-updates/feed"
ENTRY: Final = "/v2/feed/portfolio-stream-feed"
TYPES: Final = ("order", "gtt_order", "position", "holding")
DEFAULT: Final = "order"

_ONE = f"({'|'.join(TYPES)})"
_LIST = re.compile(f"{_ONE}(,{_ONE})*")

Snapshot = Callable[[str], Iterable[Mapping[str, Json]]]


class PortfolioUpdate(NamedTuple):
    user: str
    update_type: str
    payload: bytes


def update_types(text: str | None) -> frozenset[str]:
    """Read the parameter of that name; raise BrokerError 400 if it is not a list of the types."""
    text = DEFAULT if text is None else text
    if not _LIST.fullmatch(text):
        raise BrokerError(
            400,
            message=f"update_types must be a comma separated list of {', '.join(TYPES)}",
            path="update_types",
            value=text,
        )
    return frozenset(text.split(","))


class PortfolioHost(StreamHost):
    """Carries a user's updates to all connections of that user which asked for their type.

    Nothing is told on connecting: what happened before is found over REST. Updates that come
    while a fault keeps the stream silent wait until it ends.
    """

    feed = "portfolio"
    path = PATH

    def __init__(
        self,
        venue: Venue,
        *,
        ping: float = 10.0,
        max_buffer: int = 4 << 20,
        snapshot: Snapshot = lambda _: (),
    ) -> None:
        super().__init__(venue, venue.update_invitations, ping=ping, max_buffer=max_buffer)
        self._snapshot = snapshot
        self._types: dict[FeedConnection, frozenset[str]] = {}
        self._waiting: dict[FeedConnection, list[PortfolioUpdate]] = {}  # for silence to end
        self._window: list[PortfolioUpdate] = []  # held back to be shuffled
        self._window_due: asyncio.TimerHandle | None = None
        self._not_before = 0.0  # loop time; updates that a fault delays stay in order
        self._orders_told: set[str] = set()

    async def run(self) -> None:
        """Ping, and close what has expired, until cancelled."""
        while True:
            self.cut_expired()
            self.ping_idle(time.monotonic())
            self._wake.clear()
            pause = STATUS_EVERY if self.connections else None
            with suppress(TimeoutError):
                await asyncio.wait_for(self._wake.wait(), pause)

    # --- from the broker to the connections

    def publish(self, user: str, message: Mapping[str, Json]) -> None:
        """Tell a user of a change; the faults decide whether, when and how often."""
        first = self._is_first(message)
        if self.faults.take(DropUpdates, lambda fault: fault.drops(message, first=first)):
            return
        update = PortfolioUpdate(user, str(message["update_type"]), orjson.dumps(message))
        repeat = self.faults.take(RepeatUpdates)
        late = self.faults.take(LateUpdates)
        for _ in range(repeat.times if repeat else 1):
            self._at_its_time(update, late.seconds if late else 0.0)

    def _is_first(self, message: Mapping[str, Json]) -> bool:
        """Return whether no update of this order has come before."""
        order_id = message.get("order_id")
        if message["update_type"] != "order" or order_id in self._orders_told:
            return False
        self._orders_told.add(str(order_id))
        return True

    def _at_its_time(self, update: PortfolioUpdate, delay: float) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        due = max(self._not_before, now + delay)
        if due > now:
            self._not_before = math.nextafter(due, math.inf)  # equal times may change places
            loop.call_at(due, self._in_its_turn, update)
        else:
            self._in_its_turn(update)

    def _in_its_turn(self, update: PortfolioUpdate) -> None:
        self._window.append(update)
        shuffle = self.faults.active(ShuffleUpdates)
        if shuffle is None or len(self._window) >= shuffle.window:
            self._release()
        elif self._window_due is None:
            loop = asyncio.get_running_loop()
            self._window_due = loop.call_later(shuffle.within, self._release)

    def _release(self) -> None:
        if self._window_due is not None:
            self._window_due.cancel()
            self._window_due = None
        ready, self._window = self._window, []
        if self.faults.active(ShuffleUpdates):
            self.faults.chance.shuffle(ready)
        for update in ready:
            self._deliver(update)

    def _deliver(self, update: PortfolioUpdate) -> None:
        for connection, types in tuple(self._types.items()):
            if connection.user == update.user and update.update_type in types:
                self._tell(connection, update)

    def _tell(self, connection: FeedConnection, update: PortfolioUpdate) -> None:
        if self.active(Silence) is not None:
            self._waiting.setdefault(connection, []).append(update)
            return
        for injection in self.take_all(Injection):
            connection.inject(injection.wire(self.faults.chance))
        opcode = Opcode.BINARY if self.faults.active(BinaryUpdates) else Opcode.TEXT
        now_ms = self._venue.clock.now_ms()
        connection.send(Frame(update.payload, (), now_ms, initial=False, opcode=opcode))

    # --- the connections

    def welcomed(self, connection: FeedConnection, invitation: Invitation) -> None:
        self._types[connection] = invitation.update_types
        if self.faults.active(UpdateSnapshot) is None:
            return
        for message in self._snapshot(connection.user):
            kind = str(message["update_type"])
            if kind in invitation.update_types:
                update = PortfolioUpdate(connection.user, kind, orjson.dumps(message))
                self._tell(connection, update)

    def asked(self, connection: FeedConnection, payload: bytes) -> None:
        """Ignore it: the stream takes no messages."""
        if connection.record is not None:
            connection.record.bad_requests += 1

    def sent(self, connection: FeedConnection, message: Frame) -> None:
        assert connection.record is not None
        self.ledger.updated(connection.record, message.current_ts, message.payload)

    def lost(self, connection: FeedConnection) -> None:
        self._types.pop(connection, None)
        self._waiting.pop(connection, None)
        super().lost(connection)

    def faults_changed(self, fault: Fault | None) -> None:
        if self.faults.active(ShuffleUpdates) is None:
            self._release()
        if self.active(Silence) is None:
            waiting, self._waiting = self._waiting, {}
            for connection, updates in waiting.items():
                for update in updates:
                    self._tell(connection, update)
        super().faults_changed(fault)
