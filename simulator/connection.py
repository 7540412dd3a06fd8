"""One connection at the feeder: the handshake, requests in, frames out, and how it can end."""

import asyncio
import math
import socket
import struct
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple, Protocol, TypeVar
from urllib.parse import parse_qs, urlsplit

from wsproto.connection import Connection as WebSocket
from wsproto.connection import ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Event, Ping, TextMessage
from wsproto.utilities import LocalProtocolError, RemoteProtocolError, generate_accept_token

from simulator.faults import Fault, MidFrame, Slow, Trickle
from simulator.frames import Opcode, close, frame
from simulator.ledger import ConnectionRecord
from simulator.limits import Mode
from simulator.tokens import Token
from simulator.wire import Update

END_OF_HEAD = b"\r\n\r\n"
LONGEST_HEAD = 16_384  # bytes of a request's head
LONGEST_REQUEST = 1 << 20  # bytes of a subscription message
FAREWELL = 1.0  # seconds that the other side has to answer a close frame
REASONS = {101: "Switching Protocols", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden",
           404: "Not Found", 429: "Too Many Requests"}  # fmt: skip

F = TypeVar("F", bound=Fault)


class Frame(NamedTuple):
    """A data message and the facts about it that the ledger keeps."""

    payload: bytes
    updates: tuple[Update, ...]
    current_ts: int
    initial: bool
    opcode: Opcode = Opcode.BINARY


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a handshake; header names in lower case."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]

    @property
    def is_upgrade(self) -> bool:
        return (
            self.method == "GET"
            and self.headers.get("upgrade", "").lower() == "websocket"
            and self.headers.get("sec-websocket-version") == "13"
            and "sec-websocket-key" in self.headers
        )


def parse_request(head: bytes) -> Request | None:
    """Read the head of an HTTP request; None if it is not one."""
    first, *lines = head.decode("latin-1").split("\r\n")
    words = first.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return None
    url = urlsplit(words[1])
    query = {name: values[0] for name, values in parse_qs(url.query).items()}
    pairs = (line.partition(":") for line in lines if line)
    headers = {name.strip().lower(): value.strip() for name, _, value in pairs}
    return Request(words[0], url.path, query, headers)


class Host(Protocol):
    """What a connection needs of the stream that it belongs to."""

    max_buffer: int

    @property
    def reads(self) -> bool: ...

    @property
    def pongs(self) -> bool: ...

    def take(self, kind: type[F]) -> F | None: ...

    def greet(self, connection: "FeedConnection", request: Request | None) -> None: ...

    def asked(self, connection: "FeedConnection", payload: bytes) -> None: ...

    def sent(self, connection: "FeedConnection", message: Frame) -> None: ...

    def lost(self, connection: "FeedConnection") -> None: ...


class Port(Protocol):
    """What a connection needs of the port that accepted it."""

    def host_of(self, request: Request | None) -> Host: ...

    def lost(self, connection: "FeedConnection") -> None: ...


