"""Writes into a database until it is killed, and says on stdout what it was promised is kept.

For each line on stdin, a path, it forks a writer: importing once is what makes a hundred quick.
Lines on stdout: `pid N`; then `record NAME` and `ticks FIRST LAST` as they are acknowledged;
then `dead`.
"""

import os
import sys
from functools import partial
from itertools import count
from pathlib import Path

from storage.database import open_database
from storage.gaps import open_gap
from storage.moments import from_ms
from storage.writer import Writer
from tests.ticks import T0, tick
from trading.model import Candle


def main() -> None:
    for number, line in enumerate(sys.stdin):
        pid = os.fork()
        if pid == 0:
            _write_for_ever(Path(line.strip()), number)
        _say(f"pid {pid}")
        os.waitpid(pid, 0)
        _say("dead")


def _write_for_ever(path: Path, run: int) -> None:
    writer = Writer(open_database(path), reserve=0)
    template = [tick(f"NSE_FO|{n}") for n in range(40)]
    for turn in count():
        first = (run << 40) + (turn << 10)
        writer.ticks([t._replace(ltq=first + n) for n, t in enumerate(template)], T0)
        minute = T0 + 60_000 * (run * 10_000 + turn)
        writer.candles([Candle("NSE_FO|1", minute, 1.0, 1.0, 1.0, 1.0, 1, 1, True, True)])
        feed = f"{run}-{turn}"
        writer.submit(
            partial(open_gap, feed=feed, start=from_ms(T0), reason="test", is_mock=True)
        ).result()
        _say(f"record {feed}")
        if turn % 3 == 0:
            writer.flush()
            _say(f"ticks {first} {first + len(template) - 1}")
            _say(f"candle {minute}")


def _say(line: str) -> None:
    os.write(1, f"{line}\n".encode())  # one write, so that no line is cut by the kill


if __name__ == "__main__":
    main()
