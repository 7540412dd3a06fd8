"""Many programs that listen to a desk, in one process: each is a socket and a frame parser by hand.

A client library would cost more for each message than what is measured. On standard input
`open N` connects so many more and `report` tells what they have heard; each is answered by one
line of JSON.
"""

import argparse
import base64
import json
import os
import secrets
import select
import socket
import struct
import sys
import time
from dataclasses import dataclass, field
from typing import Any, Final

PONG: Final = b'{"type":"pong"}'
TEXT, CLOSE, PING, PONGS = 1, 8, 9, 10
OPENING: Final = 60.0  # seconds until all must have been greeted


@dataclass(slots=True)
class Client:
    """One connection; before the answer to its handshake it has no frames."""

    sock: socket.socket
    read: bytearray = field(default_factory=bytearray)
    accepted: bool = False
    greeted: bool = False


class Crowd:
    def __init__(self, port: int, path: str, token: str) -> None:
        self._port, self._path, self._token = port, path, token
        self._clients: dict[int, Client] = {}
        self._poll = select.epoll()
        self._heard: dict[bytes, list[float]] = {}  # one text for all: when each received it
        self._lost = self._refused = 0

    def run(self) -> None:
        """Serve until standard input ends."""
        stdin = sys.stdin.fileno()
        self._poll.register(stdin, select.EPOLLIN)
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor != stdin:
                    self._receive(descriptor)
                elif words := os.read(stdin, 1000).split():
                    told = self._open(int(words[1])) if words[0] == b"open" else self._report()
                    sys.stdout.write(json.dumps(told) + "\n")
                    sys.stdout.flush()
                else:
                    return

    # opening

    def _open(self, count: int) -> dict[str, Any]:
        """Connect so many at once; return the seconds until each was greeted."""
        began, before = time.monotonic(), len(self._clients)
        for _ in range(count):
            self._connect()
        took: list[float] = []
        while len(took) < count - self._refused and time.monotonic() - began < OPENING:
            for descriptor, _ in self._poll.poll(0.1):
                client = self._clients.get(descriptor)
                if client is None:
                    continue
                known = client.greeted
                self._receive(descriptor)
                if client.greeted and not known:
                    took.append(time.monotonic() - began)
        return {"open": len(self._clients) - before, "refused": self._refused, "took": took}

    def _connect(self) -> None:
        sock = socket.create_connection(("127.0.0.1", self._port), timeout=OPENING)
        key = base64.b64encode(secrets.token_bytes(16)).decode()
        head = (
            f"GET {self._path} HTTP/1.1", f"Host: 127.0.0.1:{self._port}", "Upgrade: websocket",
            "Connection: Upgrade", f"Sec-WebSocket-Key: {key}", "Sec-WebSocket-Version: 13",
            f"Authorization: Bearer {self._token}", "", "",
        )  # fmt: skip
        sock.sendall("\r\n".join(head).encode())
        sock.setblocking(False)
        self._clients[sock.fileno()] = Client(sock)
        self._poll.register(sock, select.EPOLLIN)

    # hearing

    def _receive(self, descriptor: int) -> None:
        client = self._clients[descriptor]
        try:
            data = client.sock.recv(1 << 18)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        at = time.monotonic()
        if not data:
            self._drop(descriptor, client)
            return
        client.read += data
        if not client.accepted and not self._accept(descriptor, client):
            return
        while (frame := _frame(client.read)) is not None:
            self._take(descriptor, client, *frame, at)

    def _accept(self, descriptor: int, client: Client) -> bool:
        head, end, rest = bytes(client.read).partition(b"\r\n\r\n")
        if not end:
            return False
        if b" 101 " not in head.partition(b"\r\n")[0]:
            self._refused += 1
            self._drop(descriptor, client)
            return False
        client.accepted, client.read = True, bytearray(rest)
        return True

    def _take(
        self, descriptor: int, client: Client, opcode: int, payload: bytes, at: float
    ) -> None:
        if opcode == PING:
            client.sock.sendall(_masked(PONGS, payload))
        elif opcode == CLOSE:
            self._drop(descriptor, client)
        elif opcode == TEXT and payload.startswith(b'{"type":"ping"'):
            client.sock.sendall(_masked(TEXT, PONG))
        elif opcode == TEXT and payload.startswith(b'{"type":"connection_established"'):
            client.greeted = True
        elif opcode == TEXT:
            self._heard.setdefault(payload, []).append(at)

    def _drop(self, descriptor: int, client: Client) -> None:
        if self._clients.pop(descriptor, None) is not None:
            self._lost += 1
            self._poll.unregister(descriptor)
            client.sock.close()

    def _report(self) -> dict[str, Any]:
        """Return each text with the moments of its receipts, and forget them."""
        heard, self._heard = self._heard, {}
        rows = [(json.loads(text), at) for text, at in heard.items()]
        return {"open": len(self._clients), "lost": self._lost, "heard": rows}


def _frame(data: bytearray) -> tuple[int, bytes] | None:
    """Take one frame from a server off the front; None if it is not all there."""
    if len(data) < 2:
        return None
    length, start = data[1], 2
    if length == 126:
        start = 4
    elif length == 127:
        start = 10
    if len(data) < start:
        return None
    if start > 2:
        length = int.from_bytes(data[2:start], "big")
    if len(data) < start + length:
        return None
    opcode, payload = data[0] & 0x0F, bytes(data[start : start + length])
    del data[: start + length]
    return opcode, payload


def _masked(opcode: int, payload: bytes) -> bytes:
    """Encode a short frame as clients do, with a mask of zeros."""
    return struct.pack("!BB4x", 0x80 | opcode, 0x80 | len(payload)) + payload


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--path", default="/api/ws/orders")
    parser.add_argument("--token", required=True)
    given = parser.parse_args()
    Crowd(given.port, given.path, given.token).run()


if __name__ == "__main__":
    main()
