"""The desk for programs: REST and WebSocket behind a token, on a real server."""

import asyncio
import json
import socket as tcp
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import replace
from typing import Any

import httpx
import pytest
import uvicorn
import websockets
from fastapi import FastAPI

from dashboard.api import sockets
from dashboard.api.routes import create_api
from dashboard.guard import Guard, Security
from dashboard.webhook import install as install_webhook
from tests.dashboard.fakes import ALWAYS, CALL, DeskBroker, Market, make_desk
from tests.storage.account import intent, moved
from trading.clock import SystemClock
from trading.desk import Desk
from trading.errors import Retryable, Unanswered
from trading.order import OrderStatus
from trading.order_book import OrderMoved

TOKEN, SECRET = "token-of-a-program", "s" * 43
SHOWN = {"Authorization": f"Bearer {TOKEN}"}


class Served:
    """A desk's API on a free port, with a program's client."""

    def __init__(self, desk: Desk, port: int, hints: list[str]) -> None:
        self.desk = desk
        self.port = port
        self.hints = hints
        broker = desk.accounts.brokers["main"]
        assert isinstance(broker, DeskBroker)
        self.broker = broker
        self.client = httpx.AsyncClient(
            base_url=f"http://127.0.0.1:{port}", headers=SHOWN, trust_env=False
        )

    def order(self, **changes: Any) -> dict[str, Any]:
        body = {"nonce": "n1", "instrument_key": CALL, "side": "BUY", "quantity": 75}
        return body | changes

    async def place(self, **changes: Any) -> httpx.Response:
        url = "/api/accounts/main/orders"
        return await self.client.post(url, json=self.order(**changes))

    def socket(self, path: str, **headers: str) -> Any:
        return websockets.connect(
            f"ws://127.0.0.1:{self.port}/api/ws/{path}",
            additional_headers=SHOWN | headers,
            proxy=None,
        )


@asynccontextmanager
async def served() -> AsyncIterator[Served]:
    clock = SystemClock()
    desk = make_desk(clock, rules=ALWAYS)
    market = Market(clock)
    desk.market_data.publish(market.batch([CALL]))
    hints: list[str] = []
    app = FastAPI(openapi_url=None)
    install_webhook(app, secret=SECRET, hint=lambda: hints.append("read"))
    api = create_api(desk)
    sockets.install(api, desk)
    app.mount("/api", api)
    config = uvicorn.Config(app, port=0, log_config=None, lifespan="off")
    config.load()
    server = uvicorn.Server(config)
    sock = config.bind_socket()
    port = sock.getsockname()[1]
    config.loaded_app = Guard(
        app, security=Security(port=port, api_token=TOKEN), door=None, pages=lambda: 0
    )
    task = asyncio.create_task(server.serve([sock]))
    await until(lambda: server.started)
    there = Served(desk, port, hints)
    try:
        yield there
    finally:
        await there.client.aclose()
        server.should_exit = server.force_exit = True
        await task


@pytest.fixture
async def api() -> AsyncIterator[Served]:
    async with served() as there:
        yield there


async def until(condition: Callable[[], bool], *, within: float = 3.0) -> None:
    deadline = time.monotonic() + within
    while not condition():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)


async def hear(socket: Any, kind: str) -> dict[str, Any]:
    """Return the data of the next message of this type."""
    async with asyncio.timeout(3):
        while True:
            told = json.loads(await socket.recv())
            if told["type"] == kind:
                return dict(told["data"])


async def test_a_program_places_follows_and_cancels_an_order(api: Served) -> None:
    placed = await api.place(order_type="LIMIT", price=90.0)
    order = placed.json()
    shown = await api.client.get(f"/api/accounts/main/orders/{order['id']}")
    cancelled = await api.client.delete(f"/api/accounts/main/orders/{order['id']}")

    assert placed.status_code == 201
    assert shown.json()["status"] == "working"
    assert (cancelled.json()["status"], cancelled.json()["is_mock"]) == ("cancelled", True)
    working = await api.client.get("/api/accounts/main/orders", params={"which": "working"})
    assert working.json() == []


async def test_a_repeated_call_is_one_order(api: Served) -> None:
    first, second = await asyncio.gather(api.place(), api.place())
    third = await api.place()

    assert first.json()["id"] == second.json()["id"] == third.json()["id"]
    assert len(api.broker.sent) == 1


