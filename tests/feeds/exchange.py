"""The other end of the wire, by hand: an authorise call and a WebSocket that a test scripts."""

import base64
import hashlib
import json
import socket
import struct
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Self

from feeds.upstox.proto import market_data_feed_pb2 as pb

TOKEN = "canary-token-7f3a"
MAGIC = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
T0 = 1_764_129_600_000  # 2025-11-26 09:30:00 IST


def frame(opcode: int, payload: bytes = b"", *, fin: bool = True) -> bytes:
    """Encode as servers do, unmasked."""
    head = bytes([(0x80 if fin else 0) | opcode])
    if len(payload) < 126:
        return head + bytes([len(payload)]) + payload
    if len(payload) < 65536:
        return head + b"\x7e" + struct.pack("!H", len(payload)) + payload
    return head + b"\x7f" + struct.pack("!Q", len(payload)) + payload


def ltpc(prices: dict[str, float], *, at: int = T0, kind: int = 1) -> bytes:
    message = pb.FeedResponse(type=kind, currentTs=at)
    for key, price in prices.items():
        trade = message.feeds[key].ltpc
        trade.ltp, trade.ltt, trade.ltq, trade.cp = price, at, 75, 100.0
    return message.SerializeToString()


def market_info(status: int, *segments: str) -> bytes:
    message = pb.FeedResponse(type=2, currentTs=T0)
    for segment in segments:
        message.marketInfo.segmentStatus[segment] = status
    return message.SerializeToString()


class Gone(Exception):
    """The client has closed."""


class Peer:
    """One accepted WebSocket, after the handshake."""

    def __init__(self, sock: socket.socket, number: int) -> None:
        self.sock = sock
        self.number = number
        self.asked: dict[str, str] = {}
        self.requests: list[dict[str, Any]] = []
        self.pings = self.pongs = 0

    def raw(self, data: bytes) -> None:
        self.sock.sendall(data)

    def send(self, payload: bytes) -> None:
        self.raw(frame(2, payload))

    def close(self, code: int) -> None:
        self.raw(frame(8, struct.pack("!H", code)))

    def reset(self) -> None:
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()

    def fin(self) -> None:
        self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def read(self, *, pong: bool = True) -> dict[str, Any] | None:
        """Return the next request; None for a control frame. Raises Gone at the end."""
        opcode, payload = self._frame()
        if opcode == 9:
            self.pings += 1
            if pong:
                self.raw(frame(10, payload))
        elif opcode == 10:
            self.pongs += 1
        elif opcode == 8:
            raise Gone
        else:
            assert opcode == 2, "requests must be binary"
            request: dict[str, Any] = json.loads(payload)
            self._note(request)
            return request
        return None

    def serve(self, answer: Callable[[dict[str, Any]], None]) -> None:
        while True:
            request = self.read()
            if request:
                answer(request)

    def swallow(self, *, pong: bool = True) -> None:
        """Read to the end, saying nothing but pongs."""
        while True:
            self.read(pong=pong)

    def snapshot(self, request: dict[str, Any], *, at: int = T0, price: float = 100.0) -> None:
        if request["method"] == "sub":
            keys = request["data"]["instrumentKeys"]
            self.send(ltpc(dict.fromkeys(keys, price), at=at, kind=0))

    def _note(self, request: dict[str, Any]) -> None:
        self.requests.append(request)
        for key in request["data"]["instrumentKeys"]:
            if request["method"] == "unsub":
                self.asked.pop(key, None)
            else:
                self.asked[key] = request["data"]["mode"]

    def _frame(self) -> tuple[int, bytes]:
        first, second = self._exactly(2)
        size = second & 0x7F
        if size == 126:
            (size,) = struct.unpack("!H", self._exactly(2))
        elif size == 127:
            (size,) = struct.unpack("!Q", self._exactly(8))
        assert second & 0x80, "a client must mask"
        mask = self._exactly(4)
        data = self._exactly(size)
        return first & 0xF, bytes(b ^ mask[i % 4] for i, b in enumerate(data))

    def _exactly(self, size: int) -> bytes:
        data = b""
        while len(data) < size:
            try:
                more = self.sock.recv(size - len(data))
            except OSError:
                raise Gone from None
            if not more:
                raise Gone
            data += more
        return data


@dataclass
class Reply:
    """A scripted HTTP answer."""

    status: int = 200
    body: bytes = b""
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)
    delay: float = 0.0
    drop: bool = False  # the connection, without an answer
    close: bool = False  # the connection, after the answer and without a word of it


def success(data: object) -> Reply:
    return Reply(body=json.dumps({"status": "success", "data": data}).encode())


def failure(status: int, code: str, message: str = "no", **headers: str) -> Reply:
    errors = [{"errorCode": code, "message": message}]
    body = json.dumps({"status": "error", "errors": errors}).encode()
    return Reply(status, body, headers=headers)


