"""The word that opens real orders for a day; invisible where no word is needed."""

from collections.abc import Awaitable, Callable, Sequence

from nicegui import ui

from dashboard.fields import Complaint
from trading.desk import Desk
from trading.errors import VigilError
from trading.latch import WORD


class LiveWord:
    """Asks for the word if one of the accounts needs it; `opened` is called once it was said."""

    def __init__(
        self, desk: Desk, accounts: Sequence[str], opened: Callable[[], Awaitable[None]]
    ) -> None:
        self._desk, self._accounts, self._opened = desk, tuple(accounts), opened
        with ui.element("div").classes("v-lock") as self._box:
            self._word = ui.input(f"Real money. Type {WORD} to allow real orders today")
            self._word.props('dense outlined autocomplete="off"').mark("live-word")
            self._word.on("keydown.enter", self._arm, [])
            ui.button("Allow today", on_click=self._arm, color=None).props("flat no-caps").mark(
                "arm"
            )
            self._complaint = Complaint("live-word")
        self._show()

    def _show(self) -> None:
        latch = self._desk.accounts.latch
        self._box.set_visibility(any(latch.needed(account) for account in self._accounts))

    async def _arm(self) -> None:
        try:
            await self._desk.accounts.latch.arm(self._word.value or "")
        except VigilError as error:
            self._complaint.say(str(error))
            return
        self._complaint.say("")
        self._show()
        await self._opened()
