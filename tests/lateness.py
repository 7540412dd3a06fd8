"""How late this machine is, for bounds of milliseconds on one that others use too."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager


class Lateness:
    """How late this machine was at worst, in seconds: what a bound of milliseconds allows for."""

    def __init__(self) -> None:
        self.worst = 0.0

    async def run(self) -> None:
        while True:
            asked = time.monotonic()
            await asyncio.sleep(0.01)
            self.worst = max(self.worst, time.monotonic() - asked - 0.01)


@asynccontextmanager
async def lateness() -> AsyncIterator[Lateness]:
    late = Lateness()
    task = asyncio.create_task(late.run())
    try:
        yield late
    finally:
        task.cancel()
