"""The simulated phone: the chat with the bot exactly as it was sent, and its keyboard."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from nicegui import ui
from nicegui.element import Element
from nicegui.elements.mixins.text_element import TextElement
from nicegui.events import GenericEventArguments

from dashboard import format as fmt
from dashboard.hold import Undo
from trading import chat
from trading.chat import Run
from trading.clock import Clock
from trading.errors import VigilError
from trading.health_ports import ChatMessage, Phone

SHOWN: Final = 80  # the newest messages
IMAGE: Final = "data:image/"
KEYBOARD: Final = (
    ("/status", "/pos", "/pnl"),
    ("/health", "/incidents", "/orders"),
    ("/ack", "/mute 1h", "/help"),
)
# The browser takes the text out of the box: an answer that emptied it later took away what was
# typed meanwhile.
TAKE: Final = """(event) => {
    const box = event.target.closest(".v-phone-type").querySelector("input");
    if (event.isComposing || !box.value.trim()) return;
    emit(box.value);
    box.value = "";
}"""
EMPTY: Final = "Nothing was said yet. Press /status, or type /help."


class PhonePanel:
    """What is typed and pressed here goes the way of a real phone; what comes is only text."""

    def __init__(self, phone: Phone, clock: Clock, say: Callable[[str], None]) -> None:
        self._phone, self._clock, self._say = phone, clock, say
        self._bubbles: dict[int, tuple[ChatMessage, Element]] = {}
        with ui.element("section").classes("v-panel v-phone-panel") as panel:
            panel.props('aria-label="simulated phone"')
            Undo(phone.changes.subscribe(lambda _: self._show()))
            with ui.element("div").classes("v-phone-head"):
                ui.label("Phone").classes("v-title")
                ui.label("SIMULATED PHONE").classes("v-mode simulated v-phone-mode")
            # upside down, so that the browser keeps the newest in sight, or the place read at
            with ui.element("div").classes("v-chat") as scrolled:
                scrolled.props('tabindex="0" role="log"').mark("chat")
                self._body = ui.element("div").classes("v-chat-body")
                self._empty = ui.label(EMPTY).classes("v-empty")
            self._keyboard()
        self._show()

    def _keyboard(self) -> None:
        with ui.element("div").classes("v-phone-keys"):
            for row in KEYBOARD:
                with ui.element("div").classes("v-phone-row"):
                    for command in row:
                        key = ui.button(command, color=None).props("flat no-caps dense")
                        key.on_click(lambda c=command: self._send(c)).mark(f"key {command}")
        with ui.element("div").classes("v-phone-type"):
            box = ui.element("input").mark("phone-text")
            box.props('placeholder="Message" aria-label="Message" autocomplete="off"')
            box.props('maxlength="4096"').on("keydown.enter", self._typed, js_handler=TAKE)
            send = ui.button(icon="send", color=None).mark("phone-send")
            send.props('flat dense aria-label="Send"').on("click", self._typed, js_handler=TAKE)

    async def _typed(self, event: GenericEventArguments) -> None:
        await self._send(str(event.args).strip())

    async def _send(self, text: str) -> None:
        await self._tried(self._phone.say(text), "Not sent")

    async def _press(self, number: int, data: str) -> None:
        await self._tried(self._phone.press(number, data), "Not pressed")

    async def _tried(self, act: Awaitable[None], failed: str) -> None:
        try:
            await act
        except VigilError as error:
            self._say(f"{failed}: {error}")

    # the chat

    def _show(self) -> None:
        messages = self._phone.messages()[-SHOWN:]
        known = {message.number for message in messages}
        for gone in self._bubbles.keys() - known:
            self._bubbles.pop(gone)[1].delete()
        for message in messages:
            self._draw(message)
        self._empty.set_visibility(not messages)

    def _draw(self, message: ChatMessage) -> None:
        told, bubble = self._bubbles.get(message.number, (None, None))
        if told == message:
            return
        if bubble is None:
            with self._body:
                bubble = ui.element("div").classes("v-bubble-row").mark("bubble")
            bubble._props["data-mine"] = str(not message.from_bot).lower()
        self._bubbles[message.number] = (message, bubble)
        bubble.clear()
        with bubble:
            self._fill(message)

    def _fill(self, message: ChatMessage) -> None:
        with ui.element("div").classes("v-bubble"):
            if message.picture.startswith(IMAGE):
                image = ui.element("img").classes("v-bubble-picture").mark("bubble-picture")
                image._props["src"] = message.picture
                image._props["alt"] = chat.words(message.text)
            with ui.element("div").classes("v-bubble-text").mark("bubble-text"):
                draw_runs(chat.runs(message.text))
            edited = "edited " if message.edited else ""
            at = fmt.moment(message.at, self._clock.now())
            ui.label(f"{edited}{at}").classes("n v-bubble-time").mark("bubble-time")
        for row in message.buttons:
            with ui.element("div").classes("v-phone-row"):
                for words, data in row:
                    button = ui.button(words, color=None).props("no-caps dense unelevated")
                    button.on_click(lambda d=data: self._press(message.number, d))
                    button.mark("bubble-button")


def draw_runs(runs: Sequence[Run]) -> None:
    """Draw styled text as text; a link shows where it leads and opens nothing of ours."""
    for run in runs:
        if run.link:
            piece = TextElement(tag="a", text=run.text)
            piece._props |= {"href": run.link, "target": "_blank", "rel": "noreferrer noopener"}
            piece._props["title"] = run.link
        else:
            piece = TextElement(tag="span", text=run.text)
        styles = ("bold", "italic", "underline", "strike", "code")
        piece.classes(" ".join(f"r-{style}" for style in styles if getattr(run, style)))
