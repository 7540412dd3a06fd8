"""Rows A01-A05 and A08 as the watch tells them: one alert in words, and no dial too many."""

import asyncio
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from settings import Run, Settings, Storage, Upstox
from simulator.build import Options, create_exchange, parse_start
from simulator.server import SimulatedExchange
from tests.faults.dealing import ACCOUNT, Dealing
from tests.faults.scene import AUTHORIZE, QUICK, RECOVERED, quiet_for
from tests.faults.test_tokens import sign_in
from tests.faults.watching import ALWAYS, SHORT, Watched, watched
from tests.rig import FAST
from trading.errors import Denied
from trading.health import Component, Condition, Occasion, Severity
from trading.order import OrderStatus
from trading.ports import FeedState

KEY = f"feed_refused {ACCOUNT}"
STREAM_AUTHORIZE = "/v2/feed/portfolio-stream-feed/authorize"
BEGIN, END = Occasion.BEGIN, Occasion.END


@asynccontextmanager
async def signed_in_by_hand(
    folder: Path, exchange: SimulatedExchange, **rest: object
) -> AsyncIterator[Watched]:
    """Start a desk whose token a person puts into a file, as with the real broker."""
    url = exchange.base_url
    options = Settings(
        run=Run(exchange="upstox"),
        storage=Storage(directory=folder),
        feed=FAST,
        upstox=Upstox(base_url=url, assets_url=url),
        watch=SHORT,
        quiet=ALWAYS,
    )
    sign_in(folder, exchange)
    async with watched(folder, settings=options, exchange=exchange, **rest) as desk:
        yield desk


def dials(desk: Watched) -> tuple[int, int]:
    ledger = desk.exchange.ledger
    return len(ledger.calls_to(AUTHORIZE)), len(ledger.calls_to(STREAM_AUTHORIZE))


def both_live(desk: Watched) -> bool:
    feeds = [desk.desk.feed, *desk.desk.portfolio_feeds.values()]
    return all(feed.stats().state is FeedState.LIVE for feed in feeds)


async def test_a01_at_half_past_three_one_alert_and_one_failed_dial_of_each_feed(
    tmp_path: Path,
) -> None:
    options = Options(instruments=20, start=parse_start("2024-06-27T03:20:00"))
    with create_exchange(options) as exchange:
        async with signed_in_by_hand(tmp_path, exchange, watching=0, at_work=False) as desk:
            await desk.live()
            await desk.until(lambda: both_live(desk), within=5)
            before = dials(desk)
            exchange.clock.set(parse_start("2024-06-27T03:29:59"))
            told = await desk.alert(KEY, BEGIN, within=1 + 6)
            await desk.on_the_phone(f"{told.name} · ")
            await asyncio.sleep(1.5)

            assert exchange.clock.now() < parse_start("2024-06-27T03:31")
            after = dials(desk)
            failed = [now - then for now, then in zip(after, before, strict=True)]
            assert all(n <= 1 for n in failed), failed
            assert [alert.key for alert in desk.alerts] == [KEY]
            assert told.title.startswith("ACCOUNT REFUSED: main")
            assert "no market is open now" in told.lines[0]
            assert told.severity is Severity.WARNING
            assert "put the new token in its place" in "\n".join(told.lines)
            await desk.until(lambda: not desk.input("Token main").good, within=5)


async def test_a02_a_new_token_is_noticed_and_told_without_a_restart(tmp_path: Path) -> None:
    options = Options(instruments=60, start=parse_start("2024-06-27T11:00"))  # a token lasts long
    with create_exchange(options) as exchange:
        async with signed_in_by_hand(tmp_path, exchange, watching=4) as desk:
            before = dials(desk)
            exchange.faults.set("expire_token")
            told = await desk.alert(KEY, BEGIN)
            failed = [now - then for now, then in zip(dials(desk), before, strict=True)]
            sign_in(tmp_path, exchange)
            began = time.monotonic()
            await desk.until(lambda: both_live(desk), within=5, what="both feeds live")
            took = time.monotonic() - began
            back = await desk.alert(KEY, END, within=8)
            await desk.on_the_phone(f"{back.name} · ")
            incident = await desk.incident(KEY)

            print(f"both feeds live {took:.1f} s after the new token: {incident.steps}")
            assert all(n <= 1 for n in failed), failed
            assert told.title.startswith("ACCOUNT REFUSED: main")
            assert "BACK after" in back.title
            assert {alert.key for alert in desk.alerts} == {KEY}
            await desk.until(lambda: desk.input("Token main").good, within=5)
            assert all(step.result != "under way" for step in incident.steps)


