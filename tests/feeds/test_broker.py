"""Orders and reads on a real socket: against scripted answers, then the simulated exchange."""

import asyncio
import json
import socket
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

import httpx
import pytest

from feeds.upstox.broker import UpstoxBroker
from feeds.upstox.quotes import UpstoxQuotes
from feeds.upstox.rest import ORDER_LIMITS, SEVERAL_LIMITS, UpstoxRest
from feeds.upstox.token import FixedToken
from simulator.server import SimulatedExchange
from tests.feeds.exchange import TOKEN, Exchange, Peer, Reply, failure, success
from tests.feeds.portfolio import (
    REQUEST,
    Client,
    Row,
    account,
    holding_row,
    line,
    order_row,
    position_row,
    simulated,
    trade_row,
)
from tests.simulator.tiny import CALL, INFY, PUT
from trading.errors import (
    BadAnswer,
    BadRequest,
    NotPermitted,
    RateLimited,
    Refused,
    Retryable,
    TokenRefused,
    Unanswered,
)
from trading.order import BrokerOrder, OrderChange, OrderStatus, OrderType, Side

PLACE = "/v3/order/place"
MULTI = "/v2/order/multi/place"
BOOK = "/v2/order/retrieve-all"
HISTORY = "/v2/order/history"
TRADES = "/v2/order/trades/get-trades-for-day"
POSITIONS = "/v2/portfolio/short-term-positions"
HOLDINGS = "/v2/portfolio/long-term-holdings"
FUNDS = "/v3/user/get-funds-and-margin"
PLACED = success({"order_ids": ["1"]})


def quiet(peer: Peer) -> None:
    peer.swallow()


@pytest.fixture
def scripted() -> Iterator[Exchange]:
    with Exchange(quiet) as exchange:
        yield exchange


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    with simulated() as running:
        yield running


# What a socket can do to an order.


async def test_an_order_goes_out_once_as_json(scripted: Exchange) -> None:
    scripted.replies[PLACE] = PLACED
    async with account(scripted.url) as client:
        assert await client.broker.place(line()) == ("1",)

    (head,) = scripted.heads
    assert head.startswith("POST /v3/order/place HTTP/1.1\r\n")
    for wanted in (f"Bearer {TOKEN}\r\n", "User-Agent: Mozilla", "application/json"):
        assert wanted.lower() in head.lower()
    assert "x-algo-name" not in head.lower()
    assert json.loads(scripted.bodies[0])["tag"] == "vigil-1"


async def test_a_cancellation_and_a_change_use_their_own_verbs(scripted: Exchange) -> None:
    scripted.replies |= {
        "/v3/order/cancel": success({"order_id": "1"}),
        "/v3/order/modify": success({"order_id": "1"}),
        BOOK: success([order_row()]),
    }
    async with account(scripted.url) as client:
        (order,) = await client.broker.orders()
        await client.broker.modify(order, OrderChange(price=143.0))
        await client.broker.cancel(order.order_id)

    assert scripted.heads[1].startswith("PUT /v3/order/modify ")
    assert scripted.heads[2].startswith("DELETE /v3/order/cancel?order_id=251126000012345 ")


async def test_single_orders_have_a_host_of_their_own(scripted: Exchange) -> None:
    with Exchange(quiet) as fast:
        fast.replies[PLACE] = PLACED
        scripted.replies[MULTI] = success([{"correlation_id": "line-1", "order_id": "2"}])
        async with account(scripted.url, hft_url=fast.url) as client:
            await client.broker.place(line())
            (placed,) = await client.broker.place_many([line()])

        assert len(fast.heads) == len(scripted.heads) == 1
    assert placed.order_ids == ("2",)


