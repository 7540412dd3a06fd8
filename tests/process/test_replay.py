"""A day that really was: its minutes in, the same minutes in the database at the end."""

import csv
from datetime import date, datetime, time
from pathlib import Path
from typing import Final

import pytest

from tests import rig
from trading.hours import IST, Phase
from trading.model import Mode

DATA: Final = Path(__file__).parents[2].parent / "shared" / "data"
DAY: Final = date(2024, 6, 27)
INDICES: Final = {
    "NSE_INDEX|Nifty 50": DATA / "nifty50_1m_2024-06-27.csv",
    "NSE_INDEX|Nifty Bank": DATA / "banknifty_1m_2024-06-27.csv",
}
CHAIN: Final = DATA / "nifty50_option_chain_2024-06-26_close_exp_2024-06-27.json"
SPEED: Final = 1_500.0  # the day in 15 seconds, after the 5 that a listener is given to come
# Between two looks at the clock the market closes and 25 minutes pass: no silence is judged here.
PATIENT: Final = rig.FAST.model_copy(update={"stall_seconds": 30.0})

pytestmark = pytest.mark.skipif(not DATA.is_dir(), reason=f"no recorded market data in {DATA}")

Minute = tuple[int, float, float, float, float]


def minutes_of(file: Path) -> list[Minute]:
    with file.open(newline="") as opened:
        return [
            (
                int(datetime.fromisoformat(row["timestamp"]).timestamp() * 1000),
                *(float(row[name]) for name in ("open", "high", "low", "close")),
            )  # type: ignore[misc]
            for row in csv.DictReader(opened)
        ]


async def test_a_replayed_day_ends_as_the_same_candles_to_the_paisa(tmp_path: Path) -> None:
    async with rig.running(
        tmp_path, feed=PATIENT, replay=tuple(INDICES.values()), chain=CHAIN, speed=SPEED
    ) as running:
        desk = running.desk
        begun = desk.clock.now().astimezone(IST)
        desk.subscriptions.hold("test", chain_keys(running), Mode.FULL)
        await running.live()
        phases = [await phase_at(running, datetime.combine(DAY, time(12), IST))]
        phases.append(await phase_at(running, datetime.combine(DAY, time(15, 36), IST)))
        stats = desk.feed.stats()
        await running.until(  # the last minutes are closed by the clock, once a second
            lambda: sum(len(candles(running, key)) for key in INDICES) >= 750, within=5
        )

        stored = {key: candles(running, key) for key in INDICES}
        moved = running.rows(
            "SELECT count(DISTINCT t.ltp) FROM quote_ticks t JOIN instruments i "
            "ON i.id = t.instrument_id WHERE i.instrument_key LIKE 'NSE_FO|%' "
            "GROUP BY i.id"
        )
        not_watched = running.rows("SELECT count(*) FROM candles WHERE NOT complete")
        not_marked = running.rows("SELECT count(*) FROM quote_ticks WHERE NOT is_mock")

    assert desk.world.word == "SIMULATED REPLAY"
    assert begun.date() == DAY
    assert begun.time() < time(9, 15)
    assert phases == [Phase.OPEN, Phase.CLOSED]
    assert stats.segments["NSE_INDEX"] == "NORMAL_CLOSE"
    assert stats.reconnects == 0
    for key, file in INDICES.items():
        expected = minutes_of(file)
        assert len(expected) == 375
        assert stored[key] == expected, key
    assert len(moved) == len(chain_keys(running))
    assert all(count > 10 for (count,) in moved)
    assert not_watched == not_marked == [(0,)]


def chain_keys(running: rig.Rig) -> list[str]:
    """Return the contracts of the chain nearest to the money."""
    known = running.exchange.market.instruments.values()
    options = [i for i in known if i.instrument_type in ("CE", "PE")]
    return [i.instrument_key for i in sorted(options, key=lambda i: abs(i.strike - 23_900))[:10]]


async def phase_at(running: rig.Rig, moment: datetime) -> Phase:
    desk = running.desk
    await running.until(lambda: desk.clock.now() >= moment, within=60, what=f"{moment:%H:%M}")
    assert desk.clock.now().astimezone(IST).date() == DAY
    return desk.hours.state("NSE_INDEX", desk.clock.now()).phase


def candles(running: rig.Rig, key: str) -> list[Minute]:
    return running.rows(
        "SELECT c.start, c.open, c.high, c.low, c.close FROM candles c JOIN instruments i "
        "ON i.id = c.instrument_id WHERE i.instrument_key = ? AND c.is_mock ORDER BY c.start",
        key,
    )
