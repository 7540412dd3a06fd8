"""The instruments that the trader watches: one list, the same in all tabs, kept on disk."""

import asyncio
from collections.abc import Sequence

from trading.ports import Journal
from trading.signal import Signal


class Watchlist:
    """Owns the list while the desk runs; every change is kept before it is told."""

    def __init__(self, journal: Journal, defaults: Sequence[str]) -> None:
        self.changes: Signal[list[str]] = Signal("watchlist")
        self._journal = journal
        self._defaults = list(defaults)
        self._keys: list[str] | None = None
        self._changing = asyncio.Lock()  # two tabs may change it at once; neither change is lost

    async def load(self) -> list[str]:
        """Return the list, read from disk the first time; the defaults where none was kept."""
        if self._keys is None:
            kept = await self._journal.watchlist()
            if self._keys is None:  # another tab may have been faster
                self._keys = list(self._defaults) if kept is None else kept
        return list(self._keys)

    async def add(self, instrument_key: str) -> None:
        async with self._changing:
            keys = await self.load()
            if instrument_key not in keys:
                await self._keep([*keys, instrument_key])

    async def remove(self, instrument_key: str) -> None:
        async with self._changing:
            keys = await self.load()
            if instrument_key in keys:
                await self._keep([key for key in keys if key != instrument_key])

    async def move(self, instrument_key: str, steps: int) -> None:
        """Move an instrument up (negative) or down by so many places, at most to the end."""
        async with self._changing:
            keys = await self.load()
            here = keys.index(instrument_key) if instrument_key in keys else -1
            there = min(len(keys) - 1, max(0, here + steps))
            if here not in (-1, there):
                keys.insert(there, keys.pop(here))
                await self._keep(keys)

    async def _keep(self, keys: list[str]) -> None:
        await self._journal.set_watchlist(keys)
        self._keys = keys
        self.changes.emit(list(keys))
