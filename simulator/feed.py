"""The feeder: who listens to which instruments, and every change of the market sent in order."""

import asyncio
import random
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import partial

import orjson
from pydantic import BaseModel, ConfigDict, ValidationError

from feeds.upstox.proto import market_data_feed_pb2 as pb
from simulator.calendar import SEGMENTS, MarketStatus
from simulator.connection import FeedConnection, Frame
from simulator.faults import (
    Burst,
    Edit,
    Fault,
    Heartbeats,
    IgnoreKeys,
    Injection,
    OverLimit,
    Shuffle,
    Silence,
    Twice,
    Whole,
)
from simulator.feeder import STATUS_EVERY, StreamHost
from simulator.frames import Opcode, frame
from simulator.limits import Mode, room
from simulator.model import Part
from simulator.tokens import Invitation
from simulator.venue import Venue
from simulator.wire import ALL, Update, market_info, read_back, response, update

PATH = "/market-data-feeder/v3/upstox-developer-api/feeds"
IDLE = 1.0  # seconds between advances of a market that nobody listens to
CHUNK = 500  # changes after which other work of the loop gets its turn


class Asked(BaseModel):
    """A subscription request, in the broker's own field names."""

    model_config = ConfigDict(extra="ignore")

    class Data(BaseModel):
        mode: Mode | None = None
        instrumentKeys: list[str]  # noqa: N815  the broker's spelling

    guid: str = ""
    method: str
    data: Data

    @property
    def is_understood(self) -> bool:
        if self.method == "change_mode":
            return self.data.mode is not None
        return self.method in ("sub", "unsub")