class FeedConnection(asyncio.Protocol):
    """Owned by the exchange's loop. Until it is welcomed it has no record and no user."""

    def __init__(self, port: Port) -> None:
        self._port = port
        self._host: Host | None = None  # until the request has named it
        self._head = b""
        self._websocket: WebSocket | None = None
        self._message = bytearray()
        self._transport: asyncio.Transport | None = None
        self._stuck = False  # inside a frame that does not go on
        self._closing = False
        self._not_before = 0.0  # loop time; frames that a fault delays stay in order
        self.record: ConnectionRecord | None = None
        self.token: Token | None = None
        self.modes: dict[str, Mode] = {}
        self.pending: list[Update] = []
        self.owed: dict[str, int] = {}  # parts that changed while nothing could be sent
        self.unanswered: dict[str, None] = {}  # subscribed, snapshot not sent yet; ordered
        self.window: list[Frame] = []  # held back to be shuffled
        self.last_written = time.monotonic()

    @property
    def is_open(self) -> bool:
        return self.record is not None and not self._closing and not self.record.closed

    @property
    def user(self) -> str:
        return self.token.user if self.token is not None else ""

    # --- what asyncio tells us

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        if self._websocket is not None:
            self._receive(data)
            return
        self._head += data
        if END_OF_HEAD in self._head:
            self._shake_hands()
        elif len(self._head) > LONGEST_HEAD:
            self.refuse(400, b"")

    def eof_received(self) -> bool:
        # half-open: keep our side although theirs has ended
        return self._host is not None and not self._host.reads

    def connection_lost(self, exc: Exception | None) -> None:
        self._end("lost" if exc else "closed by the other side")
        self._port.lost(self)
        if self._host is not None:
            self._host.lost(self)

    # --- the handshake

    def _shake_hands(self) -> None:
        head, _, rest = self._head.partition(END_OF_HEAD)
        request = parse_request(head)
        self._host = self._port.host_of(request)
        if not self._host.reads:  # half-open: as if the request were never seen
            self._pause(paused=True)
            return
        self._head = b""
        self._host.greet(self, request)
        if rest and self._websocket is not None:
            self._receive(rest)

    def welcome(self, request: Request, *, accept: bytes | None = None) -> None:
        """Answer 101; with `accept`, a wrong Sec-WebSocket-Accept."""
        key = request.headers["sec-websocket-key"].encode()
        accept = accept or generate_accept_token(key)
        self._websocket = WebSocket(ConnectionType.SERVER)
        self._write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept + b"\r\n\r\n"
        )

    def refuse(self, status: int, body: bytes, headers: Iterable[str] = ()) -> None:
        """Answer an HTTP error and close."""
        lines = [f"HTTP/1.1 {status} {REASONS.get(status, 'Error')}", *headers,
                 "Content-Type: application/json", f"Content-Length: {len(body)}",
                 "Connection: close", "", ""]  # fmt: skip
        self._write("\r\n".join(lines).encode() + body)
        if self._transport is not None:
            self._transport.close()

    # --- frames in

    def _receive(self, data: bytes) -> None:
        assert self._websocket is not None
        try:
            self._websocket.receive_data(data)
            for event in self._websocket.events():
                self._handle(event)
        except (RemoteProtocolError, LocalProtocolError) as error:
            self.close(1002, str(error)[:100])

    def _handle(self, event: Event) -> None:
        match event:
            case Ping():
                if self._host is not None and self._host.pongs:
                    self._write(frame(Opcode.PONG, bytes(event.payload)))
                    self._count("pongs")
            case BytesMessage():
                self._message += event.data
                if len(self._message) > LONGEST_REQUEST:
                    self.close(1009, "message too big")
                elif event.message_finished:
                    payload, self._message = bytes(self._message), bytearray()
                    if self._host is not None:
                        self._host.asked(self, payload)
            case TextMessage():
                if event.message_finished:
                    self._count("text_frames")
            case CloseConnection():
                self._answer_close(event.code)
            case _:
                pass  # a pong: the other side lives

    def _answer_close(self, code: int) -> None:
        if not self._closing:
            self._write(close(code if 1000 <= code < 5000 and code not in {1005, 1006} else 1000))
        self._end(f"closed by the other side, {code}")
        if self._transport is not None:
            self._transport.close()

    # --- frames out

    def send(self, message: Frame) -> None:
        """Write a data message, unless a fault holds it up."""
        assert self._host is not None
        loop = asyncio.get_running_loop()
        slow = self._host.take(Slow)
        due = max(self._not_before, loop.time() + slow.seconds if slow else 0.0)
        if due > loop.time():
            self._not_before = math.nextafter(due, math.inf)  # equal times may change places
            loop.call_at(due, self._send_now, message)
        else:
            self._send_now(message)

    def _send_now(self, message: Frame) -> None:
        if not self.is_open or self._stuck or self._host is None:
            return
        data = frame(message.opcode, message.payload)
        if self._host.take(MidFrame):
            self._write(data[: len(data) // 2])
            self._stuck = True
            return
        if trickle := self._host.take(Trickle):
            self._stuck = True
            self._trickle(data, trickle.every)
            return
        self._host.sent(self, message)  # first: a reader never knows more than the ledger
        self._write(data)
        self._drop_if_slow()

    def _trickle(self, data: bytes, every: float) -> None:
        if data and self._transport is not None and not self._transport.is_closing():
            self._transport.write(data[:1])
            asyncio.get_running_loop().call_later(every, self._trickle, data[1:], every)
        elif not data:
            self._stuck = False

    def _drop_if_slow(self) -> None:
        """A reader that does not keep up is cut off rather than served from ever more memory."""
        if self._transport is None or self._host is None:
            return
        if self._transport.get_write_buffer_size() > self._host.max_buffer:
            self.close(1008, "slow consumer")

    def send_control(self, payload: bytes) -> None:
        """Write a market_info."""
        if self.is_open and not self._stuck:
            self._write(frame(Opcode.BINARY, payload))
            self._count("market_infos")

    def inject(self, pieces: Iterable[bytes]) -> None:
        """Write raw bytes, whole frames or not."""
        for piece in pieces:
            if self.is_open and not self._stuck:
                self._write(piece)
                self._count("injected")

    def ping(self) -> None:
        if self.is_open and not self._stuck:
            self._write(frame(Opcode.PING))
            self._count("pings")

    # --- the end

    def close(self, code: int, reason: str = "") -> None:
        """Send a close frame and wait a moment for the answer."""
        if self._closing or self._transport is None:
            return
        if not self._stuck:
            self._write(close(code, reason))
        self._closing = True
        self._end(f"{code} {reason}".strip())
        asyncio.get_running_loop().call_later(FAREWELL, self._transport.abort)

    def finish(self) -> None:
        """End with a FIN after what is written, without a close frame."""
        self._end("fin")
        if self._transport is not None:
            self._transport.close()

    def reset(self, why: str = "rst") -> None:
        """End with an RST."""
        self._end(why)
        if self._transport is None:
            return
        raw = self._transport.get_extra_info("socket")
        if raw is not None:
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._transport.abort()

    def abort(self, why: str) -> None:
        """End at once, dropping what is not written yet."""
        self._end(why)
        if self._transport is not None:
            self._transport.abort()

    def heed_silence(self) -> None:
        """Stop reading if the stream does not read now, else go on where it was stopped."""
        if self._host is None:
            return
        self._pause(paused=not self._host.reads)
        if self._host.reads and END_OF_HEAD in self._head:
            self._shake_hands()

    def _pause(self, *, paused: bool) -> None:
        if self._transport is None or self._transport.is_closing():
            return
        if paused:
            self._transport.pause_reading()
        else:
            self._transport.resume_reading()

    def _end(self, why: str) -> None:
        if self.record is not None and not self.record.closed:
            self.record.closed = why

    def _write(self, data: bytes) -> None:
        if self._transport is not None and not self._transport.is_closing():
            self._transport.write(data)
            self.last_written = time.monotonic()

    def _count(self, what: str) -> None:
        if self.record is not None:
            setattr(self.record, what, getattr(self.record, what) + 1)
