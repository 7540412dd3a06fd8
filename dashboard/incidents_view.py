"""Incidents: open ones first, what recovery did about each, and what the trader made of it."""

from datetime import datetime, timedelta
from typing import Final

from nicegui import background_tasks, ui

from dashboard import format as fmt
from dashboard import health_words as words
from dashboard.acts import BY, told
from dashboard.frame import Tab
from dashboard.hold import Undo
from dashboard.live import Age, Cell
from dashboard.sheet import Shown
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Incident, IncidentStep
from trading.health_ports import Watchroom

BACK: Final = timedelta(days=7)
MOST: Final = 30
MORE: Final = f"Only the latest {MOST} are shown here; the seven-day report has more."
NOTE: Final = 500  # characters
Name = tuple[str, datetime]  # of an incident, which has no number before it is on the disk
NONE_YET: Final = "No incident in the last seven days."
NOT_WRITTEN: Final = (
    "Not done: the disk has not taken this incident yet, and without its number nothing can be "
    "written to it. It is tried again; if it lasts, look at the row of the storage."
)


class Incidents:
    """The list is read from the disk when the page opens; after that the watch tells of changes."""

    def __init__(self, desk: Desk, tab: Tab, room: Watchroom) -> None:
        self._desk, self._tab, self._room = desk, tab, room
        self._rows: dict[Name, IncidentRow] = {}
        self._more = ""  # said below the rows, of those that are not shown
        with (
            ui.element("section").classes("v-panel h-panel").props('aria-label="incidents"') as box
        ):
            with ui.element("div").classes("v-card-head"):
                ui.label("Incidents").classes("v-title")
                self._count = Cell(tab.live, "status", Shown(""))
                self._count.mark("incidents-open")
            Undo(room.watch.changes.subscribe(self._changed))
            self._body = ui.element("div").classes("h-incidents")
            self._empty = Cell(tab.live, "v-empty", Shown(""))
            self._empty.mark("incidents-empty")
        for incident in room.watch.open_incidents():
            self._put(incident)
        self._arrange()
        background_tasks.create(self._load(), name="incidents", context=box)

    async def _load(self) -> None:
        try:
            found = await self._room.journal.incidents(
                since=self._desk.clock.now() - BACK, most=MOST + 1
            )
        except VigilError as error:
            self._empty.show(Shown(f"Older incidents could not be read: {error}."))
            return
        if self._body.is_deleted:
            return
        for incident in found[:MOST]:
            if _name(incident) not in self._rows:  # what was told meanwhile is newer
                self._put(incident)
        self._arrange()
        self._more = MORE if len(found) > MOST else ""
        self._empty.show(Shown(self._more if self._rows else NONE_YET))

    def _changed(self, incident: Incident) -> None:
        self._put(incident)
        self._arrange()
        self._empty.show(Shown(self._more))

    def _put(self, incident: Incident) -> None:
        row = self._rows.get(_name(incident))
        if row is not None and row.incident.number != incident.number:
            row.box.delete()  # it was told before the disk gave it its number
            row = None
        if row is None:
            with self._body:
                row = IncidentRow(self._desk, self._tab, self._room, incident)
            self._rows[_name(incident)] = row
        row.show(incident)

    def _arrange(self) -> None:
        ordered = words.in_order([row.incident for row in self._rows.values()])
        for place, incident in enumerate(ordered):
            box = self._rows[_name(incident)].box
            if self._body.default_slot.children.index(box) != place:
                box.move(target_index=place)
        still = sum(incident.ended is None for incident in ordered)
        self._count.show(Shown(f"{still} open" if still else ""))


def _name(incident: Incident) -> Name:
    return incident.key, incident.began


