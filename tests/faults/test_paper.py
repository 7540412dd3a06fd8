"""Paper execution in the whole desk: fills on live prices, kept over a restart (S04)."""

import asyncio
from pathlib import Path
from typing import Any

from settings import Paper
from tests.faults.dealing import ACCOUNT, Dealing, dealing
from tests.faults.scene import quiet_for
from trading.model import Mode
from trading.order import OrderStatus, OrderType, Side
from trading.trust import STALE_AFTER

# by day: in the last quarter of an hour before midnight intraday orders are squared off
DAY: dict[str, Any] = {"execution": "paper", "start": "2024-06-26T11:00"}


def quote_calls(desk: Dealing) -> int:
    return len(desk.exchange.ledger.calls_to("/v2/market-quote/quotes"))


def source(desk: Dealing) -> str:
    mark = desk.desk.marks.of(desk.option().instrument_key)
    return mark.source if mark else ""


async def held_price(desk: Dealing) -> None:
    """Hold the option as a page would, until its price is there."""
    key = desk.option().instrument_key
    desk.desk.subscriptions.hold("test", [key], Mode.FULL)
    await desk.until(lambda: desk.desk.marks.of(key) is not None, within=5, what="a price")


async def test_a_paper_order_is_filled_at_the_market_and_nothing_is_sent(tmp_path: Path) -> None:
    async with dealing(tmp_path, **DAY) as desk:
        await held_price(desk)
        order = await desk.buy(2)
        done = await desk.becomes(order, OrderStatus.FILLED)
        quote = desk.exchange.market.quotes[desk.option().instrument_key]

        assert done.is_mock
        assert abs(done.average_price - quote.ltp) < 0.1 * quote.ltp
        assert desk.held() == {desk.option().instrument_key: done.filled}
        assert desk.truth()["requests"] == []
        assert desk.desk.world.word == "SIMULATED"


async def test_a_paper_account_is_the_same_after_a_restart(tmp_path: Path) -> None:
    async with dealing(tmp_path, **DAY) as desk:
        await held_price(desk)
        bought = await desk.becomes(await desk.buy(2), OrderStatus.FILLED)
        sold = await desk.buy(1, side=Side.SELL, reduces=True)
        await desk.becomes(sold, OrderStatus.FILLED)
        rests = await desk.buy(1, order_type=OrderType.LIMIT, price=0.05 * 20)
        await asyncio.sleep(0.2)
        before, funds = desk.held(), await desk.vigil.papers[ACCOUNT].funds()
        realised = desk.desk.positions.total(ACCOUNT).realised
    async with dealing(tmp_path, **(DAY | {"start": "2024-06-26T11:05"})) as desk:
        assert desk.held() == before
        assert desk.desk.positions.total(ACCOUNT).realised == realised
        assert await desk.vigil.papers[ACCOUNT].funds() == funds
        assert {o.id for o in desk.desk.orders.working()} == {rests.id}
        assert desk.now(bought).status is OrderStatus.FILLED
        assert not any(p.in_doubt or p.adjusted for p in desk.positions())


async def test_s04_a_stale_price_fills_nothing_a_polled_one_does_and_ticks_take_over_again(
    tmp_path: Path,
) -> None:
    async with dealing(tmp_path, **DAY) as desk:
        await held_price(desk)
        desk.fault("stall")
        await asyncio.sleep(STALE_AFTER)
        before = quote_calls(desk)
        order = await desk.buy(1)
        done = await desk.becomes(order, OrderStatus.FILLED, within=8)

        assert quote_calls(desk) > before
        assert done.filled
        desk.exchange.faults.clear()
        await desk.live(within=8)
        await desk.until(lambda: source(desk) == "W", within=6, what="a price of the feed")
        settled = quote_calls(desk)
        await quiet_for(6.0, lambda: quote_calls(desk) <= settled + 1)


async def test_s04_with_the_fallback_off_a_stale_price_fills_nothing(tmp_path: Path) -> None:
    async with dealing(tmp_path, **DAY, paper=Paper(fallback=False)) as desk:
        await held_price(desk)
        desk.fault("stall")
        await asyncio.sleep(STALE_AFTER + 0.5)
        order = await desk.buy(1)
        await quiet_for(5.0, lambda: desk.now(order).filled == 0)


async def test_fills_from_quotes_alone_need_no_tick(tmp_path: Path) -> None:
    async with dealing(tmp_path, **DAY, paper=Paper(prices="polling")) as desk:
        order = await desk.buy(1)
        await desk.becomes(order, OrderStatus.FILLED, within=8)
        assert quote_calls(desk) > 0
