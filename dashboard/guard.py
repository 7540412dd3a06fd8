"""Who may talk to the dashboard: names it may be called by, origins, size, number, password.

A page on another site or another port of this machine can send requests here, and a name that
resolves to 127.0.0.1 makes them look like ours (faults.md D: every origin was let in as NiceGUI
comes). So each request and each handshake passes here first, in pure ASGI, before any route.
"""

import hmac
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import quote

from nicegui import core
from nicegui.app import App
from nicegui.client import Client
from starlette.datastructures import Headers, MutableHeaders
from starlette.responses import JSONResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dashboard.login import LOGIN_PATH, Door

SAFE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS"})
OWN_SITE: Final = frozenset({"same-origin", "none"})
SOCKET_PATH: Final = "/_nicegui_ws"
ASSETS: Final = "/_nicegui/"
API: Final = "/api/"  # for programs, which show a token instead of a cookie and an Origin
WEBHOOKS: Final = "/webhooks/"  # for the broker, who shows the secret in the path
# Without a password; /health then tells little, see endpoints.py.
OPEN_PATHS: Final = frozenset({LOGIN_PATH, "/health", "/favicon.ico"})
BODY_LIMIT: Final = 1_048_576  # bytes; socket.io's own messages are below a million
MAX_SOCKETS: Final = 20
MAX_API_SOCKETS: Final = 1_200
MAX_PAGES: Final = 60  # also counts pages that were closed within the last seconds
HEADERS: Final = {
    "X-Frame-Options": "DENY",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    # Vue compiles templates in the browser and NiceGUI starts from an inline script; what is
    # left still keeps other hosts out and the page out of frames.
    "Content-Security-Policy": (
        "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
        "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
        "connect-src 'self'; object-src 'none'; base-uri 'self'; form-action 'self'; "
        "frame-ancestors 'none'"
    ),
}


@dataclass(frozen=True, slots=True)
class Security:
    """What is let in. `allowed_hosts` are names besides localhost; no password on loopback."""

    port: int
    allowed_hosts: tuple[str, ...] = ()
    password: str | None = field(default=None, repr=False)
    secret: str = field(default="", repr=False)  # signs the login cookie
    api_token: str = field(default="", repr=False)  # of programs; without one they are refused

    def hosts(self) -> frozenset[str]:
        """Return every value that a Host header may have, in lower case."""
        own = {f"{name}:{self.port}" for name in ("127.0.0.1", "localhost", "[::1]")}
        if self.port == 80:
            own |= {"127.0.0.1", "localhost", "[::1]"}
        for name in self.allowed_hosts:  # with and without port: a proxy may stand in front
            own |= {name.lower(), name.lower() if ":" in name else f"{name.lower()}:{self.port}"}
        return frozenset(own)

    def origins(self) -> frozenset[str]:
        """Return the origins of our own pages; https only where a proxy may stand in front."""
        own = {f"http://{host}" for host in self.hosts()}
        extra = {name.lower() for name in self.allowed_hosts}
        return frozenset(own | {f"https://{h}" for h in self.hosts() if h.split(":")[0] in extra})


@dataclass(frozen=True, slots=True)
class Refusal:
    status: int
    reason: str


def refusal(
    headers: Headers, *, kind: str, method: str, path: str, security: Security
) -> Refusal | None:
    """Judge one request (`kind` http) or handshake (`kind` websocket) by its headers alone."""
    hosts = headers.getlist("host")
    if len(hosts) != 1 or hosts[0].lower() not in security.hosts():
        return Refusal(400, "this name is not one of the dashboard's (server.allowed_hosts)")
    origins = headers.getlist("origin")
    if any(origin.lower() not in security.origins() for origin in origins):
        return Refusal(403, "requests from other pages are refused")
    site = headers.get("sec-fetch-site")
    if path.startswith((API, WEBHOOKS)):
        pass  # no browser shows their token by itself, so there is nothing to forge
    elif kind == "websocket" or method not in SAFE_METHODS:
        if not origins and site not in OWN_SITE:
            return Refusal(403, "a request that changes something needs its Origin")
    elif path.startswith(SOCKET_PATH) and site is not None and site not in OWN_SITE:
        return Refusal(403, "requests from other pages are refused")
    if _length(headers) > BODY_LIMIT:
        return Refusal(413, "too large")
    return None


def _length(headers: Headers) -> int:
    text = headers.get("content-length", "0").strip()
    return int(text) if text.isdigit() and len(text) < 16 else BODY_LIMIT + 1


class BodyTooLarge(Exception):
    """More arrived than was allowed; the length was not given beforehand, or was a lie."""


