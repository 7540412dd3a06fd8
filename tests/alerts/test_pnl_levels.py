"""Levels of the day's P&L: by complete values, once each way, not by every rupee of a swing."""

from typing import Literal

import pytest

from alerts.pnl_levels import PnlLevels, Side, stepped
from alerts.routing import Routing, Way
from alerts.telling import Teller
from tests.alerts.scripted_journal import ScriptedJournal
from tests.alerts.timeline import NOON
from trading.clock import ManualClock
from trading.desk import World
from trading.health import Alert, Severity
from trading.positions import Value


class Day:
    def __init__(self, *levels: float, world: World | None = None) -> None:
        self.clock = ManualClock(NOON)
        self.value = Value(0, 0, 0, complete=True)
        self.told: list[Alert] = []
        teller = Teller(self.clock, ScriptedJournal(), Routing((Way("telegram"),)))
        teller.alerts.subscribe(self.told.append)
        self.levels = PnlLevels(
            levels,
            clock=self.clock,
            teller=teller,
            world=world or World("simulated", "broker"),
            total=lambda: self.value,
        )

    async def at(self, *rupees: float | None) -> list[str]:
        """Let the P&L take these values, a second apart; return what was told of them."""
        before = len(self.told)
        for amount in rupees:
            paise = None if amount is None else round(100 * amount)
            self.value = Value(100, paise, paise, complete=amount is not None)
            self.clock.advance(1)
            await self.levels.look()
        return [told.title for told in self.told[before:]]


async def test_a_level_is_told_when_it_is_reached_with_what_it_is_made_of() -> None:
    day = Day(-10_000, 10_000)

    assert await day.at(0, 9_999.99) == []
    assert await day.at(10_000) == ["📈 DAY P&L ABOVE ₹10,000.00"]

    [told] = day.told
    assert told.lines[0] == "Day P&L ▲ +₹10,000.00 · 12:00:03"
    assert told.lines[1] == "Realised ▲ +₹1.00 · open ▲ +₹10,000.00"
    assert (told.severity, told.mode, told.is_mock) == (Severity.WARNING, "SIMULATED", True)


@pytest.mark.parametrize(("execution", "made_up"), [("paper", True), ("broker", False)])
async def test_what_is_gained_on_paper_is_made_up_although_the_prices_are_real(
    execution: Literal["paper", "broker"], made_up: bool
) -> None:
    day = Day(10_000, world=World("upstox", execution))
    await day.at(0, 10_000)

    assert [told.is_mock for told in day.told] == [made_up]


async def test_a_loss_is_told_at_the_level_itself_and_its_end_without_a_sound() -> None:
    day = Day(-10_000)

    assert await day.at(0, -9_999.99, -10_000) == ["📉 DAY P&L BELOW -₹10,000.00"]
    assert await day.at(-9_950, -9_901) == []
    assert await day.at(-9_900) == ["📈 DAY P&L ABOVE -₹10,000.00"]
    assert [told.severity for told in day.told] == [Severity.WARNING, Severity.INFO]


async def test_a_swing_around_a_level_is_told_once_each_way_in_a_quarter_of_an_hour() -> None:
    day = Day(10_000)

    told = await day.at(0, *([10_000, 9_800] * 40))
    assert told == ["📈 DAY P&L ABOVE ₹10,000.00", "📉 DAY P&L BELOW ₹10,000.00"]
    day.clock.advance(900)
    assert await day.at(10_100) == ["📈 DAY P&L ABOVE ₹10,000.00"]


async def test_a_value_that_is_not_complete_crosses_nothing() -> None:
    day = Day(10_000)

    assert await day.at(0, None, None) == []
    day.value = Value(0, 2_000_000, 2_000_000, complete=False, reason="no price")
    await day.levels.look()
    assert day.told == []


async def test_the_first_value_after_a_start_is_where_one_stands_and_no_crossing() -> None:
    day = Day(-10_000, 10_000)

    assert await day.at(25_000) == []
    assert await day.at(-25_000) == ["📉 DAY P&L BELOW -₹10,000.00", "📉 DAY P&L BELOW ₹10,000.00"]


async def test_a_new_day_begins_anew() -> None:
    day = Day(-10_000)
    await day.at(0, -12_000)
    day.clock.advance(86_400)

    assert await day.at(0) == []


@pytest.mark.parametrize(
    ("side", "level", "total", "after"),
    [
        (None, 1_000_000, 1_000_000, Side(False)),
        (None, -1_000_000, -1_000_000, Side(True)),
        (Side(False), 1_000_000, 1_000_000, Side(True, crossed=True)),
        (Side(True, crossed=True), 1_000_000, 990_001, Side(True, crossed=True)),
        (Side(True, crossed=True), 1_000_000, 990_000, Side(False, crossed=True)),
        (Side(True, crossed=True), 0, -99, Side(True, crossed=True)),
        (Side(True, crossed=True), 0, -100, Side(False, crossed=True)),
    ],
)
def test_it_has_to_come_back_one_percent(
    side: Side | None, level: int, total: int, after: Side
) -> None:
    assert stepped(side, level, total) == after
