"""What the light in the header was judged by: each input with its value, its age, what to do."""

from typing import Final

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from dashboard import light as lights
from dashboard.alert_board import AlertBoard
from dashboard.live import Facts, Live, Since
from dashboard.sheet import Shown, Tone
from trading.desk import Desk
from trading.health import Check

NO_INPUTS: Final = (
    "Nothing watches this desk: the light judges the age of the prices and the state of their "
    "feed alone. Look at the Health page for the rest."
)
NOTHING: Final = Check("", True, "")  # where there are fewer inputs than when it was opened


class LightPanel:
    """The light, and the list that a press on it opens; nothing is drawn while it is shut."""

    def __init__(self, desk: Desk, live: Live, board: AlertBoard) -> None:
        self._desk, self._live, self._board = desk, live, board
        self._open = False
        self._drawn = 0
        light = lights.desk_light(desk, board.inputs)
        button = TextElement(tag="button", text=light.text).classes("v-light").mark("light")
        button.props(f'type="button" aria-live="polite" data-level="{light.level}"')
        button.on("click", self.toggle, [])
        self._box = ui.element("aside").classes("v-inputs").mark("inputs")
        self._box.props('aria-label="what the light was judged by"')

    def toggle(self) -> None:
        self._open = not self._open
        self._box.classes("v-open") if self._open else self._box.classes(remove="v-open")
        self._box.clear()
        if self._open:
            with self._box:
                self._draw()

    def _draw(self) -> None:
        with ui.element("div").classes("v-drawer-head"):
            ui.label("Can I trade?").classes("v-title")
            ui.element("div").classes("v-space")
            shut = ui.button(icon="close", on_click=self.toggle, color=None).classes("v-shut")
            shut.props('flat dense aria-label="Close the list"').mark("inputs-close")
        inputs = self._board.inputs
        if inputs is None:
            ui.label(NO_INPUTS).classes("v-note")
            return
        self._drawn = len(inputs)
        group = self._live.group(self._facts)
        with ui.element("div").classes("v-input-rows"):
            for place, check in enumerate(inputs):
                with ui.element("div").classes("v-input"):
                    group.cell(f"mark {place}", "v-glyph status").mark("input-mark")
                    group.cell(f"name {place}", "v-input-name").mark("input-name")
                    group.cell(f"words {place}", "v-input-words").mark("input-words")
                    if check.age is not None:
                        group.cell(f"age {place}", "n v-faint")
                    group.cell(f"fix {place}", "v-input-fix").mark("input-fix")

    def _facts(self) -> Facts:
        """Return the inputs by their places; the gravest come first, whichever they are."""
        moment = self._desk.clock.monotonic()
        facts: dict[str, str | Shown | Since] = {}
        told = [*(self._board.inputs or ()), *[NOTHING] * self._drawn][: self._drawn]
        for place, check in enumerate(told):
            facts |= {
                f"mark {place}": _mark(check),
                f"name {place}": check.name,
                f"words {place}": Shown(check.words, Tone.NONE if check.good else _tone(check)),
                f"age {place}": Since(None if check.age is None else moment - check.age),
                f"fix {place}": "" if check.good else check.fix,
            }
        return facts


def _mark(check: Check) -> Shown:
    if check.good:
        return Shown("✓" if check.name else "", Tone.GOOD)
    return Shown("✖" if check.grave else "!", _tone(check))


def _tone(check: Check) -> Tone:
    return Tone.BAD if check.grave else Tone.WARN
