"""A small HTTP server that notes what it gets, and answers as a test says."""

import contextlib
import ssl
import threading
import time
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Self

CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


class HttpServer:
    """`status`, `headers` and `body` are the answer; `delay` seconds before it, `trickle` between
    its bytes.
    """

    def __init__(self, *, context: ssl.SSLContext | None = None) -> None:
        self.status = 200
        self.headers: dict[str, str] = {}
        self.body = b"ok"
        self.delay = self.trickle = 0.0
        self.requests: list[Request] = []
        self.written = 0  # bytes of bodies that the other side took
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        if context is not None:
            self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port: int = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hook"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(3)

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        owner = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                size = int(self.headers.get("Content-Length", 0))
                headers = {name.lower(): value for name, value in self.headers.items()}
                owner.requests.append(Request(self.requestline, headers, self.rfile.read(size)))
                time.sleep(owner.delay)
                with contextlib.suppress(OSError):  # the client may have had enough
                    self.answer()

            def do_GET(self) -> None:
                self.do_POST()

            def answer(self) -> None:
                self.send_response(owner.status)
                self.send_header("Content-Length", str(len(owner.body)))
                for name, value in owner.headers.items():
                    self.send_header(name, value)
                self.end_headers()
                if not owner.trickle:
                    for start in range(0, len(owner.body), CHUNK):
                        self.wfile.write(owner.body[start : start + CHUNK])
                        owner.written += len(owner.body[start : start + CHUNK])
                    return
                for byte in owner.body:
                    self.wfile.write(bytes([byte]))
                    time.sleep(owner.trickle)

            def handle_one_request(self) -> None:
                with contextlib.suppress(OSError):
                    super().handle_one_request()

            def log_message(self, format: str, *args: object) -> None:
                """Keep the test's output clean."""

        return Handler
