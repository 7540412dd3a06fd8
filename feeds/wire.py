"""One WebSocket without waiting: bounded frames, deadlines in total, and it can be called away."""

import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import Any, Final
from urllib.parse import urlsplit

import websocket

from trading.errors import Retryable

LARGEST_FRAME: Final = 4 << 20  # bytes; two thousand instruments with thirty levels are 2 MB
LARGEST_MESSAGE: Final = 8 << 20  # bytes, and not in more than so many pieces:
MOST_FRAGMENTS: Final = 1024  # the library joins them one by one
LARGEST_HANDSHAKE: Final = 64 << 10  # bytes
SENDING: Final = 5.0  # seconds for a peer that does not read


class TooBig(Retryable):
    """The other end claims more than a feed can have to say; nothing was allocated for it."""


class Interrupted(Exception):
    """The owner wants its thread back; not an error."""


class Wakeup:
    """Lets another thread end this one's waiting, for new work or for good."""

    def __init__(self) -> None:
        self.stopped = False
        self._receiver, self._sender = socket.socketpair()
        self._receiver.setblocking(False)
        self._sender.setblocking(False)

    def wake(self) -> None:
        try:
            self._sender.send(b"\0")
        except OSError:  # full: it is awake already; or closed: nobody waits
            return

    def stop(self) -> None:
        self.stopped = True
        self.wake()

    def wait(
        self, seconds: float, *, sock: socket.socket | None = None, write: bool = False
    ) -> bool:
        """Return whether the socket is ready; False after the time or a call. Raise if stopped."""
        with selectors.DefaultSelector() as selector:
            selector.register(self._receiver, selectors.EVENT_READ)
            if sock is not None:
                selector.register(sock, selectors.EVENT_WRITE if write else selectors.EVENT_READ)
            ready = [key.fileobj for key, _ in selector.select(max(0.0, seconds))]
        self.heard()
        return sock in ready if sock is not None else False

    def watched_with(self, sock: socket.socket) -> selectors.BaseSelector:
        """Return a selector over both, for a wait that is repeated thousands of times a second."""
        selector = selectors.DefaultSelector()
        selector.register(self._receiver, selectors.EVENT_READ)
        selector.register(sock, selectors.EVENT_READ)
        return selector

    def heard(self) -> None:
        """Forget the calls so far; raise Interrupted if one of them was to stop."""
        if self.stopped:
            raise Interrupted
        try:
            while self._receiver.recv(4096):
                pass
        except BlockingIOError:
            return

    def close(self) -> None:
        self._receiver.close()
        self._sender.close()


class Line:
    """A connected socket that never blocks, with deadlines for what must be done in one go.

    It looks enough like a socket for websocket-client's handshake to run on it.
    """

    def __init__(self, sock: socket.socket, wakeup: Wakeup, *, deadline: float) -> None:
        self._sock = sock
        self._wakeup = wakeup
        self._selector = wakeup.watched_with(sock)
        self._deadline = deadline  # monotonic; of the handshake
        self._allowance = LARGEST_HANDSHAKE

    def recv(self, size: int) -> bytes:
        """Read for the handshake: a server that trickles has the same time as any other."""
        while True:
            try:
                data = self.recv_now(size)
            except BlockingIOError:
                self._until_ready(self._deadline)
                continue
            self._allowance -= len(data)
            if self._allowance < 0:
                raise TooBig("the answer to the handshake does not end")
            if time.monotonic() > self._deadline:
                raise TimeoutError
            return data

    def recv_now(self, size: int) -> bytes:
        """Raise BlockingIOError where nothing is there; empty at the end, as sockets do."""
        try:
            return self._sock.recv(size)
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise BlockingIOError from None

    def send(self, data: bytes) -> int:
        deadline = time.monotonic() + SENDING
        while True:
            try:
                return self._sock.send(data)
            except (BlockingIOError, ssl.SSLWantWriteError, ssl.SSLWantReadError):
                self._until_ready(deadline, write=True)

    def _until_ready(self, deadline: float, *, write: bool = False) -> None:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError
        self._wakeup.wait(left, sock=self._sock, write=write)

    def wait(self, seconds: float) -> None:
        """Return when something can be read, after the time, or when called away."""
        self._selector.select(seconds)
        self._wakeup.heard()

    def gettimeout(self) -> float:
        return 0.0  # the library must not select on its own, which nobody could interrupt

    def settimeout(self, seconds: float | None) -> None:
        """Ignore the library's wish; deadlines are in total here."""

    def fileno(self) -> int:
        return self._sock.fileno()

    def close(self) -> None:
        """Cut, without the polite exchange that a dead peer would let us wait for."""
        try:
            # of the plain socket: SSLSocket would drop its TLS state under a reader
            socket.socket.shutdown(self._sock, socket.SHUT_RDWR)
        except OSError:  # the peer was quicker
            pass
        finally:
            self._selector.close()
            self._sock.close()


