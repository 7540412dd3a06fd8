"""Rows F07, F10 and F11: connections that end, by the other side, by ours, or by a rival."""

import asyncio
from contextlib import ExitStack
from pathlib import Path

import pytest

from dashboard.light import Level
from tests.faults.rivals import Rival
from tests.faults.scene import PATIENT, QUICK, RECOVERED, quiet_for, scene
from tests.lateness import lateness
from trading.model import Mode
from trading.ports import FeedState

LOSSES = 200


@pytest.mark.parametrize("how", ["fin", "rst", "1000", "1011", "1012"])
async def test_f07_a_closed_connection_is_noticed_at_once_and_its_instruments_are_restored(
    tmp_path: Path, how: str
) -> None:
    async with scene(tmp_path, feed=QUICK, rate=1000.0) as desk:
        subscribed = desk.desk.feed.stats().subscribed
        async with lateness() as late:
            desk.exchange.faults.set("drop", how=how)
            noticed = await desk.told(FeedState.BACKING_OFF, within=2)
        await desk.healed()
        restored = [desk.last(key).received for key in desk.watched]
        await desk.until(
            lambda: all(
                desk.last(k).received > r for k, r in zip(desk.watched, restored, strict=True)
            ),
            within=5,
        )

        assert noticed < 0.1 + 2 * late.worst
        assert FeedState.STALLED not in desk.states
        assert (f"(code {how})" if how.isdecimal() else "connection was lost") in desk.reasons
        assert desk.desk.feed.stats().subscribed == subscribed
        assert len(desk.exchange.ledger.connections) == 2
        assert desk.authorised() == desk.shaken() == 2
        [(started, ended, _)] = desk.gaps()
        assert ended is not None
        assert 0 < ended - started < RECOVERED * 1000
        await desk.caught_up()
        assert desk.row_count() == desk.published()


async def test_f10_two_hundred_losses_each_told_in_several_ways_are_two_hundred_dials(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as desk:
        ledger, most = desk.exchange.ledger, 0
        for number in range(LOSSES):
            how = ("fin", "rst", "1011")[number % 3]
            desk.exchange.faults.set("drop", how=how)  # the socket ends, and at the same moment
            desk.desk.feed.reconnect("a page asks")  # somebody on our side wants another
            desk.desk.feed.expect_prices(number % 2 == 0)
            await desk.until(lambda: desk.recoveries() > number, within=RECOVERED)  # noqa: B023
            most = max(most, desk.exchange.feed_connections())

        assert most == 1
        assert desk.losses() == desk.recoveries() == LOSSES
        assert len(ledger.connections) == desk.shaken() == desk.authorised() == 1 + LOSSES
        assert desk.desk.feed.stats().reconnects == LOSSES


async def test_f11_a_connection_that_is_taken_again_and_again_is_contested_not_fought_for(
    tmp_path: Path,
) -> None:
    feed = PATIENT.model_copy(update={"contested_seconds": 3.0})
    async with scene(tmp_path, feed=feed) as desk:
        desk.exchange.faults.set("kick_old")
        with Rival(desk.exchange), Rival(desk.exchange):
            await desk.told(FeedState.CONTESTED, within=2 * RECOVERED)
            dials = desk.desk.feed.stats().authorisations
            await quiet_for(1.5, lambda: desk.state is FeedState.CONTESTED)

            assert desk.desk.feed.stats().authorisations == dials
            assert "another client is using this account" in desk.reasons
            assert "another client" in desk.health["troubles"][0]
        await desk.until(lambda: desk.state is FeedState.LIVE, within=3 * 1.25 + 1)


async def test_f11_a_connection_that_is_refused_because_of_others_is_not_fought_for_either(
    tmp_path: Path,
) -> None:
    async with scene(tmp_path) as desk, asyncio.timeout(20):
        desk.desk.feed.stop()
        with ExitStack() as rivals:
            for _ in range(2):
                await asyncio.to_thread(rivals.enter_context, Rival(desk.exchange))
            shaken = desk.shaken()
            desk.desk.feed.start()
            await desk.told(FeedState.REFUSED, within=RECOVERED)
            await quiet_for(1.5, lambda: desk.shaken() == shaken + 1)

            assert desk.light is Level.BROKEN
            assert "permission (403)" in desk.health["troubles"][0]
        desk.desk.feed.reconnect("the trader closed the other client")
        await desk.until(lambda: desk.state is FeedState.LIVE, within=RECOVERED)
        assert desk.desk.feed.stats().subscribed[Mode.FULL] == len(desk.watched) + 2