@pytest.mark.parametrize("where", ["authorize", "handshake"])
async def test_a03_a_refused_token_is_one_alert_that_says_what_to_do(
    tmp_path: Path, where: str
) -> None:
    async with watched(tmp_path, feed=QUICK) as desk:
        if where == "authorize":
            desk.exchange.faults.set("refuse_token")
        else:
            desk.exchange.faults.set("handshake", how="401")
        before = dials(desk)
        desk.exchange.faults.set("drop")
        told = await desk.alert(KEY, BEGIN)
        await quiet_for(1.0, lambda: desk.state is FeedState.REFUSED)

        assert dials(desk)[0] == before[0] + 1
        assert "refused the token" in told.title
        assert "nothing can be sent" in told.lines[0]
        assert desk.of(KEY) == [told]
        assert not desk.of("no_prices")  # the same trouble in other words
        row = next(
            c for c in desk.watchers.watch.components() if c.component is Component.MARKET_FEED
        )
        assert row.condition is Condition.DOWN


async def test_a04_a_feed_without_permission_is_told_as_that_and_not_as_a_token(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, feed=QUICK) as desk:
        desk.exchange.faults.set("handshake", how="403")
        before = dials(desk)
        desk.exchange.faults.set("drop")
        told = await desk.alert(KEY, BEGIN)
        await quiet_for(1.0, lambda: desk.state is FeedState.REFUSED)

        assert dials(desk)[0] == before[0] + 1
        assert "no permission (403), though the token is good" in told.title
        assert "have the broker grant it" in "\n".join(told.lines)
        assert desk.of(KEY) == [told]
        assert (await desk.vigil.rest.profile()).is_active
        assert desk.input("Token main").good


async def test_a05_orders_that_the_broker_forbids_are_told_with_its_reason_and_prices_go_on(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path) as desk:
        dealing = Dealing(desk.vigil)
        await dealing.ready()
        desk.exchange.faults.set("static_ip")
        order = await dealing.buy()
        message = await desk.on_the_phone("NOT PLACED")
        await asyncio.sleep(1.0)

        assert order.status is OrderStatus.NOT_PLACED
        assert "not allowed from an IP address that is not registered" in message.text
        assert "nothing was bought" in message.text
        assert "Register this machine's IP address with the broker" in message.text
        assert "ign in" not in message.text
        assert both_live(desk)
        assert not desk.wrong
        assert dealing.placed() == []
        desk.exchange.faults.clear()
        await dealing.buy()
        await desk.on_the_phone("FILLED", within=RECOVERED + 3)


async def test_a08_a_broker_that_is_closed_for_the_night_is_no_alarm_and_is_not_asked_again(
    tmp_path: Path,
) -> None:
    async with watched(tmp_path, start="2024-06-27T00:30:00", watching=0, at_work=False) as desk:
        await desk.live()
        dealing = Dealing(desk.vigil)
        await desk.until(
            lambda: desk.vigil.catalogue.get(dealing.option().instrument_key) is not None,
            within=10,
        )
        with pytest.raises(Denied, match="closed"):
            await dealing.buy()
        told = Counter(call.path for call in desk.exchange.ledger.calls if call.status == 423)
        for _ in range(3):  # as the job does every half minute
            await desk.desk.accounts.check()
        await quiet_for(2.0, lambda: not desk.wrong)
        (state,) = desk.desk.accounts.all()

        again = Counter(call.path for call in desk.exchange.ledger.calls if call.status == 423)
        assert again == told == {"/v3/user/get-funds-and-margin": 1}
        assert "05:30" in state.reason
        assert desk.alerts == []
        assert not desk.watchers.watch.open_incidents()