def test_the_real_broker_gets_single_orders_where_it_takes_them() -> None:
    real = UpstoxRest("https://api.upstox.com/", FixedToken(TOKEN))
    other = UpstoxRest("https://api-sandbox.upstox.com", FixedToken(TOKEN))

    assert real.hft_url == "https://api-hft.upstox.com"
    assert other.hft_url == "https://api-sandbox.upstox.com"
    with pytest.raises(ValueError, match="https"):
        UpstoxRest("https://api.upstox.com", FixedToken(TOKEN), hft_url="http://api.upstox.com")


@pytest.mark.parametrize(
    "reply",
    [
        Reply(drop=True),
        Reply(delay=0.6),
        Reply(headers={"Content_Length": "50"}, body=b'{"status":'),
        Reply(body=b"x" * (17 << 20)),
        Reply(500),
        Reply(502, b"<html>", "text/html"),
        Reply(200, b"<html>", "text/html"),
        Reply(302, headers={"Location": "/v3/order/place"}),
        success(None),
    ],
    ids=["cut", "late", "stuck", "endless", "500", "502", "html", "302", "null"],
)
async def test_o01_an_order_that_left_and_got_no_answer_is_in_doubt_and_not_sent_again(
    scripted: Exchange, reply: Reply
) -> None:
    scripted.replies |= {PLACE: reply, MULTI: reply}
    async with account(scripted.url, timeout=httpx.Timeout(0.3, connect=3.0), total=0.5) as client:
        with pytest.raises(Unanswered):
            await client.broker.place(line())
        with pytest.raises(Unanswered):
            await client.broker.place_many([line()])
        await asyncio.sleep(0.1)

    assert len(scripted.heads) == 2


async def test_o02_an_order_that_never_left_is_surely_not_there() -> None:
    with Exchange(quiet) as gone:
        url = gone.url
    async with account(url) as client:
        with pytest.raises(Retryable, match="cannot be reached") as caught:
            await client.broker.place(line())
        with pytest.raises(Retryable, match="cannot be reached"):
            await client.broker.place_many([line()])

    assert not isinstance(caught.value, BadAnswer)


async def test_o02_a_connect_that_hangs_sent_nothing() -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as deaf:
        port = deaf.getsockname()[1]
        fillers = [socket.socket() for _ in range(3)]
        try:
            for filler in fillers:  # the queue of the listener is full
                filler.setblocking(False)
                filler.connect_ex(("127.0.0.1", port))
            async with account(f"http://127.0.0.1:{port}", total=0.4) as client:
                with pytest.raises(Retryable):
                    await client.broker.place(line())
        finally:
            for filler in fillers:
                filler.close()


async def test_an_order_on_a_kept_connection_that_died_unseen_is_in_doubt(
    scripted: Exchange,
) -> None:
    def after_the_first(_: str) -> Reply:
        return PLACED if len(scripted.heads) == 1 else Reply(drop=True)

    scripted.replies[PLACE] = after_the_first
    async with account(scripted.url) as client:
        await client.broker.place(line())
        with pytest.raises(Unanswered):
            await client.broker.place(line("vigil-2"))
        scripted.replies[PLACE] = PLACED
        assert await client.broker.place(line("vigil-3")) == ("1",)

    tags = [json.loads(body)["tag"] for body in scripted.bodies]
    assert tags == ["vigil-1", "vigil-2", "vigil-3"]


async def test_an_order_after_a_connection_that_we_saw_end_takes_a_new_one(
    scripted: Exchange,
) -> None:
    scripted.replies[PLACE] = replace(PLACED, close=True)
    async with account(scripted.url) as client:
        for number in range(3):
            assert await client.broker.place(line(str(number))) == ("1",)
            await asyncio.sleep(0.1)  # for the end to reach us

    assert [json.loads(body)["tag"] for body in scripted.bodies] == ["0", "1", "2"]


