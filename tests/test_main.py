"""The desk as main builds it."""

import asyncio
import resource
import socket
from datetime import UTC, datetime
from pathlib import Path

import pytest

from dashboard.endpoints import report
from main import OPEN_FILES, Vigil, allow_open_files
from settings import Run, Settings, Storage, Upstox
from simulator.build import Options, create_exchange
from simulator.customer import SignedInDaily
from simulator.server import SimulatedExchange
from simulator.tokens import USER
from tests.faults.dealing import Dealing
from tests.rig import FAST, Rig, running, settings
from trading.desk import World
from trading.errors import Denied
from trading.hours import Phase
from trading.order import OrderStatus, Side


async def test_the_simulated_market_is_open_whenever_the_desk_is_started(tmp_path: Path) -> None:
    async with running(tmp_path) as rig:
        await rig.live()
        await rig.vigil.refresh_hours()
        # again: its own earlier answer once looked usual, was dropped, and the market "closed"
        await rig.vigil.refresh_hours()

        state = rig.desk.hours.state("NSE_INDEX", rig.desk.clock.now())
        assert state.phase is Phase.OPEN
    async with running(tmp_path) as rig:
        await rig.live()
        await rig.vigil.refresh_hours()

        assert rig.desk.hours.is_open("NSE_EQ", rig.desk.clock.now())


async def test_prices_candles_and_gaps_reach_the_database_and_say_that_they_are_made_up(
    tmp_path: Path,
) -> None:
    async with running(tmp_path) as rig:
        await rig.live()
        await rig.until(lambda: rig.desk.feed.stats().ticks > 5, within=10)
        rig.desk.feed.reconnect("a test")
        await rig.until(lambda: rig.desk.feed.stats().reconnects == 1, within=5)
        await rig.live()
        rig.desk.candles.flush()

        assert rig.desk.world == World("simulated", "broker")
        assert rig.rows("select distinct is_mock from quote_ticks") == [(1,)]
        assert rig.rows("select count(*) from candles where is_mock")[0][0] >= 2
        gaps = rig.rows("select reason, ended is not null, is_mock from feed_gaps")
        assert gaps == [("a test", 1, 1)]


async def test_what_was_received_before_the_stop_is_on_disk_after_it(tmp_path: Path) -> None:
    async with running(tmp_path, rate=2_000.0) as rig:
        rig.desk.subscriptions.hold(
            "test", rig.exchange.market.instruments, rig.desk.subscriptions.holds()[0].mode
        )
        await rig.until(lambda: rig.desk.feed.stats().ticks > 2_000, within=10)
    published = rig.desk.market_data.published + rig.desk.market_data.late_count

    assert rig.desk.feed.stats().state.value == "stopped"
    stored = rig.stored("select count(*) from quote_ticks")[0][0]
    assert stored == published > 2_000


def test_the_simulated_trader_signs_in_again_when_the_token_has_ended() -> None:
    with create_exchange(Options(instruments=60)) as exchange:
        token = SignedInDaily(exchange.tokens, USER)
        first = token.load()
        assert token.load() == first
        exchange.tokens.expire_all()

        assert token.load() != first
        assert exchange.tokens.check(token.load()) is not None


async def test_a_disk_that_refuses_the_calendar_is_not_the_end_of_looking(tmp_path: Path) -> None:
    """A lock of 15 s at the start ended the first look: no instrument was found for six hours."""
    async with running(tmp_path) as rig:
        await rig.live()
        rig.vigil.writer.stop()

        assert not await rig.vigil.refresh_hours()
        assert not await rig.vigil.refresh_instruments()


async def test_the_time_of_a_simulator_that_was_started_after_the_desk_is_followed(
    tmp_path: Path,
) -> None:
    """The desk stayed on its own Saturday, and called the moving prices closed."""
    start = datetime(2024, 6, 27, 4, 45, tzinfo=UTC)
    token = tmp_path / "token"
    token.write_text("T", encoding="ascii")
    token.chmod(0o600)
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    exchange = create_exchange(Options(port=port, instruments=60, start=start, token="T"))
    late = Settings(
        run=Run(exchange="upstox"),
        storage=Storage(directory=tmp_path),
        feed=FAST,
        upstox=Upstox(base_url=exchange.base_url, assets_url=exchange.base_url),
    )
    vigil = Vigil(late)
    try:
        assert vigil.desk.clock.now().year >= 2025
        with exchange:
            await vigil.start()
            rig = Rig(vigil, exchange)
            await rig.live()
            await rig.until(lambda: vigil.desk.clock.now().year == 2024, within=2)
            assert abs((vigil.desk.clock.now() - exchange.clock.now()).total_seconds()) < 1
            await asyncio.to_thread(vigil.feed.stop)
    finally:
        vigil.stop()


def test_a_system_that_allows_few_open_files_is_asked_for_more() -> None:
    """With 256 of them, 200 programs would have left none for the orders of the desk itself."""
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    few = 256 if before[1] == resource.RLIM_INFINITY else min(256, before[1])
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (few, before[1]))
        allow_open_files()
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        assert soft == (OPEN_FILES if hard == resource.RLIM_INFINITY else min(OPEN_FILES, hard))
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


async def test_a_desk_whose_start_failed_says_so_and_sends_nothing(tmp_path: Path) -> None:
    """Exits would have been sent by a desk that has loaded no order and hears no update."""
    vigil = Vigil(settings(tmp_path))
    rig = Dealing(vigil)
    try:
        assert await vigil.refresh_instruments()
        vigil.order_journal.close()  # the orders of today cannot be read
        await vigil.start()

        assert report(vigil.desk)["status"] == "failed"
        with pytest.raises(Denied, match=r"not at work \(failed"):
            await vigil.desk.orders.place(rig.request(side=Side.SELL, reduces=True))
    finally:
        await vigil.shutdown()
    with pytest.raises(Denied, match="stopping"):
        await vigil.desk.orders.place(rig.request())


async def test_an_order_that_calls_itself_an_exit_waits_for_the_books_like_an_entry(
    tmp_path: Path,
) -> None:
    def unread(exchange: SimulatedExchange) -> None:
        exchange.faults.set("rest", path="/v2/portfolio/short-term-positions", status=500)

    async with running(tmp_path, prepare=unread) as rig:
        desk = Dealing(rig.vigil)
        await desk.until(
            lambda: rig.vigil.catalogue.get(desk.option().instrument_key) is not None, within=10
        )
        with pytest.raises(Denied, match="have not been read yet"):
            await rig.desk.orders.place(desk.request(reduces=True))
        rig.exchange.faults.clear()
        await desk.ready()
        held = await desk.buy()
        await desk.becomes(held, OrderStatus.FILLED)
        left = await desk.desk.orders.place(desk.request(side=Side.SELL, reduces=True))

        await desk.becomes(left, OrderStatus.FILLED)
        assert len(desk.placed()) == 2
