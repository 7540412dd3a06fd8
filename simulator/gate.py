"""What every REST request passes first: who may ask, the limits, the faults, and the ledger."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocket

from simulator.envelope import BrokerError, refusal
from simulator.faults import RefuseToken, Rest, Slow
from simulator.limits import BASKETS_OF, ORDERS_OF, RateLimiter
from simulator.tokens import Token
from simulator.venue import Venue

CONTROL = "/control/"
LOOPBACK = {"127.0.0.1", "localhost", "[::1]"}


class Gate:
    """ASGI middleware around all routes."""

    def __init__(
        self, app: ASGIApp, *, venue: Venue, limiter: RateLimiter, closing: asyncio.Event
    ) -> None:
        self._app = app
        self._venue = venue
        self._limiter = limiter
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        noted = self._noting(scope, send)
        response = await self._instead(scope)
        if response is None:
            await self._app(scope, receive, noted)
        elif scope["type"] == "websocket":
            await WebSocket(scope, receive, noted).send_denial_response(response)
        else:
            await response(scope, receive, noted)

    async def _instead(self, scope: Scope) -> Response | None:
        """Return what to answer in place of the route, or None to let the request through."""
        path, headers = scope["path"], Headers(scope=scope)
        if path.startswith(CONTROL):
            reason = foreign(headers)
            return refusal(BrokerError(403, message=reason)) if reason else None
        user = headers.get("authorization", "")
        if not self._limiter.allow(user, api(path), time.monotonic()):
            return refusal(BrokerError(429))
        if slow := self._venue.faults.take(Slow):
            await self._wait(slow.seconds)
        rest = self._venue.faults.take(Rest, lambda fault: fault.matches(path))
        if rest is None:
            return None
        await self._wait(rest.delay)
        if rest.status is None:
            return None
        extra = {} if rest.retry_after is None else {"Retry-After": str(rest.retry_after)}
        return Response(rest.body, rest.status, extra, rest.content_type)

    async def _wait(self, seconds: float) -> None:
        """Let time pass, but not the end of the exchange."""
        if seconds:
            with suppress(TimeoutError):
                await asyncio.wait_for(self._closing.wait(), seconds)

    def _noting(self, scope: Scope, send: Send) -> Send:
        venue = self._venue
        method = scope.get("method", "GET")

        async def note(message: Message) -> None:
            if message["type"] in ("http.response.start", "websocket.http.response.start"):
                status = message["status"]
                venue.ledger.called(method, scope["path"], status, venue.clock.now_ms())
            await send(message)

        return note


def authenticate(venue: Venue, headers: Mapping[str, str]) -> Token:
    """Return the token of the Authorization header; raise BrokerError 401."""
    scheme, _, value = headers.get("authorization", "").partition(" ")
    token = venue.tokens.check(value.strip()) if scheme.lower() == "bearer" else None
    if token is None or venue.faults.take(RefuseToken):
        raise BrokerError(401)
    return token


def api(path: str) -> str:
    """Return what the limits count together: a path without its parameters."""
    if path in ORDERS_OF or path in BASKETS_OF:
        return path
    parts = path.split("/")
    return "/".join(parts[: 3 if "historical-candle" in parts else 4])


def foreign(headers: Mapping[str, str]) -> str:
    """Say why a control request is not from this machine's own tools; empty if it is.

    A browser sends an Origin, and under a rebound name a foreign Host: neither may steer us.
    """
    host = headers.get("host", "").rpartition(":")[0] or headers.get("host", "")
    if host not in LOOPBACK:
        return f"control answers to loopback only, not to host {host!r}"
    origin = headers.get("origin")
    if origin is not None and origin.partition("://")[2] != headers.get("host"):
        return f"control does not answer to pages of {origin!r}"
    if headers.get("sec-fetch-site", "none") not in ("none", "same-origin"):
        return "control does not answer to pages of other sites"
    return ""