class FeedHost(StreamHost):
    """Holds what each connection wants of the market, and carries the market to them.

    Everything here runs on the exchange's own loop.
    """

    feed = "market"
    path = PATH

    def __init__(
        self,
        venue: Venue,
        *,
        flush: float = 0.05,  # seconds that changes are collected into a frame
        ping: float = 10.0,
        per_frame: int = 100,  # instruments
        max_buffer: int = 4 << 20,
    ) -> None:
        super().__init__(venue, venue.invitations, ping=ping, max_buffer=max_buffer)
        self._flush = flush
        self._per_frame = per_frame
        self._listeners: dict[str, dict[FeedConnection, Mode]] = {}
        self._statuses: dict[str, MarketStatus] = {}
        self._status_due = 0.0
        self._heartbeat_due = 0.0

    # --- the beat

    async def run(self) -> None:
        """Advance the market and send what changed, until cancelled."""
        while True:
            began = time.monotonic()
            await self._advance()
            self._look_around(time.monotonic())
            self.flush()
            busy = self.connections or self._venue.broker.busy
            pause = self._flush if busy else IDLE
            self._wake.clear()
            await self._sleep(max(0.0, began + pause - time.monotonic()))

    async def _sleep(self, seconds: float) -> None:
        if self.connections:
            await asyncio.sleep(seconds)
            return
        with suppress(TimeoutError):  # a first listener or order must not wait for an idle beat
            await asyncio.wait_for(self._wake.wait(), seconds)

    def hurry(self) -> None:
        """Let the next beat come now, if it waits for a listener."""
        self._wake.set()

    async def _advance(self) -> None:
        changes = self._venue.market.advance(self._venue.clock.now_ms())
        count = 0
        for key, part in changes:
            self.publish(key, part)
            self._venue.broker.market_changed(key)
            count += 1
            if count % CHUNK == 0:
                await asyncio.sleep(0)
        burst = self.faults.active(Burst)
        if burst is not None and self._listeners:
            await self._more(int(count * (burst.factor - 1)))

    async def _more(self, count: int) -> None:
        """Have so many further changes happen to instruments that somebody listens to."""
        keys = self.faults.chance.choices(sorted(self._listeners), k=count)
        for done, key in enumerate(keys, 1):
            self._venue.stir(key)
            self.publish(key, Part.ALL)
            self._venue.broker.market_changed(key)
            if done % CHUNK == 0:
                await asyncio.sleep(0)

    def _look_around(self, now: float) -> None:
        if now >= self._status_due:
            self._status_due = now + STATUS_EVERY
            self._tell_status()
            self._venue.broker.look_around()
            self.cut_expired()
        silence = self.active(Silence)
        if isinstance(silence, Heartbeats) and now >= self._heartbeat_due:
            self._heartbeat_due = now + silence.every
            for connection in self.connections:
                connection.send_control(self._market_info())
        self.ping_idle(now)

    def _tell_status(self) -> None:
        now_ms = self._venue.clock.now_ms()
        statuses = {s: self._venue.calendar.status(s, now_ms) for s in SEGMENTS}
        if statuses == self._statuses:
            return
        first, self._statuses = not self._statuses, statuses
        if not first and self.active(Silence) is None:
            for connection in self.connections:
                connection.send_control(self._market_info())

    def _market_info(self) -> bytes:
        now_ms = self._venue.clock.now_ms()
        if not self._statuses:
            self._statuses = {s: self._venue.calendar.status(s, now_ms) for s in SEGMENTS}
        payload = market_info(self._statuses, now_ms)
        return self._edited(Frame(payload, (), now_ms, initial=False)).payload

    # --- from the market to the connections

    def publish(self, key: str, part: Part) -> None:
        """Encode this change for all who listen to it; once for each mode, not for each reader."""
        listeners = self._listeners.get(key)
        if not listeners:
            return
        instrument, quote = self._venue.market.instruments[key], self._venue.market.quotes[key]
        parts = ALL if self.faults.active(Whole) else int(part)
        encoded: dict[tuple[Mode, int], Update | None] = {}
        for connection, mode in listeners.items():
            if key in connection.unanswered:
                continue  # its snapshot will have this change
            due = parts | connection.owed.pop(key, 0)
            slot = (mode, due)
            if slot not in encoded:
                encoded[slot] = update(instrument, quote, mode, due)
            item = encoded[slot]
            if item is not None:
                connection.pending.append(item)

    def flush(self) -> None:
        """Send what has been collected."""
        for connection in tuple(self.connections):
            self._flush_to(connection)

    def _flush_to(self, connection: FeedConnection) -> None:
        pending, connection.pending = connection.pending, []
        if self.active(Silence) is not None:
            for item in pending:
                owed = connection.owed.get(item.instrument_key, 0)
                connection.owed[item.instrument_key] = owed | item.parts
            return
        now_ms = self._venue.clock.now_ms()
        for batch in batches(pending, self._per_frame):
            payload = response(pb.Type.live_feed, batch, now_ms)
            self._deliver(connection, Frame(payload, batch, now_ms, initial=False))
        self._answer(connection, now_ms)

    def _answer(self, connection: FeedConnection, now_ms: int) -> None:
        """Send the snapshots that subscriptions are waiting for."""
        if not connection.unanswered:
            return
        waiting, connection.unanswered = connection.unanswered, {}
        snapshots = [item for key in waiting if (item := self._snapshot(connection, key))]
        for batch in batches(snapshots, self._per_frame):
            payload = response(pb.Type.initial_feed, batch, now_ms)
            self._deliver(connection, Frame(payload, batch, now_ms, initial=True))

    def _snapshot(self, connection: FeedConnection, key: str) -> Update | None:
        mode = connection.modes.get(key)
        if mode is None:
            return None
        connection.owed.pop(key, None)
        market = self._venue.market
        return update(market.instruments[key], market.quotes[key], mode, ALL)

    def _deliver(self, connection: FeedConnection, message: Frame) -> None:
        message = self._edited(message)
        for injection in self.take_all(Injection):
            connection.inject(injection.wire(self.faults.chance))
        copies = 2 if self.faults.take(Twice) else 1
        connection.window += [message] * copies
        shuffle = self.faults.active(Shuffle)
        for ready in release(connection.window, shuffle, self.faults.chance):
            connection.send(ready)

    def _edited(self, message: Frame) -> Frame:
        if self.faults.active(Edit) is None:
            return message
        parsed = pb.FeedResponse.FromString(message.payload)
        edits = list(self.faults.take_all(Edit, lambda edit: edit.touches(parsed)))
        if not edits:
            return message
        for edit in edits:
            edit.edit(parsed)
        payload = parsed.SerializeToString(deterministic=True)
        return Frame(payload, read_back(parsed), parsed.currentTs, message.initial)

    # --- from the connections

    def welcomed(self, connection: FeedConnection, invitation: Invitation) -> None:
        silence = self.active(Silence)
        if silence is None or isinstance(silence, Heartbeats):
            connection.send_control(self._market_info())

    def sent(self, connection: FeedConnection, message: Frame) -> None:
        assert connection.record is not None
        self.ledger.sent(
            connection.record,
            message.current_ts,
            message.updates,
            size=len(message.payload),
            initial=message.initial,
        )

    def asked(self, connection: FeedConnection, payload: bytes) -> None:
        """Act on a subscription request; there is no answer but data."""
        record = connection.record
        if record is None:
            return
        try:
            request = Asked.model_validate(orjson.loads(payload))
        except (orjson.JSONDecodeError, ValidationError):
            record.bad_requests += 1
            return
        if not request.is_understood:
            record.bad_requests += 1
            return
        record.requests.append(request.method)  # before the answer: who has that may look here
        keys = list(dict.fromkeys(request.data.instrumentKeys))
        if request.method == "unsub":
            self._unwant(connection, keys)
            return
        if request.method == "change_mode":
            keys = [key for key in keys if key in connection.modes]
        self._want(connection, keys, request.data.mode or Mode.LTPC)

    def _want(self, connection: FeedConnection, keys: list[str], mode: Mode) -> None:
        assert connection.record is not None
        self._flush_to(connection)  # earlier changes go before the snapshot
        for key in keys:
            if key not in self._venue.market.instruments:
                connection.record.unknown_keys += 1
            elif self.faults.take(IgnoreKeys, partial(names, key)):
                connection.record.ignored_keys += 1
            elif self._fits(connection, key, mode):
                connection.modes[key] = mode
                connection.unanswered[key] = None
                self._listen(connection, key, mode)
        self._flush_to(connection)

    def _fits(self, connection: FeedConnection, key: str, mode: Mode) -> bool:
        assert connection.record is not None
        used = dict.fromkeys(Mode, 0)
        for other, held in connection.modes.items():
            if other != key:
                used[held] += 1
        if room(mode, used):
            return True
        connection.record.over_limit += 1
        fault = self.faults.take(OverLimit)
        if fault is not None and fault.how == "close":
            connection.close(1008, "too many instruments")
        return fault is not None and fault.how == "serve"

    def _listen(self, connection: FeedConnection, key: str, mode: Mode) -> None:
        listeners = self._listeners.setdefault(key, {})
        if connection not in listeners:
            self._venue.look(key)
            self._venue.interest.add(key)
        listeners[connection] = mode

    def _unwant(
        self, connection: FeedConnection, keys: Iterable[str], *, lost: bool = False
    ) -> None:
        for key in tuple(keys):
            connection.modes.pop(key, None)
            connection.owed.pop(key, None)
            connection.unanswered.pop(key, None)
            listeners = self._listeners.get(key, {})
            if listeners.pop(connection, None) is not None:
                self._venue.interest.remove(key, lost=lost)
            if not listeners:
                self._listeners.pop(key, None)

    def lost(self, connection: FeedConnection) -> None:
        self._unwant(connection, connection.modes, lost=True)
        super().lost(connection)

    def faults_changed(self, fault: Fault | None) -> None:
        if self.faults.active(Shuffle) is None:
            self._release_windows()
        super().faults_changed(fault)

    def send_raw(self, payload: bytes) -> None:
        """Send this message as it is to every connection."""
        self.inject([frame(Opcode.BINARY, payload)])

    def _release_windows(self) -> None:
        for connection in self.connections:
            held, connection.window = connection.window, []
            for message in held:
                connection.send(message)


def batches(items: Iterable[Update], size: int) -> Iterator[tuple[Update, ...]]:
    """Put updates into frames of at most `size`: each instrument's n-th change into the n-th layer.

    A frame's map holds a key once: of two changes in one frame the first would be lost. Changes of
    one instrument stay in order, those of different ones need not within one flush.
    """
    layers: list[list[Update]] = []
    seen: dict[str, int] = {}
    for item in items:
        nth = seen.get(item.instrument_key, 0)
        seen[item.instrument_key] = nth + 1
        if nth == len(layers):
            layers.append([])
        layers[nth].append(item)
    for layer in layers:
        for start in range(0, len(layer), size):
            yield tuple(layer[start : start + size])


def release(window: list[Frame], shuffle: Shuffle | None, chance: random.Random) -> list[Frame]:
    """Take the frames that may go now out of the window, shuffled if that is asked for."""
    if shuffle is not None and len(window) < shuffle.window:
        return []
    ready, window[:] = list(window), []
    if shuffle is not None:
        chance.shuffle(ready)
    return ready


def names(key: str, fault: IgnoreKeys) -> bool:
    return key in fault.keys