class _Frames(websocket.frame_buffer):  # type: ignore[misc]
    """Refuses a frame by its header, before its bytes are asked for."""

    def recv_length(self) -> None:
        super().recv_length()
        if self.length > LARGEST_FRAME:
            raise TooBig(f"a frame of {self.length:,} bytes was announced")


class _Message(websocket.continuous_frame):  # type: ignore[misc]
    """Joins fragments, within limits."""

    def __init__(self) -> None:
        super().__init__(False, True)
        self._size = 0
        self._fragments = 0

    def add(self, frame: Any) -> None:
        self._size += len(frame.data)
        self._fragments += 1
        if self._size > LARGEST_MESSAGE or self._fragments > MOST_FRAGMENTS:
            raise TooBig("a message in fragments does not end")
        super().add(frame)
        if frame.fin:
            self._size = self._fragments = 0


class Wire(websocket.WebSocket):  # type: ignore[misc]
    """websocket-client's protocol over a Line; it answers pings by itself."""

    sock: Line

    def __init__(self) -> None:
        super().__init__(enable_multithread=False, skip_utf8_validation=True)
        self.frame_buffer = _Frames(self._recv, True)
        self.cont_frame = _Message()

    def read(self) -> tuple[int, bytes] | None:
        """Return opcode and payload of the next message or control frame, None if not all there.

        What came of a frame so far is kept for the next call.
        """
        try:
            opcode, frame = self.recv_data_frame(control_frame=True)
        except BlockingIOError:
            return None
        return opcode, bytes(frame.data)

    def _recv(self, size: int) -> bytes:
        data = self.sock.recv_now(size)
        if not data:
            raise websocket.WebSocketConnectionClosedException
        return data

    def _send(self, data: bytes) -> int:
        return self.sock.send(data)

    def wait(self, seconds: float) -> None:
        self.sock.wait(seconds)

    def cut(self) -> None:
        self.sock.close()


def dial(
    url: str,
    wakeup: Wakeup,
    *,
    within: float,
    user_agent: str,
    tls: Callable[[], ssl.SSLContext] = ssl.create_default_context,
) -> Wire:
    """Connect and shake hands within so many seconds in total.

    No redirect is followed and no header but the User-Agent is added: the URL is all the
    authority there is, and it is not for another host.
    """
    deadline = time.monotonic() + within
    parts = urlsplit(url)
    secure = parts.scheme == "wss"
    host, port = parts.hostname or "", parts.port or (443 if secure else 80)
    sock = _connected(host, port, wakeup, deadline)
    if secure:
        sock = _encrypted(sock, host, tls(), wakeup, deadline)
    line = Line(sock, wakeup, deadline=deadline)
    wire = Wire()
    try:
        wire.connect(
            url,
            socket=line,
            header=[f"User-Agent: {user_agent}"],
            suppress_origin=True,
            redirect_limit=0,
        )
    except BaseException:
        line.close()
        raise
    return wire


def _connected(host: str, port: int, wakeup: Wakeup, deadline: float) -> socket.socket:
    """Try each address of the host; raise what the last one failed with."""
    trouble: OSError = OSError(f"{host} has no address")
    for family, kind, protocol, _, address in socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM
    ):
        sock = socket.socket(family, kind, protocol)
        try:
            _finish_connect(sock, address, wakeup, deadline)
        except OSError as error:
            sock.close()
            trouble = error
        except BaseException:
            sock.close()
            raise
        else:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            return sock
    raise trouble


def _finish_connect(sock: socket.socket, address: Any, wakeup: Wakeup, deadline: float) -> None:
    sock.setblocking(False)
    try:
        sock.connect(address)
    except BlockingIOError:
        while not wakeup.wait(deadline - time.monotonic(), sock=sock, write=True):
            if time.monotonic() >= deadline:
                raise TimeoutError from None
        code = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if code:
            raise OSError(code, "connect failed") from None


def _encrypted(
    sock: socket.socket, host: str, context: ssl.SSLContext, wakeup: Wakeup, deadline: float
) -> ssl.SSLSocket:
    secure = context.wrap_socket(sock, server_hostname=host, do_handshake_on_connect=False)
    try:
        _finish_handshake(secure, wakeup, deadline)
    except BaseException:
        secure.close()
        raise
    return secure


def _finish_handshake(secure: ssl.SSLSocket, wakeup: Wakeup, deadline: float) -> None:
    while time.monotonic() < deadline:
        try:
            secure.do_handshake()
        except ssl.SSLWantReadError:
            wakeup.wait(deadline - time.monotonic(), sock=secure)
        except ssl.SSLWantWriteError:
            wakeup.wait(deadline - time.monotonic(), sock=secure, write=True)
        else:
            return
    raise TimeoutError
