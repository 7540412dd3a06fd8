"""Time that passes when a test says so, for everything that sleeps on it."""

import asyncio
import heapq
from datetime import UTC, datetime

from trading.clock import ManualClock

NOON = datetime(2026, 11, 20, 6, 30, tzinfo=UTC)  # 12:00 IST, a Friday


class Timeline:
    """`sleep` is given to what is under test; `run` lets the time pass, sleeper by sleeper."""

    def __init__(self, at: datetime = NOON) -> None:
        self.clock = ManualClock(at)
        self._sleepers: list[tuple[float, int, asyncio.Future[None]]] = []
        self._serial = 0

    async def sleep(self, seconds: float) -> None:
        woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._serial += 1
        heapq.heappush(
            self._sleepers, (self.clock.monotonic() + max(0.0, seconds), self._serial, woken)
        )
        await woken

    async def settle(self) -> None:
        """Let everything run that can run without time passing."""
        for _ in range(60):
            await asyncio.sleep(0)

    async def run(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end:
            due, _, woken = heapq.heappop(self._sleepers)
            if woken.done():  # its sleeper was cancelled
                continue
            self.clock.advance(max(0.0, due - self.clock.monotonic()))
            woken.set_result(None)
            await self.settle()
        self.clock.advance(max(0.0, end - self.clock.monotonic()))
        await self.settle()
