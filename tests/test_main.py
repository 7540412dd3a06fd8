"""The desk as main builds it."""

from pathlib import Path

from main import SignedInDaily
from simulator.build import Options, create_exchange
from tests.rig import running
from trading.desk import World
from trading.hours import Phase


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
        token = SignedInDaily(exchange)
        first = token.load()
        assert token.load() == first
        exchange.tokens.expire_all()

        assert token.load() != first
        assert exchange.tokens.check(token.load()) is not None