Script = Callable[[Peer], None]


class Exchange:
    """Serves HTTP by `replies` (path -> Reply or function of the head) and sockets by `script`.

    A socket's address is good once; the script runs on a thread of its own for each socket.
    """

    def __init__(self, script: Script) -> None:
        self.script = script
        self.replies: dict[str, Reply | Callable[[str], Reply]] = {}
        self.token = TOKEN
        self.heads: list[str] = []  # of every request, as it came
        self.bodies: list[bytes] = []  # of every request without a socket, empty ones too
        self.peers: list[Peer] = []
        self.authorised = 0
        self.refuse_socket: int | None = None  # status
        self.open_now = self.most_open = 0
        self.failures: list[BaseException] = []
        self._codes: set[str] = set()
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=16)
        self.port = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._threads: list[threading.Thread] = []
        self._stopped = False
        self._sockets: list[socket.socket] = []
        self._spawn(self._accept)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stopped = True
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for sock in self._sockets:
            try:
                sock.shutdown(socket.SHUT_RDWR)
            except OSError:
                continue
        for thread in self._threads:
            thread.join(5)
        for sock in self._sockets:
            sock.close()
        if self.failures:
            raise self.failures[0]

    def _spawn(self, target: Callable[..., None], *args: object) -> None:
        thread = threading.Thread(target=target, args=args, daemon=True)
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                sock, _ = self._listener.accept()
            except OSError:
                return
            self._sockets.append(sock)
            self._spawn(self._connection, sock)

    def _connection(self, sock: socket.socket) -> None:
        try:
            while head := _head(sock):
                self.heads.append(head)
                if "upgrade: websocket" in head.lower():
                    self._socket(sock, head)
                    return
                self._http(sock, head, _body(sock, head))
        except (OSError, Gone):
            pass
        except BaseException as error:  # noqa: BLE001 (shown by the test at the end)
            self.failures.append(error)
        finally:
            sock.close()

    def _http(self, sock: socket.socket, head: str, body: bytes) -> None:
        self.bodies.append(body)
        path = head.split(" ")[1].partition("?")[0]
        reply = self.replies.get(path)
        if callable(reply):
            reply = reply(head)
        if reply is None and path.endswith("/authorize"):
            reply = self._authorise(head)
        reply = reply or failure(404, "UDAPI100060")
        if reply.delay:
            threading.Event().wait(reply.delay)
        if reply.drop:
            raise Gone
        lines = [f"HTTP/1.1 {reply.status} X", f"Content-Type: {reply.content_type}"]
        lines += [f"Content-Length: {len(reply.body)}"]
        lines += [f"{k.replace('_', '-')}: {v}" for k, v in reply.headers.items()]
        sock.sendall("\r\n".join([*lines, "", ""]).encode() + reply.body)
        if reply.close:
            raise Gone

    def _authorise(self, head: str) -> Reply:
        if f"Bearer {self.token}\r\n" not in head:
            return failure(401, "UDAPI100050", "Invalid token used to access API")
        with self._lock:
            self.authorised += 1
            code = f"c{self.authorised}"
            self._codes.add(code)
        return success({"authorized_redirect_uri": f"ws://127.0.0.1:{self.port}/feed?code={code}"})

    def _socket(self, sock: socket.socket, head: str) -> None:
        code = head.split(" ")[1].rpartition("code=")[2]
        with self._lock:
            good = code in self._codes
            self._codes.discard(code)
        if not good or self.refuse_socket:
            status = self.refuse_socket or 403
            sock.sendall(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return
        peer = Peer(sock, len(self.peers))
        with self._lock:  # before the client can know that it is connected
            self.peers.append(peer)
            self.open_now += 1
            self.most_open = max(self.most_open, self.open_now)
        try:
            _shake_hands(sock, head)
            self.script(peer)
        finally:
            with self._lock:
                self.open_now -= 1


def _head(sock: socket.socket) -> str:
    data = b""
    while not data.endswith(b"\r\n\r\n"):
        more = sock.recv(1)
        if not more:
            return ""
        data += more
    return data.decode()


def _body(sock: socket.socket, head: str) -> bytes:
    lines = dict(line.lower().split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    size = int(lines.get("content-length", 0))
    data = b""
    while len(data) < size:
        more = sock.recv(size - len(data))
        if not more:
            raise Gone
        data += more
    return data


def _shake_hands(sock: socket.socket, head: str) -> None:
    lines = dict(line.split(": ", 1) for line in head.split("\r\n")[1:] if ": " in line)
    key = {k.lower(): v for k, v in lines.items()}["sec-websocket-key"]
    accept = base64.b64encode(hashlib.sha1((key + MAGIC).encode()).digest()).decode()
    sock.sendall(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Accept: {accept}\r\n\r\n".encode()
    )
