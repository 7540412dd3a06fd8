"""Reads the disk for a part of a page: one reading at a time, and again if something came in it."""

from collections.abc import Awaitable, Callable

from nicegui import background_tasks
from nicegui.element import Element


class Reading:
    """Does `read` when asked to; what is asked for meanwhile is read once more at its end."""

    def __init__(self, name: str, read: Callable[[], Awaitable[None]], box: Element) -> None:
        """`box` is the element in whose place what was read is drawn."""
        self._name, self._read, self._box = name, read, box
        self._runs = False
        self._again = False

    def ask(self) -> None:
        self._again = True
        if not self._runs:
            self._runs = True
            background_tasks.create(self._run(), name=self._name, context=self._box)

    async def _run(self) -> None:
        try:
            while self._again:
                self._again = False
                await self._read()
        finally:
            self._runs = False
