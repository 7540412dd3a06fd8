"""Points of the P&L curve: kept as they are, thinned without hiding a loss or a doubt."""

from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from storage.database import Database
from storage.pnl import FEWEST, DatabasePnlJournal, thinned
from storage.writer import Writer
from tests.storage.account import MORNING, SECOND
from tests.storage.sql import count
from trading.ports import PnlJournal, PnlPoint

EVENING = MORNING + timedelta(hours=7)


@pytest.fixture
def journal(database: Database, writer: Writer) -> Iterator[DatabasePnlJournal]:
    journal = DatabasePnlJournal(database, writer, world="simulated broker")
    yield journal
    journal.close()


def point(second: int, realised: int | None = 0, unrealised: int | None = 0) -> PnlPoint:
    complete = unrealised is not None
    return PnlPoint("main", MORNING + second * SECOND, realised, unrealised, complete, True)


async def test_points_come_back_as_they_were_oldest_first(
    journal: DatabasePnlJournal, writer: Writer
) -> None:
    desk_asks_for: PnlJournal = journal
    points = [point(5, 10, -20), point(0, None, None), point(10, 10, None)]
    other = PnlPoint("second", MORNING, 1, 2, False, False)
    desk_asks_for.keep_pnl(points)
    desk_asks_for.keep_pnl([other])
    writer.flush()

    assert await journal.pnl("main", since=MORNING, until=EVENING) == sorted(
        points, key=lambda p: p.at
    )
    assert await journal.pnl("second", since=MORNING, until=EVENING) == [other]
    before_ten = MORNING + 10 * SECOND
    assert await journal.pnl("main", since=MORNING + SECOND, until=before_ten) == [points[0]]


async def test_a_moment_has_one_point(
    journal: DatabasePnlJournal, writer: Writer, path: Path
) -> None:
    journal.keep_pnl([point(5, 1), point(5, 2)])
    journal.keep_pnl([point(5, 3)])
    writer.flush()

    assert await journal.pnl("main", since=MORNING, until=EVENING) == [point(5, 3)]
    assert count(path, "pnl_points") == 1


async def test_another_world_has_a_curve_of_its_own(
    database: Database, writer: Writer, journal: DatabasePnlJournal
) -> None:
    journal.keep_pnl([point(0)])
    writer.flush()

    live = DatabasePnlJournal(database, writer, world="upstox broker")
    assert await live.pnl("main", since=MORNING, until=EVENING) == []
    live.close()


async def test_a_day_is_drawn_with_as_many_points_as_asked_for(
    journal: DatabasePnlJournal, writer: Writer
) -> None:
    day = [point(5 * n, 0, n % 97 * 100) for n in range(4_500)]
    day[2_000] = point(10_000, 0, -1_000_000)  # five seconds of a loss
    day[3_000] = point(15_000, 0, None)
    journal.keep_pnl(day)
    writer.flush()

    drawn = await journal.pnl("main", since=MORNING, until=EVENING, most=300)

    assert len(drawn) <= 300
    assert day[2_000] in drawn
    assert day[3_000] in drawn
    assert (drawn[0], drawn[-1]) == (day[0], day[-1])


money = st.none() | st.integers(-(10**9), 10**9)


@given(totals=st.lists(st.tuples(money, money), max_size=80), most=st.integers(FEWEST, 90))
def test_thinning_keeps_order_ends_extremes_and_doubts(
    totals: list[tuple[int | None, int | None]], most: int
) -> None:
    points = [point(n, *total) for n, total in enumerate(totals)]

    drawn = thinned(points, most)

    assert len(drawn) <= most
    assert drawn == [p for p in points if p in drawn]
    if len(points) <= most:
        assert drawn == points
        return
    assert (drawn[0], drawn[-1]) == (points[0], points[-1])

    def known(of: list[PnlPoint]) -> list[int]:
        return [p.realised + p.unrealised for p in of if None not in (p.realised, p.unrealised)]

    if known(points):
        assert (min(known(drawn)), max(known(drawn))) == (min(known(points)), max(known(points)))
    assert (len(known(drawn)) < len(drawn)) == (len(known(points)) < len(points))


def test_a_curve_of_fewer_points_than_it_takes_is_refused() -> None:
    with pytest.raises(ValueError, match="5"):
        thinned([], FEWEST - 1)
