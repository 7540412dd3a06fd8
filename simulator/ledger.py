"""The ground truth of what the simulated exchange was asked and what it put on the wire."""

import time
from array import array
from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple

from simulator.faults import Feed
from simulator.wire import Update

CALLS_KEPT = 100_000


class Call(NamedTuple):
    """One REST request; `at` in seconds of time.monotonic, `exchange_ms` in epoch ms."""

    method: str
    path: str
    status: int
    at: float
    exchange_ms: int


class Handshake(NamedTuple):
    """One attempt to open a feed connection; status 0 if it was left without an answer."""

    status: int
    at: float
    exchange_ms: int


class Sent(NamedTuple):
    """One instrument's entry in a frame that was written to a connection."""

    connection: int
    instrument_key: str
    current_ts: int
    ltt: int
    vtt: int
    ltq: int
    ltp: float
    initial: bool
    parts: int


class UpdateSent(NamedTuple):
    """A message that was written to a portfolio stream; `at` in seconds of time.monotonic."""

    connection: int
    at: float
    exchange_ms: int
    message: bytes


class Posted(NamedTuple):
    """A postback that was tried once; status 0 if there was no answer, `trouble` says why."""

    status: int
    at: float
    exchange_ms: int
    message: bytes
    trouble: str = ""


@dataclass(slots=True)
class ConnectionRecord:
    """What went over one feed connection, in plain counters."""

    number: int
    user: str
    opened_ms: int
    closed: str = ""  # why, once it is
    frames: int = 0  # data frames only
    bytes: int = 0
    initial: int = 0  # instruments in snapshots
    live: int = 0  # instruments in live frames
    market_infos: int = 0
    pings: int = 0
    pongs: int = 0
    injected: int = 0  # frames that a fault sent
    requests: list[str] = field(default_factory=list)  # sub, unsub, change_mode
    text_frames: int = 0
    bad_requests: int = 0
    unknown_keys: int = 0
    over_limit: int = 0  # keys that got no data
    ignored_keys: int = 0  # by a fault


class Rows:
    """Every tick sent, column by column: 41 bytes and about a microsecond each."""

    def __init__(self) -> None:
        self._keys: dict[str, int] = {}
        self._connection = array("H")
        self._key = array("I")
        self._flags = array("B")
        self._ltp = array("d")
        self._current, self._ltt, self._vtt, self._ltq = (array("q") for _ in range(4))

    def add(self, connection: int, current_ts: int, item: Update, *, initial: bool) -> None:
        self._connection.append(connection)
        self._current.append(current_ts)
        self._ltt.append(item.ltt)
        self._vtt.append(item.vtt)
        self._ltq.append(item.ltq)
        self._ltp.append(item.ltp)
        self._flags.append(item.parts | (0x80 if initial else 0))
        # last, so that a reader on another thread who counts keys sees whole rows only
        self._key.append(self._keys.setdefault(item.instrument_key, len(self._keys)))

    def __len__(self) -> int:
        return len(self._key)

    def read(self, start: int, count: int | None) -> list[Sent]:
        end = len(self) if count is None else min(len(self), start + count)
        names = list(self._keys)
        return [
            Sent(
                self._connection[n],
                names[self._key[n]],
                self._current[n],
                self._ltt[n],
                self._vtt[n],
                self._ltq[n],
                self._ltp[n],
                bool(self._flags[n] & 0x80),
                self._flags[n] & 0x7F,
            )
            for n in range(start, end)
        ]


class Ledger:
    """Written by the exchange's own thread; plain counters and appends may be read from any."""

    def __init__(self, *, keep_rows: bool = False) -> None:
        self._rows = Rows() if keep_rows else None
        self.connections: list[ConnectionRecord] = []
        self.handshakes: deque[Handshake] = deque(maxlen=CALLS_KEPT)
        self.update_connections: list[ConnectionRecord] = []  # portfolio streams
        self.update_handshakes: deque[Handshake] = deque(maxlen=CALLS_KEPT)
        self.updates: deque[UpdateSent] = deque(maxlen=CALLS_KEPT)
        self.posted: deque[Posted] = deque(maxlen=CALLS_KEPT)
        self.calls: deque[Call] = deque(maxlen=CALLS_KEPT)
        self.call_counts: Counter[str] = Counter()

    def keep_rows(self) -> None:
        """Keep every tick from now on; costs 41 bytes each."""
        if self._rows is None:
            self._rows = Rows()

    def called(self, method: str, path: str, status: int, exchange_ms: int) -> None:
        self.calls.append(Call(method, path, status, time.monotonic(), exchange_ms))
        self.call_counts[f"{method} {path}"] += 1

    def shook_hands(self, status: int, exchange_ms: int, *, feed: Feed = "market") -> None:
        hands = self.handshakes if feed == "market" else self.update_handshakes
        hands.append(Handshake(status, time.monotonic(), exchange_ms))

    def opened(self, user: str, exchange_ms: int, *, feed: Feed = "market") -> ConnectionRecord:
        records = self.connections if feed == "market" else self.update_connections
        records.append(ConnectionRecord(len(records) + 1, user, exchange_ms))
        return records[-1]

    def sent(
        self,
        record: ConnectionRecord,
        current_ts: int,
        items: Iterable[Update],
        *,
        size: int,
        initial: bool,
    ) -> None:
        """Note one frame of `size` bytes that carries these instruments."""
        items = tuple(items)
        record.frames += 1
        record.bytes += size
        if initial:
            record.initial += len(items)
        else:
            record.live += len(items)
        if self._rows is not None:
            for item in items:
                self._rows.add(record.number, current_ts, item, initial=initial)

    def updated(self, record: ConnectionRecord, exchange_ms: int, message: bytes) -> None:
        """Note one message to a portfolio stream."""
        record.frames += 1
        record.bytes += len(message)
        self.updates.append(UpdateSent(record.number, time.monotonic(), exchange_ms, message))

    def rows(self, start: int = 0, count: int | None = None) -> list[Sent]:
        """Return the ticks sent since rows are kept; raise LookupError if they are not."""
        if self._rows is None:
            raise LookupError("the ledger does not keep rows: switch them on before connecting")
        return self._rows.read(start, count)

    def calls_to(self, path: str) -> list[Call]:
        return [call for call in tuple(self.calls) if call.path == path]

    def summary(self) -> dict[str, Any]:
        """Return the counts as plain data for the control route."""
        return {
            "connections": [asdict(record) for record in tuple(self.connections)],
            "handshakes": [hand._asdict() for hand in tuple(self.handshakes)[-100:]],
            "handshake_count": len(self.handshakes),
            "update_connections": [asdict(record) for record in tuple(self.update_connections)],
            "updates_sent": len(self.updates),
            "posted": len(self.posted),
            "calls": dict(self.call_counts),
            "ticks_sent": sum(r.initial + r.live for r in tuple(self.connections)),
            "rows_kept": len(self._rows) if self._rows is not None else None,
        }
