"""Waiting for some seconds, or until somebody calls."""

import asyncio
from collections.abc import Awaitable, Callable

Sleep = Callable[[float], Awaitable[None]]


async def rest(seconds: float, woken: asyncio.Event, sleep: Sleep) -> None:
    """Return after the time or a call, whichever is first; the call counts once."""
    call = asyncio.ensure_future(woken.wait())
    timer = asyncio.ensure_future(sleep(seconds))
    try:
        await asyncio.wait({call, timer}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        call.cancel()
        timer.cancel()
        await asyncio.gather(call, timer, return_exceptions=True)
    woken.clear()