@pytest.mark.parametrize(
    ("reply", "kind"),
    [
        (failure(400, "UDAPI1052"), BadRequest),
        (failure(401, "UDAPI100050"), TokenRefused),
        (failure(403, "UDAPI1179", "static IP"), NotPermitted),
        (failure(423, "UDAPI100074"), BadRequest),
        (failure(429, "UDAPI10005", Retry_After="3"), RateLimited),
    ],
)
async def test_a_refusal_is_told_apart_and_nothing_is_sent_again(
    scripted: Exchange, reply: Reply, kind: type[Exception]
) -> None:
    scripted.replies[PLACE] = reply
    async with account(scripted.url) as client:
        with pytest.raises(kind) as caught:
            await client.broker.place(line())

    assert type(caught.value) is kind
    assert TOKEN not in repr(caught.value)
    assert len(scripted.heads) == 1


async def test_our_own_limit_holds_orders_back_a_moment_and_not_longer(
    scripted: Exchange,
) -> None:
    scripted.replies |= {PLACE: PLACED, BOOK: success([])}
    (most, window), *_ = ORDER_LIMITS
    async with account(scripted.url) as client:
        began = time.monotonic()
        results = await asyncio.gather(
            *(client.broker.place(line(str(n))) for n in range(most * 4)), return_exceptions=True
        )
        took = time.monotonic() - began
        assert await client.broker.orders() == [], "reads have limits of their own"

    went = [r for r in results if r == ("1",)]
    held = [r for r in results if isinstance(r, RateLimited)]
    assert len(went) + len(held) == most * 4
    assert most <= len(went) <= most * (1 + took / window)
    assert all("nothing was sent" in str(error) for error in held)
    assert len(scripted.bodies) == len(went) + 1


async def test_calls_with_several_orders_have_a_lower_limit(scripted: Exchange) -> None:
    scripted.replies |= {MULTI: success([{"correlation_id": "line-1", "order_id": "2"}])}
    (most, window), *_ = SEVERAL_LIMITS
    async with account(scripted.url) as client:
        began = time.monotonic()
        for _ in range(most + 1):
            await client.broker.place_many([line()])
        took = time.monotonic() - began

    assert window <= took < window + 1


async def test_a_token_that_is_missing_stops_an_order_before_it_leaves(
    scripted: Exchange,
) -> None:
    class NoToken(FixedToken):
        def load(self) -> str:
            raise TokenRefused("there is no access token")

    async with account(scripted.url, token=NoToken("")) as client:
        with pytest.raises(Refused):
            await client.broker.place(line())

    assert scripted.heads == []


# Reads: the truth or an error, and never less than the truth.

Read = Callable[[UpstoxBroker], Awaitable[Sequence[object]]]
READS: dict[str, tuple[Callable[..., Row], Read]] = {
    BOOK: (order_row, UpstoxBroker.orders),
    POSITIONS: (position_row, UpstoxBroker.positions),
    HOLDINGS: (holding_row, UpstoxBroker.holdings),
    TRADES: (trade_row, UpstoxBroker.trades),
}


@pytest.mark.parametrize("path", READS)
@pytest.mark.parametrize(
    "reply",
    [
        Reply(500),
        Reply(200, b"<html>", "text/html"),
        Reply(drop=True),
        Reply(body=b"{"),
        Reply(body=b"null"),
        success(None),
        success({}),
        success("none"),
        success({"0": {}}),
        success([None]),
        success([{}]),
        Reply(body=b'{"status":"error","data":[]}'),
        Reply(body=b'{"data":[]}'),
    ],
    ids=[
        "500", "html", "cut", "no json", "null", "data null", "data object", "data text",
        "data keyed", "row null", "row empty", "error", "no status",
    ],
)  # fmt: skip
async def test_o10_a_read_that_failed_is_never_an_empty_list(
    scripted: Exchange, path: str, reply: Reply
) -> None:
    row, read = READS[path]
    async with account(scripted.url) as client:
        scripted.replies[path] = success([row()])
        assert len(await read(client.broker)) == 1
        scripted.replies[path] = success([])
        assert await read(client.broker) == []
        scripted.replies[path] = reply
        with pytest.raises(Retryable):
            await read(client.broker)


