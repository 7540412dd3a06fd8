"""Pictures as a phone gets them: the right size, what they are of, and never on the loop."""

import asyncio
import io
import time
from datetime import timedelta
from typing import Literal

import pytest
from PIL import Image

from alerts.pictures import (
    HOURS,
    MOCK,
    SIZE,
    UP,
    Curve,
    Pictures,
    Week,
    by_hour,
    curve_png,
    latest,
    week_png,
)
from tests.dashboard.dealing import deal, read
from tests.dashboard.fakes import CALL, OPEN_NOW, MemoryJournal, MemoryPnl, make_desk
from tests.dashboard.scripted_watch import strip, uptime
from trading.clock import ManualClock
from trading.desk import World
from trading.health import Minute
from trading.model import Gap
from trading.order import Side
from trading.ports import PnlPoint

START = int(OPEN_NOW.timestamp() * 1000)
POINTS = tuple((START + 5_000 * n, 100.0 * (n - 40) if n % 30 else None) for n in range(200))


def colours(png: bytes) -> set[str]:
    image = Image.open(io.BytesIO(png)).convert("RGB")
    assert image.size == SIZE
    found = image.getcolors(SIZE[0] * SIZE[1])
    assert found is not None
    return {"#{:02x}{:02x}{:02x}".format(*colour) for _, colour in found}  # type: ignore[misc]


def curve(**changes: object) -> Curve:
    fills = ((START + 50_000, Side.BUY), (START + 700_000, Side.SELL))
    given = {"points": POINTS, "fills": fills, "gaps": ((START + 200_000, START + 260_000),)}
    return Curve("P&L", **{"mock": "SIMULATED", **given, **changes})  # type: ignore[arg-type]


def test_what_is_made_up_says_so_in_the_picture() -> None:
    made_up, real = colours(curve_png(curve())), colours(curve_png(curve(mock="")))

    assert MOCK in made_up
    assert MOCK not in real


def test_fills_and_gaps_are_drawn_upon_the_curve() -> None:
    whole = colours(curve_png(curve()))
    bare = colours(curve_png(curve(fills=(), gaps=())))

    assert {"#6cb2ff", "#ffa657", "#4a5267"} <= whole  # bought, sold, a gap
    assert not {"#6cb2ff", "#ffa657", "#4a5267"} & bare


def test_a_day_without_a_price_is_no_flat_line() -> None:
    nothing = curve_png(curve(points=((START, None), (START + 5_000, None))))
    one = curve_png(curve(points=((START, 12.5),), fills=()))

    assert colours(nothing)
    assert UP in colours(one)  # the amount itself
    assert UP not in colours(nothing)


def test_an_amount_of_before_a_hole_is_not_told_as_the_one_of_now() -> None:
    known, lost = (START, 1_234.5), (START + 5_000, None)

    assert latest((known,)) == ("+1,234.50", "at 11:00:00")
    assert latest(((START, None), (START + 5_000, -3.0))) == ("-3.00", "at 11:00:05")
    assert latest((known, lost)) == ("not known", "since 11:00:00, it was +1,234.50 then")
    assert UP in colours(curve_png(curve(points=(known,))))
    assert UP not in colours(curve_png(curve(points=(known, lost))))


def test_an_hour_counts_what_was_judged() -> None:
    begins = OPEN_NOW.replace(minute=0)
    minutes = [
        Minute(begins, 60.0, 60.0),
        Minute(begins + timedelta(minutes=1), 60.0, 30.0),
        Minute(begins + timedelta(hours=2), 0.0, 0.0),
        Minute(begins - timedelta(hours=1), 60.0, 60.0),
        Minute(begins + timedelta(hours=HOURS), 60.0, 60.0),
    ]

    shares = by_hour(minutes, begins)

    assert len(shares) == HOURS
    assert shares[0] == 0.75
    assert set(shares[1:]) == {None}


def test_a_week_is_drawn_with_its_holes() -> None:
    shares = tuple(None if n % 24 > 10 else 0.4 if n == 30 else 1.0 for n in range(HOURS))
    week = Week("Uptime", (("market feed", shares),), ("Mon 24",) * 7, "SIMULATED")

    assert {UP, "#ff6b6b"} <= colours(week_png(week))


async def test_a_picture_is_drawn_of_what_is_kept_and_at_most_every_ten_seconds() -> None:
    clock = ManualClock(OPEN_NOW)
    desk = make_desk(clock)
    assert isinstance(desk.pnl, MemoryPnl)
    assert isinstance(desk.journal, MemoryJournal)
    await deal(desk, -75, 140.0, key=CALL)
    await read(desk)
    at = [OPEN_NOW - timedelta(seconds=5 * n) for n in range(100, 0, -1)]
    desk.pnl.keep_pnl([PnlPoint("main", when, 0, 10_000, True, True) for when in at])
    desk.journal.holes = [Gap("market", at[20], at[30], "cut", True)]
    assert desk.watch is not None
    uptime(desk.watch).fill("market feed", strip(OPEN_NOW, 10))
    pictures = Pictures(clock)

    first = await pictures.pnl(desk)
    desk.pnl.points.clear()
    again = await pictures.pnl(desk)
    clock.advance(10.0)
    later = await pictures.pnl(desk)

    assert "#4a5267" in colours(first)
    assert again == first
    assert later != first
    assert UP in colours(await pictures.uptime(desk, desk.watch))


@pytest.mark.parametrize(("execution", "made_up"), [("paper", True), ("broker", False)])
async def test_a_curve_of_paper_fills_says_so_although_the_prices_are_real(
    execution: Literal["paper", "broker"], made_up: bool
) -> None:
    clock = ManualClock(OPEN_NOW)
    desk = make_desk(clock, world=World("upstox", execution))
    assert isinstance(desk.pnl, MemoryPnl)
    desk.pnl.keep_pnl([PnlPoint("main", OPEN_NOW, 0, 10_000, True, not made_up)])

    assert (MOCK in colours(await Pictures(clock).pnl(desk))) is made_up


async def test_the_loop_goes_on_while_a_picture_is_drawn() -> None:
    clock = ManualClock(OPEN_NOW)
    desk = make_desk(clock)
    assert isinstance(desk.pnl, MemoryPnl)
    at = [OPEN_NOW - timedelta(seconds=5 * n) for n in range(4_500, 0, -1)]
    desk.pnl.keep_pnl(
        [PnlPoint("main", when, 0, n * 7_919 % 50_000, True, True) for n, when in enumerate(at)]
    )
    longest, last = 0.0, time.monotonic()
    drawing = asyncio.create_task(Pictures(clock).pnl(desk))
    turns = 0
    while not drawing.done():
        await asyncio.sleep(0)
        now = time.monotonic()
        longest, last, turns = max(longest, now - last), now, turns + 1

    assert (await drawing)[:4] == b"\x89PNG"
    assert turns > 20, f"the loop had {turns} turns, the longest of {longest:.3f} s"
