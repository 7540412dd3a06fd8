"""What stands before requests that write orders: their log, and answers that get lost or late."""

import asyncio
from contextlib import suppress
from typing import Final, TypeVar

from starlette.datastructures import Headers
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from simulator.envelope import BrokerError, refusal
from simulator.faults import LateAnswer, LostAnswer, StaticIp, WriteFault
from simulator.limits import BASKETS_OF, ORDERS_OF
from simulator.orders import WriteRequest
from simulator.venue import Venue

WRITES: Final = ORDERS_OF | BASKETS_OF
BAD_GATEWAY: Final = "<html><head><title>502 Bad Gateway</title></head></html>"


W = TypeVar("W", bound=WriteFault)


class OrderGate:
    """The outermost ASGI layer: it must reach the connection itself to lose an answer."""

    def __init__(self, app: ASGIApp, *, venue: Venue, closing: asyncio.Event) -> None:
        self._app = app
        self._venue = venue
        self._closing = closing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["path"] not in WRITES or scope["method"] == "GET":
            await self._app(scope, receive, send)
            return
        body = await _read(receive)
        request = self._note(scope, body)
        lost = self._struck(LostAnswer, request)
        if lost is not None:
            request.lost = lost.how
        if lost is None or lost.how == "after":
            await self._act(scope, request, _again(body, receive), send, lost)
        if lost is not None and lost.answer == "gateway":
            request.status = 502
            await Response(BAD_GATEWAY, 502, media_type="text/html")(scope, receive, send)
        elif lost is not None:
            await self._hang_up(lost, receive, send)

    def _note(self, scope: Scope, body: bytes) -> WriteRequest:
        scheme, _, value = Headers(scope=scope).get("authorization", "").partition(" ")
        token = self._venue.tokens.check(value.strip()) if scheme.lower() == "bearer" else None
        request = WriteRequest(
            self._venue.clock.now_ms(),
            token.user if token is not None else "",
            scope["method"],
            scope["path"],
            scope["query_string"].decode("latin-1"),
            body.decode("utf-8", "replace"),
        )
        self._venue.broker.writes.append(request)
        return request

    def _struck(self, kind: type[W], request: WriteRequest) -> W | None:
        return self._venue.faults.take(kind, lambda fault: fault.matches(request.path))

    async def _act(
        self,
        scope: Scope,
        request: WriteRequest,
        receive: Receive,
        send: Send,
        lost: LostAnswer | None,
    ) -> None:
        """Let the request have its effect, and its answer go out unless it is lost."""
        refused = self._struck(StaticIp, request)
        late = self._struck(LateAnswer, request) if lost is None else None

        async def told(message: Message) -> None:
            if lost is not None:
                return
            if message["type"] == "http.response.start":
                request.status = message["status"]
                if late is not None:
                    await self._until(late.seconds)
            await send(message)

        if refused is not None:
            trouble = BrokerError(403, refused.code, refused.message)
            await refusal(trouble)(scope, receive, told)
        else:
            await self._app(scope, receive, told)

    async def _until(self, seconds: float) -> None:
        """Let time pass, but not the end of the exchange."""
        with suppress(TimeoutError):
            await asyncio.wait_for(self._closing.wait(), seconds)

    async def _hang_up(self, lost: LostAnswer, receive: Receive, send: Send) -> None:
        """Leave the connection without an answer: cut it, or wait until the other side does."""
        if lost.answer == "hang":
            waits = [asyncio.ensure_future(w) for w in (self._closing.wait(), receive())]
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            for wait in waits:
                wait.cancel()
        # ASGI cannot end a connection without an answer; the server behind `send` can.
        send.__self__.transport.abort()  # type: ignore[attr-defined]
        await receive()  # until the server knows


async def _read(receive: Receive) -> bytes:
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    return body


def _again(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read to whoever reads it next."""
    given = False

    async def read() -> Message:
        nonlocal given
        if given:
            return await receive()
        given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return read
