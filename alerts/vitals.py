"""The process watching itself: how late the event loop runs, memory, threads, processor time."""

import asyncio
import resource
import statistics
import sys
import threading
import time
from collections import deque
from pathlib import Path
from typing import Final

from trading.ports import Percentiles, VitalStats

INTERVAL: Final = 0.05  # seconds between samples of the loop's lag
WINDOW: Final = 1_200  # samples, one minute


class LoopVitals:
    """Samples the loop that `run` runs on: the lag is how much later than asked it wakes."""

    def __init__(self) -> None:
        self._lags: deque[float] = deque(maxlen=WINDOW)
        self._cpu: deque[tuple[float, float]] = deque(maxlen=20)

    async def run(self) -> None:
        next_cpu = 0.0
        while True:
            asked = time.monotonic()
            await asyncio.sleep(INTERVAL)
            now = time.monotonic()
            self._lags.append((now - asked - INTERVAL) * 1000)
            if now >= next_cpu:
                self._cpu.append((now, time.process_time()))
                next_cpu = now + 1.0

    def stats(self) -> VitalStats:
        lags = list(self._lags)
        return VitalStats(
            loop_lag=percentiles(lags),
            loop_lag_max=max(lags, default=None),
            memory_bytes=memory_bytes(),
            threads=threading.active_count(),
            cpu_percent=self._cpu_percent(),
        )

    def _cpu_percent(self) -> float | None:
        if len(self._cpu) < 2:
            return None
        (began, used), (now, later) = self._cpu[0], self._cpu[-1]
        return 100 * (later - used) / (now - began)


def percentiles(milliseconds: list[float]) -> Percentiles:
    if len(milliseconds) < 2:
        return Percentiles()
    cuts = statistics.quantiles(milliseconds, n=100, method="inclusive")
    return Percentiles(cuts[49], cuts[94], cuts[98])


def memory_bytes() -> int:
    """Return the resident memory now where /proc tells it, else the highest it ever was."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except OSError:
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024
    return pages * resource.getpagesize()
