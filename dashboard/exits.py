"""The sheet that closes positions: one market order for each, shorts bought back first."""

import asyncio
import math
from collections.abc import Sequence
from functools import partial
from typing import Final

from nicegui import ui
from nicegui.element import Element

from dashboard import exit_words, order_words
from dashboard import format as fmt
from dashboard.exit_words import Estimate
from dashboard.frame import Tab, mode_class
from dashboard.hold import Hold, Undo
from dashboard.live import Cell
from dashboard.live_word import LiveWord
from dashboard.position_words import Key, today
from dashboard.receipt import OrderResult
from dashboard.sheet import Shown, Tone
from trading.closing import CLOSED
from trading.desk import Desk
from trading.errors import VigilError
from trading.exit_plan import ExitLine, plan, request
from trading.order import Order, Side
from trading.positions import Position

WORD: Final = "EXIT"
LOOK: Final = 0.5  # seconds between two looks at what an exit would do now
CHECK_LOOKS: Final = 4  # and the desk is asked what it would deny every so many looks
CHANGED_FOR: Final = 1.0  # seconds that a press must wait after the sheet has changed
SHORTEST_REASON: Final = 5  # characters
ASKING: Final = "Asking the desk whether it may be sent …"


class _Line:
    """One position of the sheet: what will be done with it, and what came of it."""

    def __init__(self, desk: Desk, tab: Tab, key: Key) -> None:
        self.key = key
        self.denied: str | None = None  # not asked yet
        self._desk, self._tab = desk, tab
        self.instrument = desk.catalogue.get(key[1])
        position = desk.positions.get(*key)
        generation = position.generation if position else 0
        self.draft = tab.drafts.open(("exit", *key, generation))
        self.plan = self._planned(position)
        self.estimate: Estimate | None = None
        self._draw()
        self.look()

    # drawing

    def _draw(self) -> None:
        live, tab = self._tab.live, self._tab
        with ui.element("div").classes("v-exit-line") as self.box:
            self.box.mark(f"exit-line-{self.key[1].replace(' ', '_')}")
            Undo(lambda: tab.drafts.close(self.draft))
            self._sentence = Cell(live, "v-exit-sentence").mark("exit-sentence")
            self._price = ui.element("div").classes("v-price-line")
            with self._price:
                group = live.group(lambda: tab.ledger.row(self.key), fast=True)
                group.cell("ltp", "n price")
                group.badge("trust", full=True).marks(self._price)
            self._estimate = Cell(live, "v-faint").mark("estimate")
            self._notes = Cell(live, "v-exit-note").mark("exit-note")
            self._result = ui.element("div").classes("v-review-result")

    def look(self) -> bool:
        """Plan anew; return whether something else would be done than what was shown."""
        position = self._desk.positions.get(*self.key)
        before, self.plan = self.plan, self._planned(position)
        self._sentence.show(Shown(f"{exit_words.sentence(self.plan, self.instrument)}."))
        self.estimate = self._estimated(position)
        self._estimate.show(self._estimate_words())
        self._notes.show(Shown(" ".join(self._said()), Tone.WARN))
        return (before.quantity, before.side, before.resting) != (
            self.plan.quantity,
            self.plan.side,
            self.plan.resting,
        )

    def _planned(self, position: Position | None) -> ExitLine:
        if position is None:
            return ExitLine(self.key, Side.SELL, 0, 0)
        return plan(position, self._desk.orders.working(self.key[0]))

    def _estimated(self, position: Position | None) -> Estimate | None:
        if position is None:
            return None
        mark = self._desk.marks.of(self.key[1])
        day = today(self._desk.clock.now())
        return exit_words.estimate(self.plan, position, self.instrument, mark, day)

    def _estimate_words(self) -> Shown:
        if not self.plan.quantity:
            return Shown("")
        if self.estimate is None:
            why = self._desk.marks.why_not(self.key[1]) or "what it is worth is not known"
            return Shown(f"{fmt.DASH} {why}", Tone.NONE, why)
        return Shown(f"{exit_words.estimate_words(self.estimate, self.plan.side)}.")

    def _said(self) -> list[str]:
        said = exit_words.obstacles(self.plan, self.instrument)
        if self.draft.sent:
            said.append("Sent from another tab a moment ago: look at Orders.")
        elif not self.plan.held:
            said.append("It is closed already.")
        elif self.denied:
            said.append(f"The desk would not send it: {self.denied}.")
        return said

    # may it be sent?

    @property
    def name(self) -> str:
        return order_words.title(self.instrument, self.key[1])

    @property
    def sendable(self) -> bool:
        return self.plan.quantity > 0 and not self.draft.sent and not self.denied

    def blind(self) -> str:
        """Return why there is no price to rely on, empty if there is one."""
        mark = self._desk.marks.of(self.key[1])
        if mark is None:
            return self._desk.marks.why_not(self.key[1]) or "no price is known"
        return "the market is closed" if mark.closed else ""

    async def ask(self) -> None:
        """Ask the desk whether it would deny this line."""
        if not self.plan.quantity:
            self.denied = ""
            return
        asked = request(self.plan, "review", "exit")
        try:
            found = await self._desk.orders.check(asked)
        except VigilError as error:
            self.denied = str(error)
        else:
            self.denied = "; ".join(problem.words for problem in found)

    # the press

    async def send(self, source: str) -> Order | None:
        """Cancel what would close it twice, then send; say what came of it in words."""
        self._tab.drafts.sent(self.draft)
        sent = await self._desk.closing.send(self.plan, self.draft.nonce, source)
        if sent.order is None:
            self._say(sent.words, Tone.MUTED if sent.words == CLOSED else Tone.BAD)
        else:
            self._show(sent.order)
        return sent.order

    def begin(self) -> None:
        self._price.set_visibility(False)
        self._estimate.show(Shown(""))
        self._notes.show(Shown(""))
        self._say("Being sent …", Tone.NONE)

    def skip(self) -> None:
        """Say that a line was left out, if there was something to close."""
        if self.plan.held:
            self._say("Left out: nothing was sent for it.", Tone.MUTED)

    def _say(self, words: str, tone: Tone) -> None:
        if not self.box.is_deleted:
            self._result.clear()
            with self._result:
                Cell(self._tab.live, "status", Shown(words, tone)).mark("exit-result")

    def _show(self, order: Order) -> None:
        if not self.box.is_deleted:
            self._result.clear()
            with self._result:
                OrderResult(self._desk, self._tab.live, order)