@pytest.mark.parametrize("path", READS)
async def test_one_row_that_cannot_be_read_fails_the_read_and_is_named(
    scripted: Exchange, path: str, caplog: pytest.LogCaptureFixture
) -> None:
    row, read = READS[path]
    scripted.replies[path] = success([row(), row(quantity=None)])
    async with account(scripted.url) as client:
        for _ in range(2):
            with pytest.raises(BadAnswer, match="row 2 cannot be read: no quantity"):
                await read(client.broker)

    assert len([r for r in caplog.records if r.levelname == "WARNING"]) == 1


async def test_the_order_book_may_come_without_its_envelope(scripted: Exchange) -> None:
    scripted.replies[BOOK] = Reply(body=json.dumps([order_row(), order_row(order_id="2")]).encode())
    async with account(scripted.url) as client:
        assert [o.order_id for o in await client.broker.orders()] == ["251126000012345", "2"]
        scripted.replies[BOOK] = Reply(body=b"[]")
        assert await client.broker.orders() == []


async def test_odd_products_and_validities_do_not_hide_the_other_orders(
    scripted: Exchange,
) -> None:
    odd = [{"product": "CO"}, {"validity": "EOS"}, {"product": "X"}, {"status": "y"}, {}]
    rows = [order_row(order_id=str(n), **changes) for n, changes in enumerate(odd)]
    scripted.replies[BOOK] = success(rows)
    async with account(scripted.url) as client:
        assert [o.order_id for o in await client.broker.orders()] == list("01234")


async def test_orders_are_found_by_their_tag_in_their_last_stage(scripted: Exchange) -> None:
    stages = [
        order_row(status="put order req received", parent_order_id="NA"),
        order_row(status="complete", filled_quantity=75, average_price=142.5),
        order_row(status="open", filled_quantity=25),
        order_row(order_id="2", status="open", tag="another"),
    ]
    scripted.replies[HISTORY] = success(stages)
    async with account(scripted.url) as client:
        (order,) = await client.broker.orders_tagged("vigil-1")
        scripted.replies[HISTORY] = success([])
        assert await client.broker.orders_tagged("vigil-1") == []
        scripted.replies[HISTORY] = failure(400, "UDAPI100010", "Order not found")
        assert await client.broker.orders_tagged("vigil-1") == []
        for trouble in (failure(400, "UDAPI100036"), failure(500, ""), success(None)):
            scripted.replies[HISTORY] = trouble
            with pytest.raises((BadRequest, Retryable)):
                await client.broker.orders_tagged("vigil-1")

    assert (order.status, order.filled) == (OrderStatus.FILLED, 75)
    assert "/v2/order/history?tag=vigil-1 " in scripted.heads[0]


async def test_funds_are_cash_and_pledge_together(scripted: Exchange) -> None:
    scripted.replies[FUNDS] = success(
        {
            "available_to_trade": {
                "total": 250000.05,
                "cash_available_to_trade": {"total": 240000, "margin_used": {"total": 10000.5}},
                "pledge_available_to_trade": {"margin_used": {"total": 500}},
            }
        }
    )
    async with account(scripted.url) as client:
        funds = await client.broker.funds()
        assert (funds.available, funds.used) == (25000005, 1050050)
        for wrong in ({}, {"available_to_trade": None}, []):
            scripted.replies[FUNDS] = success(wrong)
            with pytest.raises(BadAnswer):
                await client.broker.funds()
        scripted.replies[FUNDS] = failure(423, "UDAPI100072")
        with pytest.raises(RateLimited, match="closed by broker"):
            await client.broker.funds()


# The simulated exchange.