@pytest.mark.parametrize("changes", [{"side": "SELL"}, {"quantity": 150}])
async def test_a_nonce_that_was_used_for_another_order_is_refused(
    api: Served, changes: dict[str, Any]
) -> None:
    """It was answered with 201 and the other order: a program took it for its own."""
    await api.place()
    refused = await api.place(**changes)

    assert refused.status_code == 409
    assert [p["field"] for p in refused.json()["problems"]] == ["nonce"]
    assert len(api.broker.sent) == 1


async def test_a_fault_of_ours_is_told_in_words_and_never_as_nothing_sent(api: Served) -> None:
    order = (await api.place(order_type="LIMIT", price=90.0)).json()
    api.broker.cancel_error = ZeroDivisionError("a secret")  # type: ignore[assignment]
    answer = await api.client.delete(f"/api/accounts/main/orders/{order['id']}")

    assert (answer.status_code, answer.json()["error"]) == (500, "fault")
    assert answer.json()["sent"] is True
    assert "secret" not in answer.text


async def test_positions_and_their_value_are_told(api: Served) -> None:
    api.broker.fills[CALL] = 100.0
    await api.place()
    [position] = (await api.client.get("/api/accounts/main/positions")).json()
    pnl = (await api.client.get("/api/accounts/main/pnl")).json()
    [fill] = (await api.client.get("/api/accounts/main/fills")).json()

    assert (position["quantity"], position["average"]) == (75, 100.0)
    assert position["pnl"]["unrealised"] is not None
    assert pnl["realised"] == 0
    assert (fill["quantity"], fill["price"]) == (75, 100.0)


async def test_what_is_not_known_is_null_and_never_a_zero(api: Served) -> None:
    other = "NSE_FO|45460"  # nobody has told a price of it
    api.broker.fills[other] = 100.0
    await api.place(instrument_key=other)
    [position] = (await api.client.get("/api/accounts/main/positions")).json()

    assert position["pnl"]["unrealised"] is None
    assert position["pnl"]["missing"]
    assert not position["pnl"]["complete"]


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 0}, "quantity"),
        ({"quantity": -75}, "quantity"),
        ({"quantity": 75.0}, "quantity"),
        ({"quantity": "75"}, "quantity"),
        ({"quantity": True}, "quantity"),
        ({"quantity": 10**30}, "quantity"),
        ({"quantity": None}, "quantity"),
        ({"side": "HOLD"}, "side"),
        ({"price": -1}, "price"),
        ({"nonce": ""}, "nonce"),
        ({"nonce": "two\nlines"}, "nonce"),
        ({"instrument_key": "x" * 100_000}, "instrument_key"),
        ({"surprise": 1}, "surprise"),
    ],
)
async def test_a_wrong_body_is_refused_by_field_and_nothing_is_sent(
    api: Served, changes: dict[str, Any], field: str
) -> None:
    refused = await api.place(**changes)

    told = refused.json()
    assert refused.status_code == 422
    assert [p["field"] for p in told["problems"]] == [field]
    assert told["sent"] is False
    assert "Nothing was sent" in told["message"]
    assert api.broker.sent == []


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"quantity": 76}, "quantity"),
        ({"order_type": "LIMIT"}, "price"),
        ({"order_type": "LIMIT", "price": 100.01}, "price"),
        ({"order_type": "SL-M", "trigger": 0}, "trigger"),
        ({"instrument_key": "'; DROP TABLE orders;--"}, "instrument_key"),
        ({"instrument_key": "<img src=x onerror=alert(1)>"}, "instrument_key"),
        ({"instrument_key": "NSE_INDEX|Nifty 50"}, "instrument_key"),
    ],
)
async def test_what_the_desk_denies_is_told_by_field(
    api: Served, changes: dict[str, Any], field: str
) -> None:
    refused = await api.place(**changes)

    assert refused.status_code == 409
    assert [p["field"] for p in refused.json()["problems"]] == [field]
    assert api.broker.sent == []


