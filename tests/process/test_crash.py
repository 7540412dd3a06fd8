"""D03: kill -9 while much is recorded takes nothing that was committed and leaves no hole."""

import os
import random
import signal
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Final

import pytest

from tests.process.served import (
    Exchange,
    Place,
    Sent,
    Served,
    Tab,
    busy_watchlist,
    launched,
    whole,
)

KILLS: Final = int(os.environ.get("TEST_KILLS", "5"))
USUALLY_LOST: Final = 500  # ms; a batch waits 250 ms ...
AT_MOST_LOST: Final = 2_000  # ... and on a busy machine for its turn as well
HEARTBEAT: Final = 10  # seconds between two of the desk's notes that it runs


@pytest.fixture
def exchange() -> Iterator[Exchange]:
    started = Exchange("--keep-rows", "--rate", "5000", "--instruments", "500")
    yield started
    started.close()


@pytest.mark.timeout(120 + 15 * KILLS)
def test_d03_kill_9_loses_no_committed_row_and_leaves_no_hole(
    exchange: Exchange, tmp_path: Path
) -> None:
    """The suite kills 5 times; TEST_KILLS=100 makes it the hundred of the specification."""
    seed = random.randrange(1 << 30)
    print(f"seed {seed}, {KILLS} kills")
    chance = random.Random(seed)
    place = Place(tmp_path / "data", variables=exchange.variables())
    busy_watchlist(place)
    lost_ms: list[int] = []
    for _ in range(KILLS):
        committed = kill_while_recording(place, chance)
        assert place.count("quote_ticks") >= committed
        assert whole(place) == [("ok",)]
        lost_ms.append(exchange.sent()[-1].at - end_of_what_was_kept(place))

    holes, kept = missing(exchange, place)
    print(f"{kept} ticks kept; lost at the end of each run: {sorted(lost_ms)} ms")
    assert holes == []
    assert kept > 500 * KILLS
    assert median(lost_ms) < USUALLY_LOST
    assert max(lost_ms) < AT_MOST_LOST


def kill_while_recording(place: Place, chance: random.Random) -> int:
    """Return how many rows a stranger saw committed before the end."""
    with launched(place) as served:
        served.ready()
        tab = Tab(served)
        served.until(lambda: place.count("quote_ticks") > served.rows_before, "writing", within=10)
        time.sleep(chance.uniform(0.3, 1.3))
        committed = place.count("quote_ticks")
        kill(served)
        tab.close()
        assert "ERROR" not in served.log
    return committed


def kill(served: Served) -> None:
    os.kill(served.pid, signal.SIGKILL)
    served.ended()
    assert served.process.returncode == -signal.SIGKILL


def end_of_what_was_kept(place: Place) -> int:
    return int(place.rows("SELECT max(exchange_ts) FROM quote_ticks")[0][0])


def missing(exchange: Exchange, place: Place) -> tuple[list[Sent], int]:
    """Return ticks that were sent before the last one kept of their connection, yet not kept.

    An index told twice, the same trade at the same price, is no news and is not stored.
    """
    kept = set(
        place.rows(
            "SELECT i.instrument_key, t.exchange_ts FROM quote_ticks t "
            "JOIN instruments i ON i.id = t.instrument_id"
        )
    )
    last: dict[int, int] = {}
    told: dict[tuple[int, str], Sent] = {}
    unkept: list[Sent] = []
    for sent in exchange.sent():
        before = told.get((sent.connection, sent.instrument_key))
        told[sent.connection, sent.instrument_key] = sent
        if (sent.instrument_key, sent.at) in kept:
            last[sent.connection] = max(sent.at, last.get(sent.connection, 0))
        elif not (before and sent.instrument_key.startswith("NSE_INDEX") and same(before, sent)):
            unkept.append(sent)
    return [sent for sent in unkept if sent.at < last.get(sent.connection, 0)], len(kept)


def same(one: Sent, other: Sent) -> bool:
    return (one.ltt, one.ltp) == (other.ltt, other.ltp)


def test_d03_the_time_that_the_killed_desk_was_down_is_a_gap(tmp_path: Path) -> None:
    place = Place(tmp_path / "data")
    with launched(place) as served:
        served.ready()
        served.until(lambda: heartbeat(place) is not None, "alive", within=HEARTBEAT + 3)
        kill(served)
    last = end_of_what_was_kept(place)
    with launched(place) as again:
        again.ready()
        again.stop()

    first = place.rows("SELECT min(received) FROM quote_ticks WHERE received > ?", last + 1_000)
    gaps = place.rows("SELECT started, ended FROM feed_gaps WHERE reason = 'Vigil was not running'")
    assert len(gaps) == 1
    started, ended = gaps[0]
    assert last - HEARTBEAT * 1_000 < started <= last + AT_MOST_LOST
    assert abs(ended - first[0][0]) < 1_000


def heartbeat(place: Place) -> int | None:
    """Return when the desk last said that it runs."""
    rows = place.rows("SELECT value FROM desk_state WHERE name = 'alive'")
    return int(rows[0][0]) if rows else None
