"""Row F03, and of C01 what the watch makes of the calendar: a closed market is told nobody."""

import asyncio
from datetime import datetime
from pathlib import Path

import pytest

from simulator.build import parse_start
from tests.faults.scene import AUTHORIZE, STALL, quiet_for
from tests.faults.test_silence import QUOTES
from tests.faults.watching import Watched, watched
from trading.health import Component, Condition, Occasion
from trading.ports import FeedState

STREAM_AUTHORIZE = "/v2/feed/portfolio-stream-feed/authorize"
MARKET = Component.MARKET_FEED


def dials(desk: Watched) -> list[int]:
    """Return the authorise calls of both feeds, and their connections."""
    ledger = desk.exchange.ledger
    return [
        len(ledger.calls_to(AUTHORIZE)),
        len(ledger.calls_to(STREAM_AUTHORIZE)),
        len(ledger.connections),
        len(ledger.update_connections),
    ]


def condition(desk: Watched, component: Component) -> Condition:
    found = desk.watchers.watch.components()
    return next(c.condition for c in found if c.component is component)


async def reaches(desk: Watched, moment: datetime, *, within: float) -> None:
    await desk.until(lambda: desk.desk.clock.now() >= moment, within=within, what=f"{moment}")


async def test_f03_a_night_of_a_closed_market_is_no_alert_no_dial_and_no_question(
    tmp_path: Path,
) -> None:
    """From the close to the next morning, an hour a second: feeds are judged by real seconds."""
    async with watched(
        tmp_path, start="2024-06-27T14:30:00", speed=3600.0, watching=0, at_work=False
    ) as desk:
        await desk.live()
        await reaches(desk, parse_start("2024-06-27T17:00:00"), within=10)
        desk.alerts.clear()  # of the day: an hour of it was a second
        await desk.until(lambda: dials(desk) == [1, 1, 1, 1], within=10, what="both feeds")
        evening, quotes = dials(desk), len(desk.exchange.ledger.calls_to(QUOTES))
        await reaches(desk, parse_start("2024-06-28T03:15:00"), within=15)
        night = dials(desk)
        assert condition(desk, MARKET) is Condition.CLOSED
        await reaches(desk, parse_start("2024-06-28T06:00:00"), within=10)
        await desk.live()  # again: see below
        morning = dials(desk)
        print(f"evening {evening}, night {night}, morning {morning}: {desk.titles}")

        assert night == evening  # 0 authorise calls, 0 connections
        # at 03:30 the token ends, and with it the connections; the simulated trader signs in again
        assert all(after - before <= 1 for before, after in zip(night, morning, strict=True))
        assert len(desk.exchange.ledger.calls_to(QUOTES)) == quotes
        assert desk.alerts == []
        assert desk.delivered() == []
        assert not desk.watchers.watch.open_incidents()
        assert desk.state is FeedState.LIVE


@pytest.mark.parametrize(
    ("start", "told"),
    [
        ("2024-08-15T11:00:00", False),  # Independence Day
        ("2024-11-01T18:20:00", True),  # the hour of Muhurat, on a holiday's evening
        ("2024-05-18T10:30:00", False),  # a Saturday session, in its break
        ("2024-05-18T12:00:00", True),  # and in its second part
    ],
)
async def test_c01_silence_is_trouble_only_while_that_days_market_is_open(
    tmp_path: Path, start: str, told: bool
) -> None:
    async with watched(tmp_path, start=start, watching=0, at_work=False) as desk:
        await desk.live()
        await desk.until(lambda: desk.watchers.monitor.looks > 1, within=5)
        await desk.until(lambda: has_hours(desk), within=5, what="the calendar")
        desk.exchange.faults.set("stall")
        if told:
            alert = await desk.alert("no_prices", Occasion.BEGIN, within=STALL + 3)
            await desk.on_the_phone(f"{alert.name} · ")
            return
        await asyncio.sleep(2 * STALL)
        await quiet_for(0.5, lambda: not desk.wrong)
        assert desk.alerts == []
        assert condition(desk, MARKET) is Condition.CLOSED
        assert len(desk.exchange.ledger.connections) == 1


def has_hours(desk: Watched) -> bool:
    """Say whether the broker's calendar was taken over."""
    return bool(desk.rows("SELECT 1 FROM holidays WHERE source = 'broker' LIMIT 1"))
