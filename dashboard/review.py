"""The review sheet: everything in words, a live price, and one press that sends one thing."""

import logging
from collections.abc import Awaitable, Callable, Hashable, Sequence
from dataclasses import dataclass
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard.drafts import Drafts
from dashboard.frame import Tab, mode_class
from dashboard.hold import Hold, Undo
from dashboard.live import Live
from dashboard.live_word import LiveWord
from trading.desk import Desk
from trading.errors import Denied, Problem, VigilError

log = logging.getLogger(__name__)

LOOK: Final = 0.5  # seconds between two looks at whether it may be sent
CHECK_LOOKS: Final = 4  # and the desk is asked what it would deny every so many looks
LATE: Final = 3.0  # seconds without an answer
SENDING: Final = "Being sent. Closing this does not take it back."


@dataclass(frozen=True, slots=True)
class Act:
    """What a sheet asks for. Two tabs with equal `content` that are open at once send one thing.

    `keys` are the instruments whose price it relies on; a `strict` act is refused while one of
    them has none to rely on, which an exit is not. `send` gets the nonce of the press, raises
    VigilError if certainly nothing was sent, and returns what draws the result.
    """

    title: str
    button: str
    content: Hashable
    account: str
    keys: tuple[str, ...]
    strict: bool
    draw: Callable[[], None]
    check: Callable[[], Awaitable[Sequence[Problem]]]
    send: Callable[[str], Awaitable[Callable[[], None]]]
    refuse: Callable[[], str] = lambda: ""  # why not now, asked again and again and at the press


class ReviewSheet:
    """Opens at once; refuses while it must, says why, and lets one press through."""

    def __init__(
        self, desk: Desk, tab: Tab, act: Act, *, sent: Callable[[], object] = lambda: None
    ) -> None:
        """`sent` is called when the sheet is closed after something was sent from it."""
        self._desk, self._tab, self._act, self._sent = desk, tab, act, sent
        self._drafts: Drafts = tab.drafts
        self._draft = tab.drafts.open(act.content)
        self._pressed = self._through = False
        self._waiting: float | None = None  # since this moment (monotonic) for the answer
        self._looks = 0
        self._denied: str | None = None  # not asked yet
        with ui.dialog().props('aria-label="review"') as self.dialog:
            self.dialog.mark("review-dialog").on("hide", self._closed)
            with ui.card().classes("v-sheet v-review"):
                self._draw()
        self.dialog.open()

    # drawing

    def _draw(self) -> None:
        act, desk = self._act, self._desk
        Undo(lambda: self._drafts.close(self._draft))
        Undo(desk.marks.want("review", act.keys))
        Hold(desk, "review").want(act.keys)
        with ui.element("div").classes("v-review-head"):
            ui.label(desk.world.word).classes(f"v-mode {mode_class(desk.world)}")
            ui.label(act.title).classes("v-title").mark("review-title")
        act.draw()
        LiveWord(desk, [act.account], self._allowed)
        self._refusal = ui.label("").classes("v-refusal").props('role="alert"').mark("refusal")
        self._result = ui.element("div").classes("v-review-result")
        with ui.element("div").classes("v-review-foot"):
            self._cancel = ui.button("Cancel", on_click=self.dialog.close, color=None)
            self._cancel.props("flat no-caps autofocus").mark("review-cancel")
            self._send = ui.button(act.button, on_click=self._press, color=None)
            self._send.props("unelevated no-caps").classes("v-send").mark("send")
            self._send.disable()
        ui.timer(LOOK, self._look)

    # may it be sent?

    async def _look(self) -> None:
        if self._pressed:
            self._say_waiting()
            return
        if self._looks % CHECK_LOOKS == 0:
            self._denied = await self._ask()
        self._looks += 1
        self._judge()

    def _say_waiting(self) -> None:
        """Say what is known while nobody has answered: closing the sheet takes nothing back."""
        if self._waiting is None or self.dialog.is_deleted:
            return
        waited = self._desk.clock.monotonic() - self._waiting
        late = f"No answer for {fmt.age(waited)}: it may be at the broker. Do not send it again."
        self._refusal.set_text(late if waited >= LATE else SENDING)

    async def _ask(self) -> str:
        try:
            found = await self._act.check()
        except VigilError as error:
            return str(error)
        return "; ".join(problem.words for problem in found)

    def _judge(self) -> None:
        if self.dialog.is_deleted or self._pressed:
            return
        reason = self._reason()
        self._refusal.set_text(reason)
        self._send.set_enabled(not reason)

    def _reason(self) -> str:
        """Return why the button is locked, in words; empty if it is not."""
        if self._draft.sent:
            return "This was sent from another sheet a moment ago: look at Orders."
        if self._act.strict:
            for key in self._act.keys:
                if self._desk.marks.of(key) is None:
                    instrument = self._desk.catalogue.get(key)
                    name = instrument.title if instrument else key
                    return f"{name} has no price to rely on: {self._desk.marks.why_not(key)}."
        if reason := self._act.refuse():
            return reason
        if self._denied is None:
            return "Asking the desk whether it may be sent …"
        return f"The desk would not send it: {self._denied}." if self._denied else ""

    async def _allowed(self) -> None:
        self._looks = 0
        await self._look()

    # the press

    async def _press(self) -> None:
        if self._pressed or self._reason():
            self._judge()
            return
        self._pressed = True  # before anything is awaited: a double click comes in the same turn
        self._send.disable()
        self._cancel.set_text("Close")
        self._waiting = self._desk.clock.monotonic()
        self._say_waiting()
        self._drafts.sent(self._draft)
        try:
            show = await self._act.send(self._draft.nonce)
        except Denied as error:
            self._not_sent(str(error))
        except VigilError as error:
            self._not_sent(f"{error}. Nothing was sent.")
        except Exception:
            log.exception("sending from a review sheet failed")
            self._stop("Something in the desk itself failed: look at Orders before sending again.")
        else:
            self._done(show)

    def _not_sent(self, words: str) -> None:
        self._stop(f"Not sent: {words} Close this sheet and review it again.")

    def _stop(self, words: str) -> None:
        self._waiting = None
        if not self.dialog.is_deleted:
            self._refusal.set_text(words)

    def _closed(self) -> None:
        self.dialog.delete()
        if self._through:
            self._sent()

    def _done(self, show: Callable[[], None]) -> None:
        self._through, self._waiting = True, None
        if self.dialog.is_deleted:
            return
        self._refusal.set_text("")
        self._send.set_visibility(False)
        with self._result:
            show()


def price_line(desk: Desk, live: Live, instrument_key: str) -> None:
    """Draw the live price with its badge, and beside it the polled one if it is what counts."""

    def polled() -> dict[str, str]:
        mark = desk.marks.of(instrument_key)
        if mark is None or mark.source != "R":
            return {"polled": ""}
        return {"polled": f"R {fmt.price(mark.price)}, asked {fmt.age(mark.age)} ago"}

    with ui.element("span").classes("v-price-line") as line:
        live.cell(instrument_key, "ltp", "price flash")
        live.cell(instrument_key, "change", "toned")
        live.badge(instrument_key, full=True)
        live.group(polled).cell("polled", "v-faint")
    live.watch(instrument_key, line)


def send_words(desk: Desk, what: str) -> str:
    """Return what a button says that sends: `Send SIMULATED buy`."""
    return f"Send {desk.world.word} {what}"
