"""Order, position and status news for programs: one subscription, one text, many listeners."""

import asyncio
import contextlib
import json
import logging
import time
from collections.abc import Callable
from typing import Any, Final

from fastapi import FastAPI
from starlette.websockets import WebSocket, WebSocketDisconnect, WebSocketState

from dashboard.api.words import order_out, position_out
from dashboard.endpoints import report
from trading.desk import Desk
from trading.order import Order, Product
from trading.order_book import OrderMoved
from trading.positions import Position, PositionMoved

log = logging.getLogger(__name__)

WAITING: Final = 1_000  # messages; who reads so slowly is disconnected, and reads anew
PING_EVERY: Final = 30.0  # seconds
SILENT: Final = 90.0  # seconds without a word after which a listener is taken for dead
STATUS_EVERY: Final = 5.0  # seconds
LARGEST: Final = 4_096  # characters that a listener may say at once
MOST_WORDS: Final = 50  # that a listener may say in a second: a flood would hold the desk up
FAREWELL: Final = 2.0  # seconds that a close may take; who does not read does not hear it either
TOO_SLOW, NO_ACCOUNT = 1013, 4404  # close codes


class Listener:
    """One connected program: what it hears waits here until its socket takes it."""

    def __init__(self, account: str | None, *, status: bool) -> None:
        self.account = account  # None: all
        self.status = status
        self.heard = time.monotonic()
        self.queue: asyncio.Queue[str] = asyncio.Queue(WAITING)
        self.ended = asyncio.Event()
        self.floods = False
        self._second, self._words = self.heard, 0

    def put(self, text: str) -> None:
        """Never waits: a full queue ends the connection instead of holding up the others."""
        try:
            self.queue.put_nowait(text)
        except asyncio.QueueFull:
            self.end()

    def hear(self) -> None:
        """Note a word from it; too many end the connection."""
        self.heard = time.monotonic()
        if self.heard - self._second >= 1.0:
            self._second, self._words = self.heard, 0
        self._words += 1
        if self._words > MOST_WORDS:
            self.floods = True
            self.end()

    def end(self) -> None:
        """Have the connection closed; what still waits is given up."""
        self.ended.set()


class Broadcast:
    """Hears the desk once and tells each listener what it asked for.

    What changes several times within one turn of the loop is told once, as it is then: an order
    takes its next step faster than a hundred sockets are written to. Its message has all steps.
    """

    def __init__(self, desk: Desk) -> None:
        self._desk = desk
        self._listeners: set[Listener] = set()
        self._undo: list[Callable[[], None]] = []
        self._orders: dict[str, Order] = {}  # that changed in this turn
        self._positions: dict[tuple[str, str, Product], Position] = {}

    def __len__(self) -> int:
        return len(self._listeners)

    def join(self, listener: Listener) -> None:
        if not self._listeners:
            changes = self._desk.orders.changes.subscribe(self._on_order)
            moves = self._desk.positions.changes.subscribe(self._on_position)
            self._undo = [changes, moves]
        self._listeners.add(listener)

    def leave(self, listener: Listener) -> None:
        self._listeners.discard(listener)
        if not self._listeners:
            while self._undo:
                self._undo.pop()()

    def tell_status(self) -> None:
        wanting = [listener for listener in self._listeners if listener.status]
        if wanting:
            text = message("status_update", report(self._desk))
            for listener in wanting:
                listener.put(text)

    def ping(self) -> None:
        """Ask all for a word, and end those that have not said one for too long."""
        now = time.monotonic()
        for listener in tuple(self._listeners):
            if now - listener.heard > SILENT:
                listener.end()
            else:
                listener.put(message("ping", {}))

    def _on_order(self, moved: OrderMoved) -> None:
        self._soon()
        self._orders[moved.after.id] = moved.after

    def _on_position(self, moved: PositionMoved) -> None:
        self._soon()
        now = moved.after
        self._positions[now.account, now.instrument_key, now.product] = now

    def _soon(self) -> None:
        if not (self._orders or self._positions):
            asyncio.get_running_loop().call_soon(self._tell_news)

    def _tell_news(self) -> None:
        orders, self._orders = self._orders, {}
        positions, self._positions = self._positions, {}
        for order in orders.values():
            self._tell(order.request.account, order_message(order))
        for position in positions.values():
            self._tell(position.account, position_message(self._desk, position))

    def _tell(self, account: str, text: str) -> None:
        for listener in tuple(self._listeners):
            if not listener.status and listener.account in (None, account):
                listener.put(text)


