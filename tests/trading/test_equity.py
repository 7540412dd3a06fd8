from collections.abc import Sequence
from datetime import datetime

import pytest

from tests.ticks import CALL
from tests.trading.holdings import MAIN, OTHER, House
from trading.equity import EVERY, PnlCurve
from trading.ports import PnlPoint


class Kept:
    """The far side of the port: a disk made of a list."""

    def __init__(self) -> None:
        self.points: list[PnlPoint] = []

    def keep_pnl(self, points: Sequence[PnlPoint]) -> None:
        self.points.extend(points)

    async def pnl(self, account: str, *, since: datetime, until: datetime) -> list[PnlPoint]:
        return [p for p in self.points if p.account == account and since <= p.at < until]


class Sampled(House):
    def __init__(self) -> None:
        super().__init__(MAIN, OTHER)
        self.kept = Kept()
        self.curve = PnlCurve(
            self.accounts,
            clock=self.clock,
            positions=self.book,
            journal=self.kept,
            is_open=lambda _segment, _at: self.is_open,
        )
        self.read()
        self.read(account="other")

    async def go(self, points: int, ltp: float | None = None) -> list[PnlPoint]:
        self.kept.points.clear()
        for _ in range(points):
            self.clock.advance(EVERY)
            if ltp is not None:
                self.price(ltp)
            await self.curve.sample()
        return list(self.kept.points)


@pytest.fixture
def house() -> Sampled:
    return Sampled()


async def test_a_point_is_kept_while_something_is_or_was_open_today(house: Sampled) -> None:
    assert await house.go(3, 145.0) == []

    house.fill(75, 142.5, order="1")
    points = await house.go(2, 145.0)
    assert [(p.account, p.realised, p.unrealised, p.complete, p.is_mock) for p in points] == [
        ("main", 0, 187_50, True, True)
    ] * 2
    assert points[0].at < points[1].at == house.clock.now()

    house.fill(-75, 146.0, order="2")
    assert [(p.realised, p.unrealised) for p in await house.go(2)] == [(262_50, 0)] * 2


async def test_a_moment_without_a_price_is_kept_as_unknown(house: Sampled) -> None:
    house.fill(75, 142.5, order="1")
    house.price(145.0)

    points = await house.go(3)

    assert [(p.unrealised, p.complete) for p in points] == [
        (187_50, True),
        (None, False),
        (None, False),
    ]


async def test_nothing_is_kept_while_the_market_is_closed(house: Sampled) -> None:
    house.fill(75, 142.5, order="1", key=CALL)
    house.is_open = False

    assert await house.go(3, 145.0) == []