class IncidentRow:
    """One incident; its details are drawn when they are opened, the steps anew as they come."""

    def __init__(self, desk: Desk, tab: Tab, room: Watchroom, incident: Incident) -> None:
        self._desk, self._tab, self._room = desk, tab, room
        self.incident = incident
        self._steps: ui.element | None = None
        self._drawn: tuple[IncidentStep, ...] = ()
        number = incident.number
        with ui.element("div").classes("h-incident").mark(f"incident-{number}") as self.box:
            with ui.element("div").classes("h-incident-row"):
                ui.label(f"#{number}" if number else fmt.DASH).classes("n h-number")
                self._state = self._cell("status h-state", "state")
                self._began = self._cell("n h-began", "began")
                self._running = Age(tab.live, "va h-duration")
                self._running.mark(f"running-{number}")
                self._length = self._cell("n h-duration", "duration")
                self._cause = self._cell("h-cause", "cause")
                self._ticks = self._cell("n h-ticks", "ticks")
                self._alerts = self._cell("n h-alerts", "alerts")
                with ui.element("div").classes("h-acts"):
                    self._ack = ui.button("Ack", on_click=self._acknowledge, color=None)
                    self._ack.props("outline dense no-caps").mark(f"ack-{number}")
                    self._more = ui.button(icon="expand_more", on_click=self._toggle, color=None)
                    self._more.props(
                        f'flat dense aria-expanded="false" aria-label="Incident {number}"'
                    ).mark(f"open-{number}")
            self._details = ui.element("div").classes("h-details-box")

    def _cell(self, classes: str, what: str) -> Cell:
        cell = Cell(self._tab.live, classes, Shown(""))
        cell.mark(f"{what}-{self.incident.number}")
        return cell

    def show(self, incident: Incident) -> None:
        self.incident = incident
        now = self._desk.clock.now()
        simulated = " · SIM" if incident.is_mock else ""
        self._state.show(words.incident_state(incident))
        self._began.show(Shown(fmt.moment(incident.began, now)))
        self._show_duration()
        flaps = f" · {incident.flaps} times" if incident.flaps > 1 else ""
        cause = f"{words.cause(incident)}{flaps}{simulated}"
        self._cause.show(Shown(cause, title=words.acknowledged(incident, now)))
        self._ticks.show(_with(words.ticks_missed(incident.ticks_missed), "ticks missed"))
        self._alerts.show(Shown(f"{incident.alerts} alerts" if incident.alerts != 1 else "1 alert"))
        may_ack = not incident.number or bool(self._unheard())
        self._ack.set_visibility(incident.acknowledged is None and may_ack)
        if self._steps is not None and incident.steps != self._drawn:
            self._draw_steps()

    def _show_duration(self) -> None:
        """Let the browser count on while it lasts; what has ended has its length."""
        incident, clock = self.incident, self._desk.clock
        lasts = incident.ended is None
        self._running.set_visibility(lasts)
        self._length.set_visibility(not lasts)
        if incident.ended is None:
            lasted = (clock.now() - incident.began).total_seconds()  # of the exchange's time
            self._running.start(clock.monotonic() - lasted / clock.rate)
        else:
            length = (incident.ended - incident.began).total_seconds()
            self._length.show(Shown(words.duration(length)))

    def _unheard(self) -> list[int]:
        """Return the alerts of this incident that nobody has acknowledged; every alert without
        an incident has the number 0, and so has an incident that is not on the disk.
        """
        number = self.incident.number
        if not number:
            return []
        waiting = self._room.watch.unacknowledged()
        return [alert.id for alert in waiting if alert.incident == number and alert.id]

    async def _acknowledge(self) -> None:
        if not self.incident.number:
            self._tab.say(NOT_WRITTEN)
            return
        numbers = self._unheard()
        acknowledge = self._room.watch.acknowledge(BY, numbers=numbers)
        if await told(self._tab.say, acknowledge, "Acknowledged: it is not repeated. It goes on."):
            self._ack.set_visibility(False)

    def _toggle(self) -> None:
        is_open = self._steps is None
        if is_open:
            with self._details:
                self._draw_details()
        else:
            self._details.clear()
            self._steps = None
        self._more.props(f'aria-expanded="{str(is_open).lower()}"')
        self._more.set_icon("expand_less" if is_open else "expand_more")

    def _draw_details(self) -> None:
        number, now = self.incident.number, self._desk.clock.now()
        with ui.element("div").classes("h-details"):
            self._steps = ui.element("ol").classes("h-steps").mark(f"steps-{number}")
            self._draw_steps()
            heard = words.acknowledged(self.incident, now)
            if heard:
                ui.label(heard).classes("v-note")
            with ui.element("div").classes("h-note"):
                note = ui.input("Note", value=self.incident.note)
                note.props(f"dense outlined maxlength={NOTE}").mark(f"note-{number}")
                save = ui.button("Save", on_click=lambda: self._save(note), color=None)
                save.props("outline dense no-caps").mark(f"save-note-{number}")
                note.on("keydown.enter", lambda: self._save(note), [])

    async def _save(self, note: ui.input) -> None:
        if not self.incident.number:
            self._tab.say(NOT_WRITTEN)
            return
        number, text = self.incident.number, (note.value or "").strip()[:NOTE]
        done = f"The note of incident #{number} is saved."
        await told(self._tab.say, self._room.journal.note(number, text), done)

    def _draw_steps(self) -> None:
        assert self._steps is not None
        self._drawn = self.incident.steps
        self._steps.clear()
        with self._steps:
            if not self._drawn:
                ui.label("Recovery has done nothing about it.").classes("v-note")
            for step in self._drawn:
                with ui.element("li"):
                    ui.label(fmt.clock(step.at)).classes("n v-faint")
                    ui.label(step.what)
                    ui.label(step.result).classes("h-result")


def _with(shown: Shown, unit: str) -> Shown:
    return Shown(f"{shown.text} {unit}", shown.tone, shown.title)
