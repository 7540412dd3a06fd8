"""The WebSocket below the connection: TLS, deadlines, and being called away."""

import shutil
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import websocket

from feeds.wire import Interrupted, Wakeup, Wire, dial
from tests.feeds.exchange import Exchange, Peer, frame


@pytest.fixture
def wakeup() -> Iterator[Wakeup]:
    made = Wakeup()
    yield made
    made.close()


def address(exchange: Exchange) -> str:
    exchange._codes.add("x")
    return f"ws://127.0.0.1:{exchange.port}/feed?code=x"


def connect(url: str, wakeup: Wakeup, *, within: float = 2.0) -> Wire:
    return dial(url, wakeup, within=within, user_agent="test")


def next_message(wire: Wire, *, within: float = 2.0) -> tuple[int, bytes]:
    until = time.monotonic() + within
    while time.monotonic() < until:
        got = wire.read()
        if got:
            return got
        wire.wait(0.05)
    raise TimeoutError


def test_a_frame_in_pieces_is_put_together_over_many_reads(wakeup: Wakeup) -> None:
    whole = frame(2, b"a" * 70_000) + frame(2, b"second")

    def script(peer: Peer) -> None:
        for start in (0, 1, 3, 9, 11, 500, 20_000, 70_011):
            end = {0: 1, 1: 3, 3: 9, 9: 11, 11: 500, 500: 20_000, 20_000: 70_011}.get(start)
            peer.raw(whole[start:end])
            time.sleep(0.01)
        peer.swallow()

    with Exchange(script) as exchange:
        wire = connect(address(exchange), wakeup)

        assert next_message(wire) == (2, b"a" * 70_000)
        assert next_message(wire) == (2, b"second")
        wire.cut()


def test_fragments_become_one_message_and_pings_between_them_are_answered(wakeup: Wakeup) -> None:
    def script(peer: Peer) -> None:
        peer.raw(frame(2, b"one ", fin=False) + frame(9, b"p") + frame(0, b"message"))
        peer.swallow()

    with Exchange(script) as exchange:
        wire = connect(address(exchange), wakeup)

        assert next_message(wire) == (9, b"p")
        assert next_message(wire) == (2, b"one message")
        wire.cut()
    assert exchange.peers[0].pongs == 1


def test_reading_never_blocks(wakeup: Wakeup) -> None:
    with Exchange(lambda peer: peer.swallow()) as exchange:
        wire = connect(address(exchange), wakeup)
        began = time.monotonic()

        assert wire.read() is None
        assert time.monotonic() - began < 0.05
        wire.cut()


def test_a_wait_ends_at_a_call_and_for_good_at_a_stop(wakeup: Wakeup) -> None:
    with Exchange(lambda peer: peer.swallow()) as exchange:
        wire = connect(address(exchange), wakeup)
        threading.Timer(0.05, wakeup.wake).start()
        began = time.monotonic()
        wire.wait(5)
        assert time.monotonic() - began < 0.5

        threading.Timer(0.05, wakeup.stop).start()
        with pytest.raises(Interrupted):
            wire.wait(5)
        wire.cut()


@contextmanager
def silent_server(*, backlog: int = 4) -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=backlog) as server:
        yield server


def test_a_stop_ends_a_handshake_that_is_never_answered(wakeup: Wakeup) -> None:
    with silent_server() as server:
        threading.Timer(0.05, wakeup.stop).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            connect(f"ws://127.0.0.1:{server.getsockname()[1]}/", wakeup, within=10)

    assert time.monotonic() - began < 0.5


def test_a_handshake_that_is_never_answered_ends_at_the_deadline(wakeup: Wakeup) -> None:
    with silent_server() as server:
        began = time.monotonic()
        with pytest.raises((TimeoutError, websocket.WebSocketTimeoutException)):
            connect(f"ws://127.0.0.1:{server.getsockname()[1]}/", wakeup, within=0.2)

    assert 0.15 < time.monotonic() - began < 0.5


def test_a_stop_ends_a_connect_that_nobody_accepts(wakeup: Wakeup) -> None:
    with silent_server(backlog=0) as server:
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(server.getsockname())
        threading.Timer(0.1, wakeup.stop).start()
        began = time.monotonic()
        with pytest.raises(Interrupted):
            connect(f"ws://127.0.0.1:{server.getsockname()[1]}/", wakeup, within=10)
        for filler in fillers:
            filler.close()

    assert time.monotonic() - began < 0.6


def test_a_refused_port_says_so(wakeup: Wakeup) -> None:
    with silent_server() as server:
        port = server.getsockname()[1]
    with pytest.raises(ConnectionRefusedError):
        connect(f"ws://127.0.0.1:{port}/", wakeup)


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if shutil.which("openssl") is None:
        pytest.skip("openssl is not installed, so no certificate can be made")
    folder = tmp_path_factory.mktemp("tls")
    path = folder / "server.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1",
         "-nodes", "-keyout", str(path), "-out", str(folder / "cert.pem"), "-days", "2",
         "-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"],
        check=True, capture_output=True,
    )  # fmt: skip
    path.write_text(path.read_text() + (folder / "cert.pem").read_text())
    return path


@contextmanager
def tls_in_front_of(exchange: Exchange, certificate: Path) -> Iterator[tuple[int, list[bytes]]]:
    """Decrypt on a port of its own and pass on byte by byte; yield the port and what was heard."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    heard: list[bytes] = []

    def serve() -> None:
        try:
            plain, _ = server.accept()
            with context.wrap_socket(plain, server_side=True) as outer:
                inner = socket.create_connection(("127.0.0.1", exchange.port))
                with inner:
                    back = threading.Thread(target=pump, args=(inner, outer.sendall), daemon=True)
                    back.start()
                    pump(outer, inner.sendall, heard)
                    inner.shutdown(socket.SHUT_RDWR)
                    back.join(2)
        except OSError:
            return

    def pump(
        source: socket.socket, sink: Callable[[bytes], None], note: list[bytes] | None = None
    ) -> None:
        try:
            while data := source.recv(7):
                if note is not None:
                    note.append(data)
                sink(data)
        except OSError:
            return

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1], heard
    thread.join(3)


def test_frames_come_through_tls_in_small_records(wakeup: Wakeup, certificate: Path) -> None:
    def script(peer: Peer) -> None:
        request = peer.read()
        assert request
        peer.send(b"b" * 3000)
        peer.swallow()

    with Exchange(script) as exchange, tls_in_front_of(exchange, certificate) as (port, _):
        url = address(exchange).replace(
            f"ws://127.0.0.1:{exchange.port}", f"wss://localhost:{port}"
        )
        wire = dial(
            url,
            wakeup,
            within=2.0,
            user_agent="test",
            tls=lambda: ssl.create_default_context(cafile=certificate),
        )
        wire.send_binary(b'{"method":"sub","data":{"mode":"ltpc","instrumentKeys":[]}}')

        assert next_message(wire) == (2, b"b" * 3000)
        wire.cut()


def test_an_impostor_with_its_own_certificate_hears_nothing(
    wakeup: Wakeup, certificate: Path
) -> None:
    with (
        Exchange(lambda peer: peer.swallow()) as exchange,
        tls_in_front_of(exchange, certificate) as (port, heard),
        pytest.raises(ssl.SSLCertVerificationError),
    ):
        connect(f"wss://localhost:{port}/feed?code=secret", wakeup)

    assert heard == []
    assert exchange.heads == []
