"""The portfolio stream: against scripted sockets, then against the simulated exchange."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from feeds.connection import Timing
from feeds.upstox.token import FixedToken
from simulator.order_forms import OrderForm
from simulator.orders import Terms
from simulator.server import SimulatedExchange
from simulator.tokens import USER
from tests.feeds.exchange import TOKEN, Exchange, Peer, frame
from tests.feeds.portfolio import (
    account,
    holding_row,
    line,
    order_row,
    position_row,
    simulated,
)
from tests.simulator.tiny import CALL
from trading.broker import PortfolioFeed
from trading.order import OrderStatus, OrderType
from trading.ports import FeedState

AUTHORISE = "/v2/feed/portfolio-stream-feed/authorize"
TWENTIETH = Timing().scaled(0.05)
TEXT, BINARY = 1, 2


def quiet(peer: Peer) -> None:
    peer.swallow()


def said(row: dict[str, object], opcode: int = TEXT) -> bytes:
    return frame(opcode, json.dumps(row).encode())


@pytest.fixture
def scripted() -> Iterator[Exchange]:
    with Exchange(quiet) as exchange:
        yield exchange


@pytest.fixture
def exchange() -> Iterator[SimulatedExchange]:
    with simulated() as running:
        yield running


async def test_it_is_live_only_after_it_was_caught_up(scripted: Exchange) -> None:
    async with account(scripted.url, stream=True) as client:
        feed: PortfolioFeed = client.feed
        assert (feed.name, feed.account) == ("portfolio-main", "main")
        await client.state(FeedState.OPEN)
        scripted.peers[0].raw(said(order_row()))
        await client.until(lambda: len(client.orders) == 1)
        assert client.states[-1] is FeedState.OPEN, "an update is not a snapshot"

        feed.caught_up()
        took = await client.state(FeedState.LIVE)

    assert took < 0.05
    assert client.states == [
        FeedState.CONNECTING, FeedState.OPEN, FeedState.LIVE, FeedState.STOPPED,
    ]  # fmt: skip


async def test_the_address_is_asked_for_orders_positions_and_holdings(scripted: Exchange) -> None:
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.OPEN)

    authorise, handshake = scripted.heads
    assert f"GET {AUTHORISE}?update_types=order%2Cposition%2Cholding " in authorise
    assert f"Bearer {TOKEN}" in authorise
    assert TOKEN not in handshake
    assert "User-Agent: Mozilla/5.0" in handshake


async def test_positions_alone_may_be_asked_for(scripted: Exchange) -> None:
    async with account(scripted.url, stream=True, update_types=("position",)) as client:
        await client.state(FeedState.OPEN)
        scripted.peers[0].raw(said(position_row()))
        await client.until(lambda: len(client.positions) == 1)

    assert f"GET {AUTHORISE}?update_types=position " in scripted.heads[0]


@pytest.mark.parametrize("opcode", [TEXT, BINARY])
async def test_updates_of_every_kind_arrive_in_order(scripted: Exchange, opcode: int) -> None:
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.OPEN)
        rows = [order_row(filled_quantity=n) for n in range(50)]
        for row in [*rows, position_row(), holding_row()]:
            scripted.peers[0].raw(said(row, opcode))
        await client.until(lambda: len(client.holdings) == 1)

        stats = client.feed.stats()
        assert [order.filled for order in client.orders] == list(range(50))
        assert client.positions[0].quantity == 75
        assert (stats.frames, stats.ticks, stats.decode_errors) == (52, 52, 0)
        assert stats.text_frames == (52 if opcode == TEXT else 0)
        assert stats.tick_age is not None
        assert stats.is_mock


async def test_what_is_new_to_us_is_counted_and_the_rest_goes_on(scripted: Exchange) -> None:
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.OPEN)
        for row in ({"update_type": "margin"}, order_row(status="frozen"), order_row()):
            scripted.peers[0].raw(said(row))
        await client.until(lambda: len(client.orders) == 2)

        stats = client.feed.stats()
        assert (stats.unknown_fields, stats.decode_errors) == (2, 0)
    assert client.orders[0].raw_status == "frozen"
    assert len(scripted.peers) == 1


async def test_f23_ten_unreadable_messages_are_bad_luck_and_eleven_are_not(
    scripted: Exchange,
) -> None:
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.OPEN)
        for number in range(10):
            scripted.peers[0].raw(frame(TEXT, b"{" * number))
        scripted.peers[0].raw(said(order_row()))
        await client.until(lambda: len(client.orders) == 1)
        assert client.feed.stats().decode_errors == 10
        assert len(scripted.peers) == 1

        scripted.peers[0].raw(frame(BINARY, b"\xff"))
        await client.until(lambda: len(scripted.peers) == 2)

    assert any("could not be read" in change.reason for change in client.changes)


async def test_silence_alone_is_no_trouble_and_pings_are_life(scripted: Exchange) -> None:
    scripted.script = lambda peer: [
        (peer.raw(frame(9, b"beat")), time.sleep(0.05)) for _ in range(30)
    ]
    async with account(scripted.url, stream=True, timing=Timing().scaled(0.01)) as client:
        client.catch_up_always()
        await client.state(FeedState.LIVE)
        await asyncio.sleep(1.0)

        assert client.states[-1] is FeedState.LIVE
    assert len(scripted.peers) == 1
    assert FeedState.STALLED not in client.states


async def test_f04_a_peer_that_does_not_even_pong_is_left(scripted: Exchange) -> None:
    scripted.script = lambda peer: peer.swallow(pong=peer.number > 0)
    async with account(scripted.url, stream=True, timing=TWENTIETH) as client:
        client.catch_up_always()
        took = await client.until(lambda: len(scripted.peers) == 2, within=4)
        await client.state(FeedState.LIVE)

    assert 1.2 < took < 1.8
    assert any("not even a pong" in change.reason for change in client.changes)


async def test_o04_a_reading_for_a_connection_that_is_lost_does_not_make_the_next_one_live(
    scripted: Exchange,
) -> None:
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.OPEN)
        scripted.peers[0].fin()
        client.feed.caught_up()  # of the first: that it is gone has not been told yet
        await client.until(lambda: client.states.count(FeedState.OPEN) == 2)
        await asyncio.sleep(0.2)
        assert client.states[-1] is FeedState.OPEN

        client.feed.caught_up()
        await client.state(FeedState.LIVE)
        client.feed.caught_up()
        assert client.states[-1] is FeedState.LIVE


async def test_caught_up_says_nothing_while_nothing_is_open(scripted: Exchange) -> None:
    async with account(scripted.url) as client:
        client.feed.caught_up()
        scripted.refuse_socket = 503
        client.feed.start()
        await client.state(FeedState.BACKING_OFF)
        client.feed.caught_up()
        scripted.refuse_socket = None
        await client.state(FeedState.OPEN)
        await asyncio.sleep(0.1)

        assert client.states[-1] is FeedState.OPEN


async def test_a02_a_refused_token_stops_dialling_and_a_new_one_heals(scripted: Exchange) -> None:
    token = FixedToken("yesterday's")
    async with account(scripted.url, stream=True, token=token) as client:
        await client.state(FeedState.REFUSED)
        await asyncio.sleep(0.3)
        assert len(scripted.heads) == 1
        token.save(TOKEN)
        assert await client.state(FeedState.OPEN) < 0.5

    assert "token" in next(c.reason for c in client.changes if c.after is FeedState.REFUSED)


async def test_a04_a_403_is_a_matter_of_permission(scripted: Exchange) -> None:
    scripted.refuse_socket = 403
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.REFUSED)
        await asyncio.sleep(0.2)

        assert scripted.authorised == 1
        assert "permission" in client.feed.stats().reason


async def test_f11_two_kicks_in_a_row_are_not_fought_over(scripted: Exchange) -> None:
    scripted.script = lambda peer: peer.close(1008)
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.CONTESTED)
        await asyncio.sleep(0.3)

        assert scripted.authorised == 2


async def test_an_update_that_came_before_the_end_is_told_at_the_end(scripted: Exchange) -> None:
    async with account(scripted.url, stream=True) as client:
        await client.state(FeedState.OPEN)
        scripted.peers[0].raw(said(order_row()) * 20)
        while client.feed.stats().ticks < 20:
            time.sleep(0.001)  # noqa: ASYNC251 (the loop hears nothing meanwhile)
        client.feed.stop()

        assert len(client.orders) == 20


async def test_an_order_on_the_stream_takes_little_time(scripted: Exchange) -> None:
    heard: list[float] = []
    async with account(scripted.url, stream=True) as client:
        client.broker.order_updates.subscribe(lambda _: heard.append(time.monotonic()))
        await client.state(FeedState.OPEN)
        took = []
        for number in range(50):
            sent = time.monotonic()
            scripted.peers[0].raw(said(order_row(filled_quantity=number)))
            await client.until(lambda count=number: len(heard) > count)  # type: ignore[misc]
            took.append(heard[-1] - sent)

    took.sort()
    print(f"wire to subscriber: p50 {took[25] * 1000:.2f} ms, p99 {took[49] * 1000:.2f} ms")
    assert took[25] < 0.010


# The simulated exchange.


async def test_an_orders_life_is_told_to_its_end(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url, stream=True) as client:
        client.catch_up_always()
        await client.state(FeedState.LIVE)
        (order_id,) = await client.broker.place(line(order_type=OrderType.MARKET))
        await client.until(lambda: bool(client.orders) and client.orders[-1].status.final)
        await client.until(lambda: bool(client.positions))

        stats = client.feed.stats()
        assert (stats.decode_errors, stats.unknown_fields, stats.reconnects) == (0, 0, 0)
    words = [order.raw_status for order in client.orders]
    assert words[0] == "put order req received"
    assert words[-1] == "complete"
    assert {order.order_id for order in client.orders} == {order_id}
    assert {order.tag for order in client.orders} == {"vigil-1"}
    assert client.positions[-1].quantity == 75
    assert client.positions[-1].day_buy_value == 142.7 * 75


async def test_the_stream_and_the_book_tell_the_same(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url, stream=True) as client:
        await client.state(FeedState.OPEN)
        await client.broker.place(line("a", price=142.0))
        await client.broker.place(line("b", order_type=OrderType.MARKET))
        await client.until(lambda: any(o.status.final for o in client.orders))
        await client.until(lambda: any(o.raw_status == "open" for o in client.orders))
        await asyncio.sleep(0.1)
        book = {order.order_id: order for order in await client.broker.orders()}

    told = {order.order_id: order for order in client.orders}
    for order_id, order in book.items():
        streamed = told[order_id]
        assert (order.status, order.raw_status, order.filled, order.tag, order.price) == (
            streamed.status, streamed.raw_status, streamed.filled, streamed.tag, streamed.price,
        )  # fmt: skip


async def test_a_position_only_stream_tells_no_orders(exchange: SimulatedExchange) -> None:
    async with account(exchange.base_url, stream=True, update_types=("position",)) as client:
        await client.state(FeedState.OPEN)
        await client.broker.place(line(order_type=OrderType.MARKET))
        await client.until(lambda: bool(client.positions))
        await asyncio.sleep(0.1)

        assert client.orders == []


async def test_o05_repeated_and_shuffled_binary_updates_all_arrive(
    exchange: SimulatedExchange,
) -> None:
    exchange.faults.set("repeat_updates", times=3)
    exchange.faults.set("shuffle_updates", window=5, within=0.1)
    exchange.faults.set("binary_updates")
    async with account(exchange.base_url, stream=True) as client:
        await client.state(FeedState.OPEN)
        await client.broker.place(line(order_type=OrderType.MARKET))
        await client.until(lambda: sum(o.status.final for o in client.orders) == 3)
        await asyncio.sleep(0.3)

        stats = client.feed.stats()
        assert stats.ticks == len(client.orders) + len(client.positions)
        assert (stats.ticks % 3, stats.text_frames, stats.decode_errors) == (0, 0, 0)


async def test_o09_an_unknown_status_is_told_raw(exchange: SimulatedExchange) -> None:
    exchange.faults.set("unknown_status", text="held for review", seconds=0.2)
    async with account(exchange.base_url, stream=True) as client:
        await client.state(FeedState.OPEN)
        await client.broker.place(line(order_type=OrderType.MARKET))
        await client.until(lambda: any(o.raw_status == "held for review" for o in client.orders))
        assert client.orders[-1].status is OrderStatus.WORKING
        await client.until(lambda: client.orders[-1].status is OrderStatus.FILLED)


async def test_o14_an_order_of_the_phone_is_told(exchange: SimulatedExchange) -> None:
    terms = Terms("LIMIT", "DAY", 75, 150.0, 0.0)
    form = OrderForm(CALL, "SELL", "I", terms)

    async with account(exchange.base_url, stream=True) as client:
        await client.state(FeedState.OPEN)
        exchange.do(lambda b: b.place_elsewhere(USER, form, fill="rest", price=None))
        await client.until(lambda: bool(client.orders))

    assert (client.orders[0].tag, client.orders[0].quantity) == ("", 75)


@pytest.mark.parametrize(
    ("fault", "parameters"),
    [
        ("half_open", {}),
        ("drop", {"how": "fin"}),
        ("drop", {"how": "rst"}),
        ("drop", {"how": "1000"}),
        ("garbage_update", {"next": 11, "how": "truncated"}),
        ("giant", {}),
    ],
    ids=str,
)
async def test_the_stream_heals_after(
    exchange: SimulatedExchange, fault: str, parameters: dict[str, object]
) -> None:
    async with account(exchange.base_url, stream=True, timing=TWENTIETH) as client:
        client.catch_up_always()
        await client.state(FeedState.LIVE)
        exchange.faults.set(fault, feed="portfolio", **parameters)
        await client.until(lambda: FeedState.BACKING_OFF in client.states, within=4)
        exchange.faults.clear()
        await client.state(FeedState.LIVE)
        (order_id,) = await client.broker.place(line(order_type=OrderType.MARKET))
        await client.until(lambda: bool(client.orders) and client.orders[-1].status.final)

    assert client.orders[-1].order_id == order_id


async def test_a_stalled_stream_is_left_in_peace_and_its_updates_come_later(
    exchange: SimulatedExchange,
) -> None:
    async with account(exchange.base_url, stream=True, timing=Timing().scaled(0.02)) as client:
        client.catch_up_always()
        await client.state(FeedState.LIVE)
        exchange.faults.set("stall", feed="portfolio")
        await client.broker.place(line(order_type=OrderType.MARKET))
        await asyncio.sleep(1.0)
        assert client.orders == []
        assert client.states[-1] is FeedState.LIVE
        exchange.faults.clear()
        await client.until(lambda: bool(client.orders) and client.orders[-1].status.final)


async def test_a01_a_token_that_ends_refuses_and_a_new_one_heals(
    exchange: SimulatedExchange,
) -> None:
    token = FixedToken(TOKEN)
    async with account(exchange.base_url, stream=True, token=token) as client:
        client.catch_up_always()
        await client.state(FeedState.LIVE)
        exchange.faults.set("expire_token")
        await client.state(FeedState.REFUSED)
        exchange.tokens.add("tomorrow's")
        token.save("tomorrow's")
        await client.state(FeedState.LIVE)


async def test_a_wanted_reconnect_happens_at_once_and_must_be_caught_up_again(
    exchange: SimulatedExchange,
) -> None:
    async with account(exchange.base_url, stream=True) as client:
        await client.state(FeedState.OPEN)
        client.feed.caught_up()
        await client.state(FeedState.LIVE)
        client.feed.reconnect("the machine slept")
        assert await client.state(FeedState.OPEN) < 0.5
        await asyncio.sleep(0.1)

        assert client.states[-1] is FeedState.OPEN
    assert "the machine slept" in [change.reason for change in client.changes]
