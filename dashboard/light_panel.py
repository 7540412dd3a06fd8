"""What the light in the header was judged by: each input with its value, its age, what to do."""

from typing import Final

from nicegui import ui
from nicegui.elements.mixins.text_element import TextElement

from dashboard import format as fmt
from dashboard import light as lights
from dashboard.alert_board import AlertBoard
from dashboard.live import Facts, Live
from dashboard.sheet import Shown, Tone
from trading.desk import Desk
from trading.health import Check

NO_INPUTS: Final = (
    "Nothing watches this desk: the light judges the age of the prices and the state of their "
    "feed alone. Look at the Health page for the rest."
)
WATCH: Final = "Watch"  # the input whose age is that of the look at all others
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
            for place in range(self._drawn):
                with ui.element("div").classes("v-input"):
                    group.cell(f"mark {place}", "v-glyph status").mark("input-mark")
                    group.cell(f"name {place}", "v-input-name").mark("input-name")
                    group.cell(f"words {place}", "v-input-words").mark("input-words")
                    group.cell(f"age {place}", "n v-faint").mark("input-age")
                    group.cell(f"fix {place}", "v-input-fix").mark("input-fix")

    def _facts(self) -> Facts:
        """Return the inputs by their places; the gravest come first, whichever they are."""
        facts: dict[str, str | Shown] = {}
        told = [*(self._board.inputs or ()), *[NOTHING] * self._drawn][: self._drawn]
        for place, check in enumerate(told):
            facts |= {
                f"mark {place}": _mark(check),
                f"name {place}": check.name,
                f"words {place}": Shown(check.words, Tone.NONE if check.good else _tone(check)),
                f"age {place}": self._age(check),
                f"fix {place}": "" if check.good else check.fix,
            }
        return facts

    def _age(self, check: Check) -> str:
        """Return how old an input is: its age at the look of the watch, and that of the look."""
        if check.age is None:
            return ""
        looked = 0.0 if check.name == WATCH else self._board.alive_age or 0.0
        return fmt.age(check.age + looked)


def _mark(check: Check) -> Shown:
    if check.good:
        return Shown("✓" if check.name else "", Tone.GOOD)
    return Shown("✖" if check.grave else "!", _tone(check))


def _tone(check: Check) -> Tone:
    return Tone.BAD if check.grave else Tone.WARN