class ExitSheet:
    """Shows what closing some positions does now, and lets one press through.

    An exit is possible whatever the prices are; without a price to rely on it needs a word.
    """

    def __init__(self, desk: Desk, tab: Tab, positions: Sequence[Position]) -> None:
        """Open it inside the element that is open now; it lives as long as that."""
        self._desk, self._tab = desk, tab
        self._pressed = False
        self._looks = 0
        self._sent: list[Order] = []
        self._of, self._left, self._took = 0, 0, ""  # told once all of it was sent
        self._changed_at = -math.inf
        ordered = sorted(positions, key=lambda p: p.quantity > 0)  # shorts first
        with ui.dialog().props('aria-label="exit"') as self.dialog:
            self.dialog.mark("exit-dialog").on("hide", self.dialog.delete)
            with ui.card().classes("v-sheet v-review v-exit-sheet"):
                self._draw(ordered)
        self.dialog.open()

    def _draw(self, positions: Sequence[Position]) -> None:
        desk, tab = self._desk, self._tab
        keys = [p.instrument_key for p in positions]
        Undo(desk.marks.want("exit", keys))
        Hold(desk, "exit").want(keys)
        with ui.element("div").classes("v-review-head"):
            ui.label(desk.world.word).classes(f"v-mode {mode_class(desk.world)}")
            ui.label(_title(desk, positions)).classes("v-title").mark("exit-title")
        with ui.element("div").classes("v-exit-lines"):
            made = ((p.account, p.instrument_key, p.product) for p in positions)
            self._lines = [_Line(desk, tab, key) for key in made]
        self._total = Cell(tab.live, "v-exit-total").mark("exit-total")
        LiveWord(desk, [p.account for p in positions], self._asked_anew)
        self._draw_words()
        self._refusal = ui.label("").classes("v-refusal").props('role="alert"').mark("refusal")
        self._status = ui.label("").classes("v-exit-total").props('role="status"')
        self._status.mark("exit-status")
        with ui.element("div").classes("v-review-foot"):
            self._cancel = ui.button("Cancel", on_click=self.dialog.close, color=None)
            self._cancel.props("flat no-caps autofocus").mark("exit-cancel")
            self._send = ui.button(self._button_words(), on_click=self._press, color=None)
            self._send.props("unelevated no-caps").classes("v-send").mark("send-exit")
            self._send.disable()
        self._judge()
        ui.timer(LOOK, self._look)

    def _draw_words(self) -> None:
        self._blind = ui.label("").classes("v-blind").props('role="alert"').mark("blind")
        self._word = ui.input(f"Type {WORD} to send it all the same").mark("exit-word")
        self._word.props('dense outlined autocomplete="off"')
        self._reason = ui.input("Why send it again all the same?").mark("exit-reason")
        self._reason.props("dense outlined")
        for box in (self._blind, self._word, self._reason):
            box.set_visibility(False)

    def _button_words(self) -> str:
        count = sum(line.sendable for line in self._lines)
        word = self._desk.world.word
        return f"Send {word} exit" if len(self._lines) == 1 else f"Send {count} {word} exits"

    # may it be sent?

    async def _look(self) -> None:
        if self._pressed:
            self._follow()
            return
        self._replan()
        if self._looks % CHECK_LOOKS == 0:
            await asyncio.gather(*(line.ask() for line in self._lines))
            self._replan()  # what it denies is said on the lines
        self._looks += 1
        self._judge()

    def _replan(self) -> None:
        changed = [line.look() for line in self._lines]  # each of them, whatever the first says
        if any(changed):
            self._changed_at = self._desk.clock.monotonic()

    async def _asked_anew(self) -> None:
        self._looks = 0
        await self._look()

    def _judge(self) -> None:
        if self.dialog.is_deleted or self._pressed:
            return
        sendable = [line for line in self._lines if line.sendable]
        self._total.show(Shown(exit_words.total_words([line.estimate for line in sendable])))
        self._total.set_visibility(len(sendable) > 1)
        blind = self._blind_words(sendable)
        self._blind.set_text(blind)
        for box in (self._blind, self._word):
            box.set_visibility(bool(blind))
        self._reason.set_visibility(any(line.plan.doubtful for line in sendable))
        reason = self._why_not()
        self._refusal.set_text(reason)
        self._send.set_enabled(not reason)
        self._send.set_text(self._button_words())

    def _blind_words(self, lines: Sequence[_Line]) -> str:
        found = [(line, why) for line in lines if (why := line.blind())]
        doubt = [line for line in lines if line.plan.position_doubt]
        said = ""
        if found:
            first, why = found[0]
            count = f"{len(found)} of {len(lines)} prices are" if len(lines) > 1 else "The price is"
            said = (
                f"✖ {count} not to be relied on ({first.name}: {why}). A market order goes out "
                "all the same and takes what the market pays."
            )
        if doubt:
            said += f" ✖ How much of {doubt[0].name} is held is in doubt: it may turn around."
        return said.strip()

    def _why_not(self) -> str:
        """Return why the button is locked, in words; empty if it is not."""
        lines = [line for line in self._lines if line.sendable]
        if any(line.denied is None for line in self._lines):
            return ASKING
        if not lines:
            return "There is nothing to send."
        if self._blind_words(lines) and (self._word.value or "").strip() != WORD:
            return f"Type {WORD} in capitals to send it without a price to rely on."
        doubtful = any(line.plan.doubtful for line in lines)
        if doubtful and len((self._reason.value or "").strip()) < SHORTEST_REASON:
            return "Type why it has to be sent again."
        if self._desk.clock.monotonic() - self._changed_at < CHANGED_FOR:
            return "What is held has just changed: look at it again."
        return ""

    # the press

    async def _press(self) -> None:
        if self._pressed:
            return
        self._replan()
        if self._why_not():
            self._judge()
            return
        self._pressed = True  # before anything is awaited: a double click comes in the same turn
        self._send.disable()
        begun = self._desk.clock.monotonic()
        lines = [line for line in self._lines if line.sendable]
        for line in self._lines:
            line.begin() if line in lines else line.skip()
        source = self._source()
        sent = await self._send_all(lines, source)
        took = self._desk.clock.monotonic() - begun
        self._left = sum(line.plan.held > 0 for line in self._lines if line not in lines)
        self._done(sent, len(lines), took)

    def _source(self) -> str:
        doubtful = [line.plan.doubtful.id for line in self._lines if line.plan.doubtful]
        if not doubtful:
            return "exit"
        why = (self._reason.value or "").strip()
        return f"exit, although {', '.join(doubtful)} is in doubt: {why}"

    async def _send_all(self, lines: Sequence[_Line], source: str) -> list[Order]:
        """Send what buys, then what sells; return what was sent."""
        work = [(line.plan, partial(line.send, source)) for line in lines]
        return [order for order in await self._desk.closing.in_waves(work) if order is not None]

    def _done(self, sent: Sequence[Order], of: int, took: float) -> None:
        self._sent, self._of, self._took = list(sent), of, fmt.milliseconds(took * 1000)
        if self.dialog.is_deleted:
            self._tab.say(self._sent_words())
            return
        for box in (self._blind, self._word, self._reason, self._total):
            box.set_visibility(False)
        self._refusal.set_text("")
        self._follow()
        self._send.set_visibility(False)
        self._cancel.set_text("Close")

    def _follow(self) -> None:
        """Say below the lines what became of all of them: one that failed may be out of sight."""
        if self._took and not self.dialog.is_deleted:
            alone = len(self._lines) == 1 and self._sent  # its own line says it all
            self._status.set_text("" if alone else self._sent_words())

    def _sent_words(self) -> str:
        known = [self._desk.orders.get(order.id) or order for order in self._sent]
        return exit_words.sent_words(known, self._of, self._left, self._took)


def open_exit(host: Element, desk: Desk, tab: Tab, positions: Sequence[Position]) -> None:
    """Open the review of closing these; it lives as long as `host`."""
    with host:
        ExitSheet(desk, tab, positions)


def _title(desk: Desk, positions: Sequence[Position]) -> str:
    if len(positions) > 1:
        return f"Exit {len(positions)} positions"
    key = positions[0].instrument_key
    return f"Exit {order_words.title(desk.catalogue.get(key), key)}"