class Guard:
    """The outermost part of the dashboard that sees a request."""

    def __init__(
        self, app: ASGIApp, *, security: Security, door: Door | None, pages: Callable[[], int]
    ) -> None:
        self._app = app
        self._security = security
        self._door = door
        self._pages = pages
        self._sockets = {True: 0, False: 0}  # of programs, of pages

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        refused = self._refuse(scope)
        if scope["type"] == "websocket":
            await self._socket(refused, scope, receive, send)
        elif refused is not None:
            await _respond(_answer(refused, scope), scope, receive, send)
        elif self._door and scope["path"] == LOGIN_PATH:
            await _respond(await self._door.answer(scope, receive), scope, receive, send)
        else:
            await self._pass_on(scope, receive, send)

    def _refuse(self, scope: Scope) -> Refusal | None:
        headers, path = Headers(scope=scope), scope["path"]
        method = scope.get("method", "GET")
        refused = refusal(
            headers, kind=scope["type"], method=method, path=path, security=self._security
        )
        if refused or path.startswith(WEBHOOKS):
            return refused
        if path.startswith(API):
            known = shows_token(headers, self._security.api_token)
            return None if known else Refusal(401, "show the API token of this desk (see README)")
        if self._door and path not in OPEN_PATHS and not self._door.knows(headers.get("cookie")):
            return Refusal(401, "log in first")
        if _is_page(path) and self._pages() >= MAX_PAGES:
            return Refusal(503, "too many pages are open")
        return None

    async def _socket(
        self, refused: Refusal | None, scope: Scope, receive: Receive, send: Send
    ) -> None:
        program = scope["path"].startswith(API)
        most = MAX_API_SOCKETS if program else MAX_SOCKETS
        if refused or self._sockets[program] >= most:
            await receive()  # the handshake; a close before the accept is answered with 403
            await send({"type": "websocket.close", "code": 1008})
            return
        self._sockets[program] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._sockets[program] -= 1

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = False

        async def send_guarded(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                _harden(message, scope["path"])
            await send(message)

        try:
            await self._app(scope, _limited(receive), send_guarded)
        except BodyTooLarge:
            if not started:
                await _respond(PlainTextResponse("too large", 413), scope, receive, send)


def install(app: App, security: Security) -> Door | None:
    """Put the guard in front of NiceGUI and tell its socket server which origins are ours.

    Return the door that knows who has logged in; None where no password is asked for.
    """
    door = Door(security.password, security.secret) if security.password else None
    app.add_middleware(Guard, security=security, door=door, pages=lambda: len(Client.instances))
    core.sio.eio.cors_allowed_origins = sorted(security.origins())
    app.on_startup(lambda: assert_origins(security.origins()))
    return door


def assert_origins(expected: Iterable[str]) -> None:
    """Raise if the socket server lets other origins in; the setting is NiceGUI's own business."""
    actual: Any = core.sio.eio.cors_allowed_origins
    if actual == "*" or not isinstance(actual, list) or set(actual) != set(expected):
        raise RuntimeError(f"the page's socket would accept foreign origins: {actual}")


def _is_page(path: str) -> bool:
    machine = path.startswith((ASSETS, SOCKET_PATH, API, WEBHOOKS)) or path in OPEN_PATHS
    return not machine and path != "/metrics"


def _harden(message: Message, path: str) -> None:
    headers = MutableHeaders(raw=message["headers"])
    for name, value in HEADERS.items():
        headers[name] = value
    if not path.startswith(ASSETS):
        headers["Cache-Control"] = "no-store"


def _limited(receive: Receive) -> Receive:
    total = 0

    async def receive_limited() -> Message:
        nonlocal total
        message = await receive()
        total += len(message.get("body", b""))
        if total > BODY_LIMIT:
            raise BodyTooLarge
        return message

    return receive_limited


def _answer(refused: Refusal, scope: Scope) -> Response:
    if refused.status == 401 and scope["method"] == "GET" and _is_page(scope["path"]):
        return RedirectResponse(f"{LOGIN_PATH}?next={quote(scope['path'])}", 303)
    if scope["path"].startswith(API):
        kind = "unauthorised" if refused.status == 401 else "invalid"
        body = {"error": kind, "message": refused.reason, "sent": False, "problems": []}
        return JSONResponse(body, refused.status)
    return PlainTextResponse(refused.reason, refused.status)


def shows_token(headers: Headers, token: str) -> bool:
    """Return whether a request carries this token in its Authorization header."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    same = hmac.compare_digest(value.strip().encode(), token.encode())
    return bool(token) and scheme.lower() == "bearer" and same


async def _respond(response: Response, scope: Scope, receive: Receive, send: Send) -> None:
    for name, value in (HEADERS | {"Cache-Control": "no-store"}).items():
        response.headers[name] = value
    await response(scope, receive, send)
