"""What a page takes for as long as it is shown, and gives back by itself when it is left."""

from collections.abc import Callable, Sequence

from nicegui.element import Element

from trading.desk import Desk
from trading.model import Mode


class Undo(Element):
    """An invisible element that calls an undo when the page is left."""

    def __init__(self, undo: Callable[[], None]) -> None:
        super().__init__("span")
        self._undo = undo
        self.style("display: none")

    def _handle_delete(self) -> None:
        self._undo()
        super()._handle_delete()


class Hold(Element):
    """An invisible element whose instruments are wanted for as long as it is on the page."""

    def __init__(self, desk: Desk, holder: str) -> None:
        super().__init__("span")
        self._desk = desk
        self._holder = f"{holder}, tab {self.client.id[:4]}"
        self._release: Callable[[], None] | None = None
        self.style("display: none")

    def want(self, keys: Sequence[str], *, deep: bool = False) -> None:
        before = self._release
        book = self._desk.subscriptions
        # the new ones before the old ones go, so that what stays is never unsubscribed
        self._release = book.hold(self._holder, keys, Mode.FULL, deep=deep) if keys else None
        if before:
            before()

    def _handle_delete(self) -> None:
        if self._release:
            self._release()
        super()._handle_delete()
