"""D01, D02 at the running desk: a database in the way is said, counted, and over by itself."""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pytest

from tests.process.served import Place, Served, Tab, busy_watchlist, launched, whole

ROOM: Final = 96 << 20  # bytes of the small disk
LITTLE: Final = 8 << 20  # bytes left on it: less than what is reserved for records

HOLD_LOCK: Final = """
import sqlite3, sys
connection = sqlite3.connect(sys.argv[1], isolation_level=None, timeout=10)
connection.execute("BEGIN IMMEDIATE")
print("held", flush=True)
sys.stdin.readline()
connection.execute("COMMIT")
"""


@pytest.fixture(scope="module")
def disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A disk of its own that is small; an ordinary folder where we may not mount one."""
    folder = tmp_path_factory.mktemp("disk")
    command = ["mount", "-t", "tmpfs", "-o", f"size={ROOM}", "tmpfs", str(folder)]
    mounted = os.geteuid() == 0 and subprocess.run(command, check=False).returncode == 0
    yield folder
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.fixture(scope="module")
def desk(disk: Path) -> Iterator[Served]:
    place = Place(disk / "data", variables={"VIGIL_SIMULATOR__RATE": "3000"})
    busy_watchlist(place)
    with launched(place) as served:
        served.ready()
        tab = Tab(served)
        yield served
        tab.close()
        assert served.stop() < 5
        assert served.process.returncode == 0


def storage(desk: Served) -> dict[str, Any]:
    told: dict[str, Any] = desk.health()["storage"]
    return told


def feed_goes_on(desk: Served) -> bool:
    """Whether ticks still arrive, and the feed says that it lives."""
    before = desk.received()
    time.sleep(0.3)
    live = desk.health()["feeds"][0]["state"] == "live"
    return live and desk.received() > before + 50


def page_says(desk: Served, words: str) -> bool:
    return words in desk.client.get("/status").text


def well(desk: Served) -> bool:
    """Whether prices arrive and are written; what was dropped is told for a minute after it."""
    health = desk.health()
    return bool(health["feeds"][0]["state"] == "live" and health["storage"]["state"] == "ok")


def account_for_all(desk: Served) -> None:
    """See that every tick that was received is stored or dropped, once it is quiet."""

    def accounted() -> bool:
        told, rows = storage(desk), desk.place.count("quote_ticks") - desk.rows_before
        same = rows == told["rows"] == desk.received() - told["dropped"]
        return bool(told["queued"] == 0 and same)

    desk.exchange.fault("stall")
    try:
        desk.until(accounted, "accounted for", within=10)
    finally:
        desk.exchange.clear_faults()
        desk.until(lambda: well(desk), "all right", within=10)


def test_d01_another_program_holds_the_write_lock(desk: Served) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD_LOCK, str(desk.place.database)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    desk.until(lambda: storage(desk)["state"] == "locked", "locked", within=2)
    assert desk.health()["status"] == "degraded"
    assert any("another program holds the database locked" in t for t in desk.health()["troubles"])
    assert page_says(desk, "another program holds the database locked")
    assert feed_goes_on(desk)
    assert desk.metric("vigil_storage_ok") == 0
    assert storage(desk)["queued"] > 100
    assert holder.poll() is None
    holder.communicate(b"\n", timeout=10)

    resumed = desk.until(lambda: storage(desk)["state"] == "ok", "resumed", within=5)
    print(f"resumed {resumed:.2f} s after the lock was given back")
    assert storage(desk)["dropped"] == 0
    account_for_all(desk)
    assert whole(desk.place) == [("ok",)]


@contextmanager
def ballast(disk: Path, *, leave: int) -> Iterator[None]:
    """Fill the disk up to so many bytes, however quickly the desk writes to it meanwhile."""
    file = disk / "ballast"
    with file.open("wb") as opened:
        for _ in range(50):
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
            with suppress(OSError):
                os.posix_fallocate(opened.fileno(), 0, max(1, free - leave))
                break
        else:
            raise AssertionError("the disk could not be filled")
    try:
        yield
    finally:
        file.unlink()


@pytest.mark.parametrize("leave", [LITTLE, 0])
def test_d02_a_full_disk_stops_the_ticks_only(desk: Served, disk: Path, leave: int) -> None:
    if not os.path.ismount(disk):
        pytest.skip("mounting a small disk needs root")
    dropped_before = storage(desk)["dropped"]
    with ballast(disk, leave=leave):
        desk.until(lambda: storage(desk)["state"] == "disk full", "full", within=5)
        assert desk.health()["status"] == "degraded"
        assert page_says(desk, "disk full")
        assert feed_goes_on(desk)
        desk.until(lambda: storage(desk)["dropped"] > dropped_before, "dropped", within=3)
        assert desk.metric("vigil_storage_rows_dropped_total") > dropped_before

    resumed = desk.until(lambda: storage(desk)["state"] == "ok", "resumed", within=5)
    print(f"resumed {resumed:.2f} s after there was room again")
    rows = storage(desk)["rows"]
    desk.until(lambda: storage(desk)["rows"] > rows, "writing again", within=2)
    account_for_all(desk)
    assert whole(desk.place) == [("ok",)]