async def test_an_order_lives_its_life_and_every_read_agrees(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url) as client:
        broker = client.broker
        (resting,) = await broker.place(line("rests", price=142.0))
        (bought,) = await broker.place(line("buys", order_type=OrderType.MARKET))
        await _settled(client, bought)
        book = {order.order_id: order for order in await broker.orders()}
        fills = await broker.trades()
        (position,) = await broker.positions()

        assert book[bought].status is OrderStatus.FILLED
        assert (book[bought].filled, book[bought].tag) == (75, "buys")
        assert book[resting].status is OrderStatus.WORKING
        assert book[resting].exchange_order_id
        assert sum(f.quantity for f in fills if f.order_id == bought) == 75
        assert fills[0].price == 142.7
        assert (position.instrument_key, position.quantity) == (CALL, 75)
        assert position.last_price == 142.6

        await broker.modify(book[resting], OrderChange(price=141.0, quantity=150))
        await _until(client, resting, lambda order: order.price == 141.0)
        await broker.cancel(resting)
        cancelled = await _settled(client, resting)
        assert (cancelled.status, cancelled.quantity) == (OrderStatus.CANCELLED, 150)
        (tagged,) = await broker.orders_tagged("rests")
        assert tagged.status is OrderStatus.CANCELLED
        assert await broker.orders_tagged("nobody's") == []
        with pytest.raises(BadRequest) as caught:
            await broker.cancel(resting)
        assert caught.value.code == "UDAPI100040"


async def test_a_stop_waits_for_its_trigger(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url) as client:
        wanted = line(order_type=OrderType.SL, price=145.0, trigger=144.5)
        (order_id,) = await client.broker.place(wanted)
        order = await _until(client, order_id, lambda o: o.raw_status == "trigger pending")

    assert (order.status, order.trigger, order.price) == (OrderStatus.WORKING, 144.5, 145.0)


async def test_o13_a_large_order_comes_back_as_its_slices(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url) as client:
        ids = await client.broker.place(line(quantity=1800 * 10 + 75, price=130.0))
        found = await client.broker.orders_tagged("vigil-1")

    assert len(set(ids)) == 11
    assert {order.order_id for order in found} == set(ids)
    assert sum(order.quantity for order in found) == 1800 * 10 + 75


async def test_a_basket_is_answered_line_by_line(exchange: SimulatedExchange) -> None:
    exchange.faults.set("reject_order", how="answer", code="UDAPI1161", line=1)
    async with account(exchange.base_url) as client:
        placed = await client.broker.place_many(
            [
                line("sells", side=Side.SELL, price=150.0),
                line("buys", quantity=3600 + 75, price=130.0),
                line("buys a put", instrument_key=PUT, price=130.0),
            ]
        )

    assert [p.tag for p in placed] == ["sells", "buys", "buys a put"]
    assert [len(p.order_ids) for p in placed] == [1, 0, 1], "the first as sent is the first buy"
    assert isinstance(placed[1].error, BadRequest)


async def test_a_basket_with_a_mistake_is_refused_whole(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url) as client:
        with pytest.raises(BadRequest, match="line-2 quantity: UDAPI1052"):
            await client.broker.place_many([line("a"), line("b", quantity=0)])

        assert await client.broker.orders() == []


@pytest.mark.parametrize("answer", ["close", "hang"])
@pytest.mark.parametrize("how", ["after", "before"])
async def test_o01_o02_a_lost_answer_is_in_doubt_and_the_tag_knows(
    exchange: SimulatedExchange, how: str, answer: str
) -> None:
    exchange.faults.set("place_lost", how=how, answer=answer, next=2)
    async with account(exchange.base_url, timeout=httpx.Timeout(0.8)) as client:
        with pytest.raises(Unanswered):
            await client.broker.place(line("one", price=130.0))
        with pytest.raises(Unanswered):
            await client.broker.place_many([line("two", price=130.0), line("three", price=130.0)])
        found = [len(await client.broker.orders_tagged(tag)) for tag in ("one", "two", "three")]
        writes = exchange.do(lambda broker: list(broker.writes))

    assert found == ([1, 1, 1] if how == "after" else [0, 0, 0])
    assert len(writes) == 2, "nothing was sent again"