@pytest.mark.parametrize(
    "body", [b"", b"{", b"[]", b"null", b'"text"', b"\xff\xfe", b'{"a":' * 10_000, b"NaN"]
)
@pytest.mark.parametrize("path", ["orders", "batch-orders"])
async def test_malformed_json_is_refused_on_every_route(
    api: Served, path: str, body: bytes
) -> None:
    answer = await api.client.post(
        f"/api/accounts/main/{path}", content=body, headers={"Content-Type": "application/json"}
    )

    told = answer.json()
    assert answer.status_code in (400, 422)
    assert (told["error"], "Nothing was sent" in told["message"]) == ("invalid", True)
    assert not any(problem["field"].isdigit() for problem in told["problems"])
    assert api.broker.sent == []


async def test_unknown_accounts_and_orders_are_not_found(api: Served) -> None:
    for path in ("other/orders", "other/positions", "other/pnl", "main/orders/none"):
        answer = await api.client.get(f"/api/accounts/{path}")
        assert (answer.status_code, answer.json()["error"]) == (404, "not found"), path


def leg(n: int = 0, **changes: Any) -> dict[str, Any]:
    key = f"NSE_FO|{45450 + 2 * n}"
    return {"instrument_key": key, "side": "BUY", "quantity": 75, "order_type": "LIMIT",
            "price": 50.0} | changes  # fmt: skip


@pytest.mark.parametrize("legs", [[], [leg(n) for n in range(11)], [leg(), leg()]])
async def test_a_basket_of_the_wrong_shape_sends_nothing(
    api: Served, legs: list[dict[str, Any]]
) -> None:
    body = {"nonce": "b1", "legs": legs}
    answer = await api.client.post("/api/accounts/main/batch-orders", json=body)

    told = answer.json()
    assert answer.status_code in (422, 200)
    assert not told.get("success")
    assert api.broker.sent == []


async def test_a_basket_tells_what_became_of_each_leg(api: Served) -> None:
    for n in range(3):
        api.broker.fills[leg(n)["instrument_key"]] = 50.0
    body = {"nonce": "b1", "legs": [leg(n) for n in range(3)], "name": "three calls"}
    told = (await api.client.post("/api/accounts/main/batch-orders", json=body)).json()
    again = (await api.client.post("/api/accounts/main/batch-orders", json=body)).json()

    assert told["id"] == again["id"]
    named = {**body, "nonce": "b2", "name": "fair\u202e\nfoul"}
    wrong = await api.client.post("/api/accounts/main/batch-orders", json=named)
    assert [p["field"] for p in wrong.json()["problems"]] == ["name"]
    assert len(api.broker.sent) == 3
    found = f"/api/accounts/main/batch-orders/{told['id']}"
    await until(lambda: api.desk.baskets.get(told["id"]).state.final, within=15)  # type: ignore[union-attr]
    now = (await api.client.get(found)).json()
    assert (now["outcome"], now["success"]) == ("placed", True)
    assert [leg["filled"] for leg in now["legs"]] == [75, 75, 75]


async def test_listeners_hear_orders_and_positions(api: Served) -> None:
    api.broker.fills[CALL] = 101.0
    async with api.socket("orders/main") as one, api.socket("orders") as all_:
        for socket in (one, all_):
            greeted = await hear(socket, "connection_established")
            assert (greeted["mode"], greeted["is_mock"]) == ("SIMULATED", True)
        await api.place()
        for socket in (one, all_):
            order = await hear(socket, "order_update")
            assert (order["status"], order["filled"]) == ("filled", 75)
            assert "complete" in [step["raw_status"] for step in order["steps"]]
            position = await hear(socket, "position_update")
            assert position["quantity"] == 75


async def test_who_connects_later_sees_what_is_working_and_held(api: Served) -> None:
    api.broker.fills[CALL] = 101.0
    await api.place()
    await api.place(nonce="n2", instrument_key="NSE_FO|45452", order_type="LIMIT", price=50.0)
    async with api.socket("orders/main") as socket:
        assert (await hear(socket, "order_update"))["status"] == "working"
        assert (await hear(socket, "position_update"))["quantity"] == 75


async def test_an_unknown_account_is_told_so_and_disconnected(api: Served) -> None:
    async with api.socket("orders/other") as socket:
        assert "no account" in (await hear(socket, "error"))["message"]
        with pytest.raises(websockets.ConnectionClosed) as closed:
            await socket.recv()
        assert closed.value.rcvd is not None
        assert closed.value.rcvd.code == sockets.NO_ACCOUNT


