"""The delivery log: what became of each letter on its way through each channel."""

from collections.abc import Sequence
from typing import Final

from nicegui import ui

from dashboard import alert_words as words
from dashboard import format as fmt
from dashboard.alert_board import AlertBoard
from dashboard.alert_rows import Text
from dashboard.alert_ways import section
from dashboard.hold import Undo
from dashboard.reading import Reading
from trading.errors import VigilError
from trading.health_ports import Letter

SHOWN: Final = 30
EMPTY: Final = "Nothing was sent yet."


class DeliveryLog:
    """Read when it is opened, and again when a channel has sent or given up something."""

    def __init__(self, board: AlertBoard) -> None:
        self._board = board
        self._drawn: Sequence[Letter] | None = None
        with section("Delivery log", "v-log") as box:
            self._box = box
            reading = Reading("delivery log", self._read, box)
            Undo(board.delivered.subscribe(lambda _: reading.ask()))
            Undo(board.changes.subscribe(lambda _: reading.ask()))
            self._rows = ui.element("div").classes("v-log-rows")
        reading.ask()

    async def _read(self) -> None:
        room = self._board.room
        try:
            letters = await room.journal.letters(most=SHOWN) if room else []
        except VigilError as error:
            self._say(f"The log cannot be read now: {error}")
            return
        if not self._box.is_deleted and letters != self._drawn:
            self._draw(letters)

    def _draw(self, letters: Sequence[Letter]) -> None:
        self._drawn = letters
        self._rows.clear()
        with self._rows:
            for letter in letters:
                self._letter(letter)
            if not letters:
                ui.label(EMPTY).classes("v-note").mark("log-empty")

    def _say(self, trouble: str) -> None:
        if not self._box.is_deleted:
            self._drawn = None
            self._rows.clear()
            with self._rows:
                ui.label(trouble).classes("v-note").mark("log-trouble")

    def _letter(self, letter: Letter) -> None:
        now = self._board.clock.now()
        state = words.letter_state(letter, now)
        with ui.element("div").classes("v-letter").mark("letter"):
            ui.label(fmt.moment(letter.sent or letter.alert.at, now)).classes("n v-faint")
            ui.label(letter.channel).classes("v-letter-way")
            ui.label(f"{words.name(letter.alert)} {letter.alert.title}").classes("v-letter-title")
            said = Text(state.text, "status v-letter-state").mark("letter-state")
            said._props["data-tone"] = int(state.tone)
            if state.title:
                said._props["title"] = state.title
