"""H07: however the desk is stopped, it keeps what it received, says goodbye and leaves nothing."""

import os
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from tests.process.served import (
    CTRL_C,
    Place,
    Served,
    Tab,
    busy_watchlist,
    launched,
    listening,
    processes_of_session,
    stuck_request,
    whole,
)

AT_MOST = 5.0  # seconds from the wish to the end
HEAVY = {"VIGIL_SIMULATOR__RATE": "4000"}


def terminate(served: Served) -> None:
    served.process.terminate()


def ctrl_c(served: Served) -> None:
    served.terminal.press(CTRL_C)


def ctrl_c_twice(served: Served) -> None:
    served.terminal.press(CTRL_C)
    time.sleep(0.3)
    served.terminal.press(CTRL_C)


def hang_up(served: Served) -> None:
    served.terminal.close()


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """One folder and one pair of ports for all: each start is also the restart after a stop."""
    place = Place(tmp_path_factory.mktemp("desk") / "data", variables=HEAVY)
    busy_watchlist(place)
    return place


@pytest.fixture
def busy(place: Place) -> Iterator[Served]:
    """A desk that records a lot for an open tab and has a request that does not end."""
    with launched(place) as served:
        served.ready()
        tab, stuck = Tab(served), stuck_request(served)
        served.until(lambda: served.received() > 1_500, "recording", within=10)
        yield served
        tab.close()
        stuck.close()


@pytest.mark.parametrize("way", [terminate, ctrl_c, ctrl_c_twice, hang_up])
def test_every_way_of_stopping_keeps_what_was_received(
    busy: Served, way: Callable[[Served], None]
) -> None:
    place = busy.place
    received = busy.received()
    way(busy)
    took = busy.ended(within=AT_MOST)
    print(f"{way.__name__}: {took:.2f} s")

    assert busy.process.returncode == 0, busy.log
    assert place.count("quote_ticks") - busy.rows_before >= received
    assert last_minute_closes_at_the_last_tick(place)
    assert whole(place) == [("ok",)]
    assert not place.database.with_name("simulated.db-wal").exists()
    assert processes_of_session(busy.pid) == []
    assert "a part did not stop cleanly" not in busy.log


def test_what_waits_for_the_disk_when_the_stop_comes_is_written(place: Place) -> None:
    with launched(place) as served:
        served.ready()
        tab = Tab(served)
        with closing(sqlite3.connect(place.database, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")  # another program, which is done a little later
            served.until(lambda: served.health()["storage"]["queued"] > 500, "waiting", within=10)
            received = served.received()
            served.process.terminate()
            time.sleep(0.7)
            other.execute("ROLLBACK")
        served.ended(within=AT_MOST)
        tab.close()

        assert served.process.returncode == 0
        assert place.count("quote_ticks") - served.rows_before >= received
        assert "not written" not in served.log


def last_minute_closes_at_the_last_tick(place: Place) -> bool:
    """Whether the minute that was under way was written too, for an index that always ticks."""
    rows = place.rows(
        "SELECT c.close, (SELECT t.ltp FROM quote_ticks t WHERE t.instrument_id = i.id "
        "ORDER BY t.ltt DESC, t.id DESC LIMIT 1) FROM candles c JOIN instruments i "
        "ON i.id = c.instrument_id WHERE i.instrument_key = 'NSE_INDEX|Nifty 50' "
        "ORDER BY c.start DESC LIMIT 1"
    )
    return bool(rows) and rows[0][0] == rows[0][1]


def test_a_stop_without_trouble_is_quiet_and_frees_the_ports_at_once(place: Place) -> None:
    with launched(place) as served:
        served.ready()
        tab = Tab(served)
        ports = {port for _, port in listening(served.pid)}
        took = served.stop()
        tab.close()

        assert served.process.returncode == 0
        assert took < 2.0
        assert served.log.rstrip().endswith("market: live -> stopped")
        assert "ERROR" not in served.log
        for port in ports:
            with socket.create_server(("127.0.0.1", port)):  # with SO_REUSEADDR, as the desk has
                pass


@pytest.mark.parametrize("after", [0.9, 1.5, 2.1])
def test_a_stop_while_it_is_still_starting_is_a_stop(tmp_path: Path, after: float) -> None:
    place = Place(tmp_path / "data")
    with launched(place) as served:
        time.sleep(after)
        os.kill(served.pid, signal.SIGTERM)
        served.ended(within=AT_MOST)

        assert served.process.returncode in (0, -signal.SIGTERM)  # before it can listen to it
        assert "Traceback" not in served.log
        assert not place.database.exists() or whole(place) == [("ok",)]
