"""Rows O01-O14 and A05: what goes wrong with orders, seen from the desk and from the broker."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.faults.dealing import ACCOUNT, Dealing, dealing
from tests.faults.scene import quiet_for
from trading.errors import BadRequest, Denied
from trading.order import Order, OrderStatus, OrderType, Product, Side
from trading.ports import FeedState

POSITIONS = "/v2/portfolio/short-term-positions"


async def test_an_order_is_filled_and_held_as_the_broker_says(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        order = await desk.buy(2)
        done = await desk.becomes(order, OrderStatus.FILLED)
        await desk.agrees()

        [trade] = desk.truth()["trades"]
        assert done.average_price == trade["price"]
        assert desk.position().average == trade["price"]  # type: ignore[union-attr]
        assert [step.raw_status for step in done.steps][-1] == "complete"
        assert done.is_mock
        desk.check()


@pytest.mark.parametrize("parameters", [{"how": "after"}, {"how": "after", "answer": "hang"}])
async def test_o01_an_order_whose_answer_is_lost_is_found_and_linked(
    tmp_path: Path, parameters: dict[str, Any]
) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("place_lost", next=1, **parameters)
        order = await desk.buy()
        await desk.becomes(order, OrderStatus.FILLED, within=12)
        await desk.agrees()

        assert len(desk.placed()) == 1
        assert desk.placed()[0]["tag"] == order.id
        desk.check()


async def test_o01_without_the_stream_it_is_found_by_its_tag(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("stall", feed="portfolio")
        desk.fault("place_lost", how="after", next=1)
        order = await desk.buy()
        assert desk.told(order, OrderStatus.IN_DOUBT) == 1
        await desk.becomes(order, OrderStatus.FILLED, within=12)

        assert len(desk.placed()) == 1
        assert "read" in [step.seen_by for step in desk.now(order).steps]


async def test_o02_an_order_that_never_arrived_is_told_so_and_not_sent_again(
    tmp_path: Path,
) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("place_lost", how="before", next=1)
        order = await desk.buy()
        gone = await desk.becomes(order, OrderStatus.NOT_PLACED, within=10)

        assert "not placed" in gone.message
        assert desk.placed() == []
        assert sum(r["path"].endswith("place") for r in desk.truth()["requests"]) <= 1
        desk.check()


@pytest.mark.parametrize("seconds", [0.008, 2.0])
async def test_o03_an_update_that_overtakes_the_answer_makes_no_phantom(
    tmp_path: Path, seconds: float
) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("place_delay", seconds=seconds)
        order = await desk.buy()
        done = await desk.becomes(order, OrderStatus.FILLED)
        await desk.agrees()

        assert len(desk.desk.orders.orders()) == len(desk.placed()) == 1
        assert desk.told(done, OrderStatus.FILLED) == 1
        desk.check()


async def test_o04_what_was_filled_while_the_stream_was_down_is_known_before_it_is_live(
    tmp_path: Path,
) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("rest_order")
        order = await desk.buy()
        states: list[tuple[FeedState, OrderStatus]] = []
        desk.desk.portfolio_feeds[ACCOUNT].changes.subscribe(
            lambda change: states.append((change.after, desk.now(order).status))
        )
        desk.fault("handshake", how="rst", feed="portfolio")
        desk.fault("drop", feed="portfolio")
        await desk.until(lambda: desk.stream is not FeedState.LIVE, within=3)
        desk.exchange.faults.clear("rest_order")
        desk.exchange.faults.clear("handshake")
        await desk.until(lambda: desk.stream is FeedState.LIVE, within=5, what="the stream")

        assert (FeedState.LIVE, OrderStatus.FILLED) in states
        await desk.agrees()


async def test_o05_updates_three_times_and_shuffled_change_nothing_twice(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("repeat_updates", times=3)
        desk.fault("shuffle_updates", window=5)
        orders = [await desk.buy(1, instrument=desk.option(n)) for n in range(3)]
        for order in orders:
            await desk.becomes(order, OrderStatus.FILLED)
        await desk.agrees()

        assert [desk.told(order, OrderStatus.FILLED) for order in orders] == [1, 1, 1]
        desk.check()


@pytest.mark.parametrize("how", ["filled", "late"])
async def test_o06_a_cancel_that_loses_the_race_ends_as_filled(tmp_path: Path, how: str) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("rest_order")
        order = await desk.buy(1)
        await desk.until(lambda: is_open(desk, order), within=2)
        desk.fault("cancel_loses", how=how)
        began = time.monotonic()
        await desk.desk.orders.cancel(order.id)
        await desk.becomes(order, OrderStatus.FILLED, within=3)

        assert time.monotonic() - began < 3
        await desk.agrees()


async def test_o06_a_cancel_that_is_refused_leaves_the_order_working(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        order = await desk.buy(order_type=OrderType.LIMIT, price=desk_floor(desk))
        await desk.until(lambda: is_open(desk, order), within=2)
        desk.fault("cancel_loses", how="refused")
        await desk.desk.orders.cancel(order.id)
        await asyncio.sleep(0.5)

        assert desk.now(order).status is OrderStatus.WORKING
        assert desk.placed()[0]["status"] == "open"
        desk.exchange.faults.clear()
        await desk.desk.orders.cancel(order.id)
        await desk.becomes(order, OrderStatus.CANCELLED)


async def test_o07_a_rejection_that_comes_later_is_shown_in_the_brokers_words(
    tmp_path: Path,
) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("reject_order", how="status", after=1.0, raw="RMS:Margin Exceeds")
        order = await desk.buy()
        assert order.status is not OrderStatus.REJECTED
        rejected = await desk.becomes(order, OrderStatus.REJECTED, within=3)

        assert "add Rs." in rejected.message or "RMS" in rejected.message
        assert desk.held() == {}
        desk.check()


async def test_o08_a_partial_fill_that_is_cancelled_keeps_what_it_has(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        lot = desk.option().lot_size
        desk.fault("partial_fill", units=lot)
        order = await desk.buy(3)
        await desk.until(lambda: desk.now(order).filled == lot, within=3)
        await desk.desk.orders.cancel(order.id)
        done = await desk.becomes(order, OrderStatus.CANCELLED)
        await desk.agrees()

        assert (done.filled, desk.held()) == (lot, {desk.option().instrument_key: lot})


async def test_o09_a_status_that_nobody_knows_is_shown_as_it_is(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("unknown_status", text="awaiting lunar approval", seconds=1.0)
        order = await desk.buy()
        await desk.until(
            lambda: desk.now(order).steps[-1].raw_status == "awaiting lunar approval", within=3
        )
        assert desk.now(order).status is OrderStatus.WORKING
        await desk.becomes(order, OrderStatus.FILLED)


NULL = {"status": 200, "body": '{"status":"success","data":null}'}
HTML = {"status": 200, "body": "<html>busy</html>", "content_type": "text/html"}


@pytest.mark.parametrize("answer", [{"status": 500}, NULL, HTML, {"delay": 12.0}])
async def test_o10_positions_that_cannot_be_read_are_kept_and_marked(
    tmp_path: Path, answer: dict[str, Any]
) -> None:
    async with dealing(tmp_path) as desk:
        await desk.becomes(await desk.buy(), OrderStatus.FILLED)
        await desk.agrees()
        before = desk.held()
        desk.fault("rest", path=POSITIONS, **answer)
        await desk.until(
            lambda: desk.desk.positions.books(ACCOUNT).failed != "", within=16, what="a failed read"
        )

        assert desk.held() == before
        assert not desk.desk.positions.books(ACCOUNT).agree
        desk.exchange.faults.clear()
        await desk.until(lambda: desk.desk.positions.books(ACCOUNT).agree, within=14)
        assert desk.held() == before


async def test_o11_an_empty_list_is_not_believed_at_once(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        await desk.becomes(await desk.buy(), OrderStatus.FILLED)
        await desk.agrees()
        before = desk.held()
        desk.fault(
            "rest", path=POSITIONS, status=200, body='{"status":"success","data":[]}', next=4
        )
        await desk.until(lambda: any(p.in_doubt for p in desk.positions()), within=12)

        assert desk.held() == before
        await desk.agrees()
        assert desk.held() == before


async def test_o12_an_exit_that_rests_is_shown_as_working(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        await desk.becomes(await desk.buy(), OrderStatus.FILLED)
        desk.fault("rest_order")
        leave = await desk.desk.orders.place(desk.request(side=Side.SELL, reduces=True))
        await quiet_for(1.0, lambda: not desk.now(leave).status.final)

        assert desk.held() == desk.truly_held() != {}
        desk.exchange.faults.clear()
        await desk.becomes(leave, OrderStatus.FILLED)
        await desk.agrees()
        assert desk.held() == {}


async def test_o13_a_sliced_order_is_one_intent_with_many_children(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        option = desk.option()
        most = int(option.freeze_quantity) // option.lot_size * option.lot_size
        lots = 10 * most // option.lot_size + 1
        desk.exchange.do(
            lambda broker: setattr(broker.account(next(iter(broker.accounts))), "opening", 10**13)
        )
        order = await desk.buy(lots, order_type=OrderType.LIMIT, price=desk_floor(desk))
        await desk.until(lambda: len(desk.now(order).children) == 11, within=5)
        await desk.until(lambda: all(c.quantity for c in desk.now(order).children), within=5)

        assert sum(c.quantity for c in desk.now(order).children) == lots * option.lot_size
        assert len(desk.desk.orders.orders()) == 1
        await desk.desk.orders.cancel(order.id)
        await desk.becomes(order, OrderStatus.CANCELLED)
        desk.check()


async def test_o14_an_order_from_the_phone_app_is_external_and_watched(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        option = desk.option()
        began = time.monotonic()
        place_elsewhere(desk, option)
        await desk.until(lambda: bool(desk.held()), within=1)
        assert time.monotonic() - began < 1.5

        [order] = desk.desk.orders.orders()
        assert (order.external, order.request.source) == (True, "placed elsewhere")
        assert option.instrument_key in desk.desk.subscriptions.wanted().modes
        await desk.agrees()
        desk.check()


async def test_o14_without_the_stream_it_is_found_by_reading(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("handshake", how="rst", feed="portfolio")
        desk.fault("drop", feed="portfolio")
        await desk.until(lambda: desk.stream is not FeedState.LIVE, within=3)
        place_elsewhere(desk, desk.option())
        await desk.until(
            lambda: bool(desk.held()), within=2
        )  # a tenth of the ten seconds, read twice


async def test_a05_orders_from_an_address_that_is_not_registered_are_told_so(
    tmp_path: Path,
) -> None:
    async with dealing(tmp_path) as desk:
        desk.fault("static_ip")
        order = await desk.buy()

        assert order.status is OrderStatus.NOT_PLACED
        assert "IP" in order.message or "address" in order.message
        assert desk.stream is FeedState.LIVE
        assert desk.desk.feed.stats().state is FeedState.LIVE
        assert desk.placed() == []


async def test_u03_two_presses_of_the_same_button_send_one_order(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        press = desk.request()
        orders = await asyncio.gather(*(desk.desk.orders.place(press) for _ in range(5)))
        await desk.becomes(orders[0], OrderStatus.FILLED)

        assert len({order.id for order in orders}) == 1
        assert len(desk.placed()) == 1


async def test_a_restart_finds_every_order_and_position_again(tmp_path: Path) -> None:
    """The exchange goes on while the desk is away, and fills what was resting."""
    async with dealing(tmp_path) as desk:
        filled = await desk.becomes(await desk.buy(2), OrderStatus.FILLED)
        await desk.agrees()
        kept = desk.rows("SELECT count(*) FROM orders")
        assert kept == [(1,)]
        assert desk.rows("SELECT sum(quantity) FROM fills") == [(filled.filled,)]


async def test_bad_requests_are_denied_by_name_and_nothing_is_sent(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        for changes, field in (
            ({"quantity": 1}, "quantity"),
            ({"order_type": OrderType.LIMIT, "price": 0.01}, "price"),
            ({"order_type": OrderType.LIMIT, "price": 5e4}, "price"),
            ({"instrument_key": "NSE_INDEX|Nifty 50"}, "instrument_key"),
            ({"account": "other"}, "account"),
        ):
            with pytest.raises(Denied) as told:
                await desk.buy(**changes)
            assert [p.field for p in told.value.problems] == [field]
        assert desk.truth()["requests"] == []


async def test_an_unaffordable_order_is_rejected_by_the_broker(tmp_path: Path) -> None:
    async with dealing(tmp_path) as desk:
        order = await desk.buy(side=Side.SELL, lots=100, product=Product.INTRADAY)
        rejected = await desk.becomes(order, OrderStatus.REJECTED)

        assert "Rs." in rejected.message or "Margin" in rejected.message
        with pytest.raises((Denied, BadRequest)):
            await desk.desk.orders.cancel(order.id)


def is_open(desk: Dealing, order: Order) -> bool:
    steps = desk.now(order).steps
    return bool(steps) and steps[-1].raw_status == "open"


def place_elsewhere(desk: Dealing, option: Any) -> None:
    body = {
        "instrument_token": option.instrument_key, "quantity": option.lot_size, "product": "I",
        "validity": "DAY", "order_type": "MARKET", "transaction_type": "BUY", "price": 0,
        "trigger_price": 0, "disclosed_quantity": 0, "is_amo": False,
    }  # fmt: skip
    url = f"{desk.exchange.base_url}/control/orders"
    httpx.post(url, json=body, trust_env=False).raise_for_status()


def desk_floor(desk: Dealing) -> float:
    """Return a price far below the market that the exchange still accepts."""
    option = desk.option()
    quote = desk.exchange.market.quotes[option.instrument_key]
    return float(round(max(quote.lower_circuit, quote.ltp * 0.75) / 0.05 + 1) * 0.05).__round__(2)