async def test_the_status_is_told(api: Served) -> None:
    async with api.socket("status") as socket:
        status = await hear(socket, "status_update")
        assert (status["mode"], status["is_mock"]) == ("SIMULATED", True)


@pytest.mark.parametrize(
    "said",
    ["", "{", "null", "[]", '{"type":"buy"}', "x" * 5_000, "[" * 4_000, b"\x00\x01"],
)
async def test_what_a_socket_does_not_understand_is_answered_and_it_lives_on(
    api: Served, said: str | bytes
) -> None:
    async with api.socket("orders") as socket:
        await hear(socket, "connection_established")
        await socket.send(said)
        assert (await hear(socket, "error"))["message"]
        await socket.send('{"type":"ping"}')
        await hear(socket, "pong")


async def test_one_subscription_serves_all_and_the_dead_are_cleaned_up(api: Served) -> None:
    before = len(api.desk.orders.changes)
    crowd = [api.socket("orders") for _ in range(20)]
    connected = [await connecting for connecting in crowd]
    assert len(api.desk.orders.changes) == before + 1
    for socket in connected:
        socket.transport.abort()
    await until(lambda: len(api.desk.orders.changes) == before)


async def test_who_is_silent_or_slow_is_let_go() -> None:
    desk = make_desk(SystemClock())
    broadcast = sockets.Broadcast(desk)
    silent, slow = (sockets.Listener(None, status=False) for _ in range(2))
    for listener in (silent, slow):
        broadcast.join(listener)
    silent.heard -= sockets.SILENT + 1
    broadcast.ping()
    for _ in range(sockets.WAITING):
        slow.put("news")

    assert silent.ended.is_set()
    assert slow.ended.is_set()


async def test_who_floods_a_socket_is_let_go_before_the_desk_is_held_up(api: Served) -> None:
    """13,000 words a second kept the loop so busy that no reading of the books was begun."""
    before = len(api.desk.orders.changes)
    async with api.socket("orders") as talking:
        assert len(api.desk.orders.changes) == before + 1
        with pytest.raises(websockets.ConnectionClosed):
            await flood(talking)
        assert len(api.desk.orders.changes) == before


async def test_who_does_not_read_is_let_go_although_it_does_not_hear_that_either(
    api: Served,
) -> None:
    order = (await api.place(order_type="LIMIT", price=90.0)).json()
    known = api.desk.orders.get(order["id"])
    assert known is not None
    before = len(api.desk.orders.changes)
    with deaf(api.port):
        await until(lambda: len(api.desk.orders.changes) == before + 1)
        for turn in range(20):  # some megabytes: more than the system keeps for it
            for n in range(sockets.WAITING):
                moved = replace(known, id=f"order-{turn}-{n}")
                api.desk.orders.changes.emit(OrderMoved(None, moved))
            await asyncio.sleep(0.01)
        await until(lambda: len(api.desk.orders.changes) == before, within=5)


async def flood(talking: Any) -> None:
    while True:
        await talking.send("{}")


@contextmanager
def deaf(port: int) -> Iterator[None]:
    """Connect as a program that never reads."""
    with tcp.socket() as line:
        line.setsockopt(tcp.SOL_SOCKET, tcp.SO_RCVBUF, 4096)
        line.connect(("127.0.0.1", port))
        asked = {
            "Host": f"127.0.0.1:{port}",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
            "Sec-WebSocket-Version": "13",
            **SHOWN,
        }
        told = "".join(f"{name}: {value}\r\n" for name, value in asked.items())
        line.sendall(f"GET /api/ws/orders HTTP/1.1\r\n{told}\r\n".encode())
        yield


