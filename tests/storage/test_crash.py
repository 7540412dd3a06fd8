"""Crashes: what was acknowledged before a kill -9 is there afterwards; a torn journal is cut clean.

A kill proves nothing about a power cut; there the claim is SQLite's own, for WAL and FULL. With
VIGIL_LONG=1 in the environment the full numbers of the fault matrix are run: 100 kills, 400 tears.
"""

import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import pytest

from storage.database import open_database
from storage.writer import Writer
from tests.storage.sql import is_whole, rows, value
from tests.ticks import T0, tick

ROOT: Final = Path(__file__).parents[2]
LONG: Final = bool(os.environ.get("VIGIL_LONG"))
KILLS: Final = 100 if LONG else 10
TEARS: Final = 400 if LONG else 20
BATCHES: Final = 30
BATCH: Final = 25


@contextmanager
def crash_child(name: str = "crash_child") -> Iterator["subprocess.Popen[str]"]:
    child = subprocess.Popen(
        [sys.executable, "-m", f"tests.storage.{name}"],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert child.stdin
    assert child.stdout
    try:
        yield child
    finally:
        child.stdout.close()  # a writer that was not killed ends at its next line
        child.stdin.close()
        child.wait(10)


def run_and_kill(child: "subprocess.Popen[str]", path: Path, delay: float) -> list[list[str]]:
    """Let it write for so long after its first acknowledgement; return all acknowledgements."""
    assert child.stdin
    assert child.stdout
    child.stdin.write(f"{path}\n")
    lines = iter(child.stdout)
    seen = [next(lines).split(), next(lines).split()]
    (pid,) = [int(words[1]) for words in seen if words[0] == "pid"]
    time.sleep(delay)
    os.kill(pid, signal.SIGKILL)
    for line in lines:
        if line == "dead\n":
            break
        seen.append(line.split())
    return seen


@pytest.mark.timeout(300)
def test_d03_kill_9_loses_nothing_that_was_acknowledged(path: Path) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    print(f"seed {seed}")
    open_database(path).close()
    acknowledged: list[list[str]] = []
    with crash_child() as child:
        for _ in range(KILLS):
            acknowledged += run_and_kill(child, path, chance.uniform(0.0, 0.12))
            open_database(path).close()
            assert is_whole(path)

    kept = {feed for (feed,) in rows(path, "SELECT feed FROM feed_gaps")}
    ticks = {serial for (serial,) in rows(path, "SELECT ltq FROM quote_ticks")}
    minutes = {start for (start,) in rows(path, "SELECT start FROM candles")}
    promised = [words[1] for words in acknowledged if words[0] == "record"]
    spans = [words[1:] for words in acknowledged if words[0] == "ticks"]
    candles = {int(words[1]) for words in acknowledged if words[0] == "candle"}
    assert len(promised) >= KILLS
    assert len(spans) >= KILLS / 2
    assert set(promised) <= kept
    assert {serial for a, b in spans for serial in range(int(a), int(b) + 1)} <= ticks
    assert candles <= minutes
    assert len(ticks) == value(path, "SELECT count(*) FROM quote_ticks")  # and nothing twice


@pytest.fixture(scope="module")
def torn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database as a crash leaves it: everything that was written is still in the journal."""
    folder = tmp_path_factory.mktemp("crashed")
    path = folder / "vigil.db"
    database = open_database(path)
    writer = Writer(database, reserve=0)
    for batch in range(BATCHES):
        writer.ticks([tick(f"NSE_FO|{n}")._replace(ltq=batch + 1) for n in range(BATCH)], T0)
        writer.flush()
    crashed = tmp_path_factory.mktemp("torn") / "vigil.db"
    for suffix in ("", "-wal"):
        shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
    writer.stop()
    database.close()
    return crashed


def tear(journal: Path, chance: random.Random) -> str:
    content = bytearray(journal.read_bytes())
    at = chance.randrange(len(content))
    how = chance.choice(["truncate", "zero", "flip"])
    if how == "truncate":
        del content[at:]
    elif how == "zero":
        length = chance.randrange(1, 50_000)
        content[at : at + length] = bytes(len(content[at : at + length]))
    else:
        content[at] ^= 1 << chance.randrange(8)
    journal.write_bytes(content)
    return f"{how} at {at}"


@pytest.mark.timeout(300)
def test_d04_a_torn_journal_opens_to_whole_batches_up_to_the_tear(
    torn: Path, tmp_path: Path
) -> None:
    seed = random.randrange(1 << 32)
    chance = random.Random(seed)
    lengths = set()
    for attempt in range(TEARS):
        path = tmp_path / f"{attempt}.db"
        shutil.copy(torn, path)
        shutil.copy(f"{torn}-wal", f"{path}-wal")
        what = tear(Path(f"{path}-wal"), chance)

        open_database(path).close()

        found = rows(path, "SELECT ltq, count(*) FROM quote_ticks GROUP BY ltq ORDER BY ltq")
        told = f"seed {seed}, attempt {attempt}, {what}"
        assert found == [(n + 1, BATCH) for n in range(len(found))], told
        assert is_whole(path), told
        lengths.add(len(found))
        path.unlink()

    assert min(lengths) < BATCHES  # the tears did hit something
    assert len(lengths) > 3
