"""The inbox: every alert that was told, what waits for somebody first, a page at a time."""

from collections.abc import Sequence
from enum import StrEnum
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard.alert_acts import AlertActs
from dashboard.alert_board import AlertBoard
from dashboard.alert_rows import AlertList, small
from dashboard.alert_ways import section
from dashboard.fields import Choice
from dashboard.hold import Undo
from dashboard.reading import Reading
from trading.errors import VigilError
from trading.health import Alert, Severity
from trading.health_ports import AlertJournal

PAGE: Final = 40  # rows
BLOCK: Final = 200  # alerts read at once
BLOCKS: Final = 10  # that are gone through for a page of critical ones


class Filter(StrEnum):
    ALL = "all"
    WAITING = "waiting"
    CRITICAL = "critical"


FILTERS: Final = {
    Filter.ALL: "All",
    Filter.WAITING: "Not acknowledged",
    Filter.CRITICAL: "Critical",
}
EMPTY: Final = {
    Filter.ALL: "Nothing was told yet. Alerts come here when something begins, worsens or ends.",
    Filter.WAITING: "Nothing waits for you.",
    Filter.CRITICAL: "Nothing critical was told.",
}


class Inbox:
    """Reads the journal when it is opened and when alerts change, never by the clock."""

    def __init__(self, board: AlertBoard, acts: AlertActs) -> None:
        self._board, self._acts = board, acts
        self._before: list[int] = []  # numbers below which the pages that were left back begin
        self._next: int | None = None
        with section("Inbox", "v-inbox") as box:
            self._box = box
            self._reading = Reading("inbox", self._fill, box)
            Undo(board.changes.subscribe(lambda _: self.refresh()))
            with box.default_slot.children[0]:
                ui.element("div").classes("v-space")
                self._all = small("Ack all", "inbox-ack-all")
                self._all.on_click(lambda: acts.acknowledge(board.unacknowledged))
            self._filter: Choice[Filter] = Choice(
                "which alerts", FILTERS, Filter.ALL, lambda _: self._newest(), name="filter"
            )
            self._scroll = ui.element("div").classes("v-inbox-rows")
            with self._scroll:
                self._list = AlertList(acts, "")
            with ui.element("div").classes("v-pages"):
                self._newer = small("Newest", "newest").on_click(self._newest)
                self._older = small("Older", "older").on_click(self._page_on)
        self.refresh()

    def refresh(self) -> None:
        waiting = len(self._board.unacknowledged)
        self._all.set_text(f"Ack all {fmt.whole(waiting)}")
        self._all.set_visibility(waiting > 0)
        self._reading.ask()

    def _newest(self) -> None:
        self._before.clear()
        self.refresh()

    def _page_on(self) -> None:
        if self._next is not None:
            self._before.append(self._next)
            self.refresh()

    async def _fill(self) -> None:
        room, chosen = self._board.room, self._filter.value
        if room is None or self._box.is_deleted:
            return
        try:
            alerts, following = await self._page(room.journal, chosen)
        except VigilError as error:
            self._list.show([], f"The inbox cannot be read now: {error}. It is tried again.")
            return
        if self._box.is_deleted:
            return
        self._next = following
        self._older.set_visibility(following is not None)
        self._newer.set_visibility(bool(self._before))
        self._list.show(alerts, EMPTY[chosen])

    async def _page(
        self, journal: AlertJournal, chosen: Filter
    ) -> tuple[Sequence[Alert], int | None]:
        """Return the alerts of this page, and where the one after it begins."""
        before = self._before[-1] if self._before else None
        if chosen is Filter.ALL:
            found = await journal.alerts(most=PAGE + 1, before=before)
            following = found[PAGE - 1].id if len(found) > PAGE else None
            return (found[:PAGE] if self._before else self._waiting_first(found[:PAGE])), following
        if chosen is Filter.WAITING:
            known = [a for a in self._board.unacknowledged if before is None or a.id < before]
            return known[:PAGE], known[PAGE - 1].id if len(known) > PAGE else None
        return await self._critical(journal, before)

    def _waiting_first(self, found: Sequence[Alert]) -> Sequence[Alert]:
        waiting = list(self._board.unacknowledged[:PAGE])
        numbers = {alert.id for alert in waiting}
        return [*waiting, *(alert for alert in found if alert.id not in numbers)]

    async def _critical(
        self, journal: AlertJournal, before: int | None
    ) -> tuple[Sequence[Alert], int | None]:
        kept: list[Alert] = []
        for _ in range(BLOCKS):
            block = await journal.alerts(most=BLOCK, before=before)
            kept += [alert for alert in block if alert.severity is Severity.CRITICAL]
            if len(block) < BLOCK or len(kept) > PAGE:
                break
            before = block[-1].id
        else:
            return kept, before
        return kept[:PAGE], kept[PAGE - 1].id if len(kept) > PAGE else None