def install(api: FastAPI, desk: Desk) -> Broadcast:
    """Add the sockets to the API's application; return what tells them, for its jobs."""
    broadcast = Broadcast(desk)

    @api.websocket("/ws/orders")
    async def orders(socket: WebSocket) -> None:
        await _serve(socket, Listener(None, status=False), broadcast, desk)

    @api.websocket("/ws/orders/{account_id}")
    async def orders_of(socket: WebSocket, account_id: str) -> None:
        if desk.accounts.get(account_id) is None:
            await _refuse(socket, f"no account {account_id!r} in the settings")
            return
        await _serve(socket, Listener(account_id, status=False), broadcast, desk)

    @api.websocket("/ws/status")
    async def status(socket: WebSocket) -> None:
        await _serve(socket, Listener(None, status=True), broadcast, desk)

    return broadcast


async def run(broadcast: Broadcast) -> None:
    """Tell the status and ask for life until cancelled."""
    asked = time.monotonic()
    while True:
        await asyncio.sleep(STATUS_EVERY)
        try:
            broadcast.tell_status()
        except Exception:
            log.exception("the status could not be told")
        if time.monotonic() - asked >= PING_EVERY:
            asked = time.monotonic()
            broadcast.ping()


async def _refuse(socket: WebSocket, words: str) -> None:
    await socket.accept()
    await socket.send_text(message("error", {"message": words}))
    await socket.close(NO_ACCOUNT)


async def _serve(socket: WebSocket, listener: Listener, broadcast: Broadcast, desk: Desk) -> None:
    """Greet, show what is there, then talk both ways until one side ends."""
    await socket.accept()
    broadcast.join(listener)  # before the snapshot: nothing falls between the two
    try:
        for text in _greeting(listener, desk):
            listener.put(text)
        ways = (_send(socket, listener), _hear(socket, listener), listener.ended.wait())
        tasks = [asyncio.ensure_future(way) for way in ways]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    finally:
        broadcast.leave(listener)
        with contextlib.suppress(RuntimeError, WebSocketDisconnect, TimeoutError):
            async with asyncio.timeout(FAREWELL):
                await _part(socket, listener)


async def _part(socket: WebSocket, listener: Listener) -> None:
    """Close; on who floods hang up, for until a close is answered all that comes is still read."""
    if socket.application_state is not WebSocketState.CONNECTED:
        return
    if listener.floods:
        words = f"more than {MOST_WORDS} messages in a second"
        await socket.send_text(message("error", {"message": words}))
    else:
        await socket.close(TOO_SLOW)


def _greeting(listener: Listener, desk: Desk) -> list[str]:
    """Return the first words: what this connection tells, and the state it starts from."""
    scope = "status" if listener.status else listener.account or "all accounts"
    facts = {"scope": scope, "mode": desk.world.word, "is_mock": desk.world.is_mock}
    first = message("connection_established", facts)
    if listener.status:
        return [first, message("status_update", report(desk))]
    orders = [order_message(order) for order in desk.orders.working(listener.account)]
    held = [p for p in desk.positions.positions(listener.account) if p.quantity]
    return [first, *orders, *(position_message(desk, position) for position in held)]


async def _send(socket: WebSocket, listener: Listener) -> None:
    while True:
        await socket.send_text(await listener.queue.get())


async def _hear(socket: WebSocket, listener: Listener) -> None:
    """Answer what a program says; nothing that it says can place an order or end the desk."""
    while True:
        try:
            told = await socket.receive()
        except RuntimeError:  # it went while we were sending
            return
        if told["type"] == "websocket.disconnect":
            return
        listener.hear()
        if listener.ended.is_set():
            return
        if (reply := _reply(told.get("text"))) is not None:
            listener.put(reply)


def _reply(text: str | None) -> str | None:
    if text is None or len(text) > LARGEST:
        return message("error", {"message": "say it in text, in at most 4,096 characters"})
    try:
        told: Any = json.loads(text)
    except (ValueError, RecursionError):
        return message("error", {"message": "this is not JSON"})
    kind = told.get("type") if isinstance(told, dict) else None
    if kind == "ping":
        return message("pong", {})
    if kind == "pong":
        return None
    return message("error", {"message": "only ping and pong are understood here; use REST to act"})


def order_message(order: Order) -> str:
    return message("order_update", order_out(order).model_dump(mode="json"))


def position_message(desk: Desk, position: Position) -> str:
    out = position_out(position, desk.positions.value(position))
    return message("position_update", out.model_dump(mode="json"))


def message(kind: str, data: dict[str, Any]) -> str:
    return json.dumps({"type": kind, "data": data}, separators=(",", ":"))