async def test_o06_a_cancellation_that_comes_too_late_is_refused_by_name(
    exchange: SimulatedExchange,
) -> None:
    exchange.faults.set("cancel_loses", how="filled")
    async with account(exchange.base_url) as client:
        (order_id,) = await client.broker.place(line(price=142.0))
        await _until(client, order_id, lambda order: order.raw_status == "open")
        with pytest.raises(BadRequest) as caught:
            await client.broker.cancel(order_id)
        order = await _settled(client, order_id)

    assert caught.value.code == "UDAPI100040"
    assert order.status is OrderStatus.FILLED


async def test_o07_a_rejection_tells_both_texts(exchange: SimulatedExchange) -> None:
    exchange.faults.set("reject_order", how="status")
    async with account(exchange.base_url) as client:
        (order_id,) = await client.broker.place(line())
        order = await _settled(client, order_id)

    assert order.status is OrderStatus.REJECTED
    assert "You need to add" in order.message
    assert "RMS:Margin Exceeds" in order.message


async def test_a05_an_address_that_may_not_order_may_still_read(
    exchange: SimulatedExchange,
) -> None:
    exchange.faults.set("static_ip")
    async with account(exchange.base_url) as client:
        with pytest.raises(NotPermitted, match="not permitted from this address"):
            await client.broker.place(line())
        with pytest.raises(NotPermitted):
            await client.broker.place_many([line()])

        assert await client.broker.orders() == []


async def test_a03_a_dead_token_is_refused_everywhere(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url, token=FixedToken("yesterday's")) as client:
        for asked in (client.broker.place(line()), client.broker.orders(), client.broker.funds()):
            with pytest.raises(TokenRefused):
                await asked


async def test_money_is_asked_before_an_order(exchange: SimulatedExchange) -> None:
    selling = line(side=Side.SELL, instrument_key=PUT).request
    async with account(exchange.base_url) as client:
        before = await client.broker.funds()
        margin = await client.broker.margin([REQUEST, selling])
        alone = await client.broker.margin([REQUEST])
        charges = await client.broker.charges(REQUEST, 142.5)
        await client.broker.place(line(order_type=OrderType.MARKET))
        await client.until(lambda: bool(exchange.do(lambda b: b.account("4XA7QK").trades)))
        after = await client.broker.funds()

    assert alone.required == round(142.5 * 75 * 100)
    assert margin.required > alone.required
    assert 0 < margin.final <= margin.required
    assert 20_00 < charges < 100_00
    assert after.available < before.available
    assert after.used == round(142.7 * 75 * 100)


async def test_quotes_have_what_a_mark_needs(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url) as client:
        quotes = await UpstoxQuotes(client.rest).quotes([CALL, INFY, "NSE_FO|404"])

    found = {quote.instrument_key: quote for quote in quotes}
    assert set(found) == {CALL, INFY}
    call = found[CALL]
    assert (call.ltp, call.bid, call.bid_qty, call.ask, call.ask_qty) == (
        142.6, 142.5, 300, 142.7, 225,
    )  # fmt: skip
    assert (call.day_low, call.day_high) == (121.4, 149.9)
    assert (call.lower_circuit, call.upper_circuit) == (100.0, 200.0)
    assert call.ltt > 1_700_000_000_000


async def _until(
    client: Client, order_id: str, condition: Callable[[BrokerOrder], bool]
) -> BrokerOrder:
    """Read the order book until the order is as wanted."""
    began = time.monotonic()
    while True:
        book = {order.order_id: order for order in await client.broker.orders()}
        if condition(book[order_id]):
            return book[order_id]
        assert time.monotonic() - began < 3, book[order_id]
        await asyncio.sleep(0.02)


async def _settled(client: Client, order_id: str) -> BrokerOrder:
    return await _until(client, order_id, lambda order: order.status.final)