async def test_several_changes_within_one_turn_are_told_once_and_none_is_left_out() -> None:
    desk = make_desk(SystemClock())
    broadcast = sockets.Broadcast(desk)
    listener = sockets.Listener("main", status=False)
    broadcast.join(listener)
    first, other = intent("n1"), intent("n2")
    later = moved(first, OrderStatus.WORKING, filled=75)
    for order in (first, other, later):
        desk.orders.changes.emit(OrderMoved(None, order))
    await asyncio.sleep(0)

    texts = [listener.queue.get_nowait() for _ in range(listener.queue.qsize())]
    told = [json.loads(text)["data"] for text in texts if text]
    assert [(order["id"], len(order["steps"])) for order in told] == [
        (first.id, len(later.steps)),
        (other.id, len(other.steps)),
    ]


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer wrong"},
        {"Authorization": TOKEN},
        {"Authorization": "Basic abc"},
    ],
)
async def test_without_the_token_nothing_is_told(api: Served, headers: dict[str, str]) -> None:
    async with httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{api.port}", trust_env=False
    ) as stranger:
        for path in ("accounts", "openapi.json", "accounts/main/orders", "nowhere"):
            answer = await stranger.get(f"/api/{path}", headers=headers)
            assert (answer.status_code, answer.json()["error"]) == (401, "unauthorised"), path
        sent = await stranger.post("/api/accounts/main/orders", json=api.order(), headers=headers)
        assert sent.status_code == 401
    with pytest.raises(websockets.InvalidStatus):
        async with websockets.connect(
            f"ws://127.0.0.1:{api.port}/api/ws/orders", additional_headers=headers, proxy=None
        ):
            pass
    assert api.broker.sent == []


async def test_a_page_of_another_site_is_refused_even_with_the_token(api: Served) -> None:
    answer = await api.client.get("/api/accounts", headers={"Origin": "http://evil.example"})
    assert answer.status_code == 403
    with pytest.raises(websockets.InvalidStatus):
        async with api.socket("orders", Origin="http://evil.example"):
            pass


async def test_openapi_documents_the_routes_and_the_sockets(api: Served) -> None:
    told = (await api.client.get("/api/openapi.json")).json()

    assert "/accounts/{account_id}/batch-orders" in told["paths"]
    assert "/api/ws/orders/{account_id}" in told["info"]["description"]


async def test_a_postback_is_a_hint_and_changes_nothing_by_itself(api: Served) -> None:
    forged = {"update_type": "order", "order_id": "1", "status": "complete", "filled_quantity": 75}
    url = f"http://127.0.0.1:{api.port}/webhooks/upstox/"
    async with httpx.AsyncClient(trust_env=False) as broker:
        assert (await broker.post(url + SECRET, json=forged)).status_code == 200
        assert (await broker.post(url + "wrong", json=forged)).status_code == 404
        assert (await broker.post(url + SECRET, content=b"{")).status_code == 400
        assert (await broker.post(url + SECRET, content=b"x" * 70_000)).status_code == 413

    assert api.hints == ["read"]
    assert [o for o in api.desk.orders.orders() if o.status is OrderStatus.FILLED] == []


async def test_instruments_are_found_by_words(api: Served) -> None:
    [call, *_] = (await api.client.get("/api/instruments", params={"text": "24000 CE"})).json()
    refused = await api.client.get("/api/instruments", params={"text": ""})

    assert (call["instrument_key"], call["lot_size"], call["type"]) == (CALL, 75, "CE")
    assert (refused.status_code, refused.json()["problems"][0]["field"]) == (422, "text")


async def test_a_repeated_call_is_answered_although_another_order_is_in_doubt(
    api: Served,
) -> None:
    """It was refused with "nothing was sent", of an order that was sent long ago."""
    first = (await api.place()).json()
    api.broker.script = [Unanswered("no answer")]
    api.broker.read_error = Retryable("500")
    await api.place(nonce="n2")
    again = await api.place()

    assert (again.status_code, again.json().get("id")) == (201, first["id"])
    unseen = await api.place(nonce="n3", despite_doubt="two\u2028lines")
    assert [p["field"] for p in unseen.json()["problems"]] == ["despite_doubt"]


async def test_what_is_in_doubt_is_not_sent_again_without_a_reason(api: Served) -> None:
    api.broker.script = [Unanswered("no answer")]
    first = (await api.place()).json()
    repeated = await api.place()
    refused = await api.place(nonce="n2")
    other_side = await api.place(nonce="n3", side="SELL")
    meant = await api.place(nonce="n4", despite_doubt="the broker's app shows none")

    assert (first["status"], repeated.json()["id"]) == ("in doubt", first["id"])
    assert (refused.status_code, refused.json()["problems"][0]["field"]) == (409, "despite_doubt")
    assert other_side.status_code == meant.status_code == 201
    assert len(api.broker.sent) == 3
    assert "shows none" in meant.json()["source"]
