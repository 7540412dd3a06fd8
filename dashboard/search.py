"""The box that finds instruments by name, symbol or strike."""

from collections.abc import Awaitable, Callable
from typing import Final

from nicegui import ui
from nicegui.events import ValueChangeEventArguments

from trading.model import Instrument
from trading.ports import Catalogue

FOUND: Final = 12  # results of a search


def marker(what: str, instrument_key: str) -> str:
    """Return the name by which tests find a piece of the page; NiceGUI splits it at spaces."""
    return f"{what}-{instrument_key.replace(' ', '_')}"


class InstrumentSearch:
    """Calls `chosen` with the instrument that was picked, by pointer or by Enter for the first."""

    def __init__(
        self,
        catalogue: Catalogue,
        chosen: Callable[[Instrument], Awaitable[None]],
        *,
        placeholder: str,
        name: str = "search",
        fits: Callable[[Instrument], bool] = lambda _: True,
        unfit: str = "",
    ) -> None:
        """`name` is how tests find the box.

        What does not fit is left out of the results; `unfit` says why, if nothing else is found.
        """
        self._catalogue = catalogue
        self._chosen = chosen
        self._fits, self._unfit = fits, unfit
        self._asked = 0
        self._found: list[Instrument] = []
        with ui.element("div").classes("v-search"):
            self._box = ui.input(placeholder=placeholder, on_change=self._search)
            self._box.props('dense outlined debounce=120 aria-label="search an instrument"')
            self._box.mark(name)
            self._box.on("keydown.enter", self._choose_first, [])
            self._box.on("keydown.esc", self._clear, [])
            self._list = ui.element("div").classes("v-found").props('role="listbox"')
            self._list.set_visibility(False)

    async def _search(self, event: ValueChangeEventArguments[str | None]) -> None:
        self._asked += 1
        asked, text = self._asked, (event.value or "").strip()
        found = await self._catalogue.search(text, limit=FOUND) if text else []
        if asked != self._asked or self._list.is_deleted:
            return  # something else has been typed meanwhile, or the page was left
        self._found = [instrument for instrument in found if self._fits(instrument)]
        self._list.clear()
        self._list.set_visibility(bool(text))
        with self._list:
            for instrument in self._found:
                self._result(instrument)
            if not self._found:
                said = f"No instrument is called “{text[:40]}”."
                ui.label(self._unfit if found else said).classes("v-empty").mark("not-found")

    def _result(self, instrument: Instrument) -> None:
        with ui.element("button").classes("v-result") as result:
            result.mark(marker("found", instrument.instrument_key))
            result.props('type="button" role="option"')
            ui.label(instrument.title)
            ui.label(f"{instrument.name} · {instrument.segment}").classes("v-faint")
        result.on("click", lambda: self._choose(instrument), [])

    async def _choose_first(self) -> None:
        if self._found:
            await self._choose(self._found[0])

    async def _choose(self, instrument: Instrument) -> None:
        self._clear()
        await self._chosen(instrument)

    def _clear(self) -> None:
        self._box.set_value("")
