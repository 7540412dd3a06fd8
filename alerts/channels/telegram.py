"""Alerts on the phone: HTML that nothing in the data can break, edited when a matter goes on."""

import logging
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from telegram import InlineKeyboardMarkup
from telegram.constants import ParseMode
from telegram.error import BadRequest as BadRequestError
from telegram.error import TelegramError

from alerts import words
from alerts.bot.keys import keyboard
from alerts.bot.markup import Text, messages
from alerts.bot.wire import UNCHANGED, Wire, in_our_words
from trading.errors import BadRequest, RateLimited, Refused, Retryable, Unanswered, VigilError
from trading.health import Alert, Button, Occasion, Severity
from trading.health_ports import Letter, Person
from trading.signal import Signal

log = logging.getLogger(__name__)

IN_A_ROW: Final = 3  # buttons
UNDER_WAY: Final = 100  # letters whose progress is remembered


@dataclass(frozen=True, slots=True)
class TelegramWay:
    """The way to the Bot API, None where there is none, and who is let in (`Guests.all`)."""

    wire: Wire | None
    people: Callable[[], Sequence[Person]]
    every: float = 1.0  # seconds between two letters: Telegram's limit of a chat


def create(settings: TelegramWay) -> "TelegramChannel | None":
    if settings.wire is None:
        return None
    return TelegramChannel(settings.wire, settings.people, every=settings.every)


@dataclass(slots=True)
class _Progress:
    """The messages of a letter that have arrived in a chat, so that no attempt repeats them.

    `unsure`: the last attempt was not answered, so it may have arrived as well.
    """

    arrived: list[int] = field(default_factory=list)
    done: bool = False
    unsure: bool = False


class TelegramChannel:
    """Implements `health_ports.Channel` for everybody who is let in."""

    name = "telegram"
    edits = True

    def __init__(
        self, wire: Wire, people: Callable[[], Sequence[Person]], *, every: float = 1.0
    ) -> None:
        self.every = every
        self.delivered: Signal[None] = Signal("telegram delivered")
        self._wire = wire
        self._people = people
        self._progress: OrderedDict[int, dict[int, _Progress]] = OrderedDict()

    async def send(self, letter: Letter) -> str:
        """Send to every chat once; the reference names each chat's message."""
        people = self._people()
        if not people:
            raise Refused(
                "nobody has paired a phone yet: open the Alerts page, or set [telegram] owners"
            )
        owners = {person.chat for person in people if person.role == "owner"}
        progress = self._begun(letter.number)
        troubles: list[VigilError] = []
        for chat in dict.fromkeys(person.chat for person in people):
            place = progress.setdefault(chat, _Progress())
            if place.done:
                continue
            try:
                if place.unsure:
                    await self._answers()
                await self._send_to(chat, letter, place, keys=chat in owners)
            except VigilError as error:
                place.unsure |= isinstance(error, Unanswered)
                troubles.append(error)
                if isinstance(error, RateLimited):
                    break
        return self._told(letter, progress, troubles)

    async def close(self) -> None:
        """The wire is closed by whoever made it: the bot listens on it."""

    async def _answers(self) -> None:
        """Raise Retryable while Telegram answers nothing at all.

        What may have arrived is sent once more at most, and an outage must not use that up.
        """
        try:
            await self._wire.api.get_me()
        except TelegramError as error:
            trouble = in_our_words(error)
            if isinstance(trouble, Unanswered):
                trouble = Retryable(str(trouble))
            raise trouble from error

    def _begun(self, number: int) -> dict[int, _Progress]:
        while len(self._progress) >= UNDER_WAY and number not in self._progress:
            self._progress.popitem(last=False)
        return self._progress.setdefault(number, {})

    def _told(
        self, letter: Letter, progress: dict[int, _Progress], troubles: Sequence[VigilError]
    ) -> str:
        """Return where it stands; raise what is worth another attempt, or what nobody got."""
        passing = [e for e in troubles if not isinstance(e, Refused | BadRequest)]
        sent = {chat: place.arrived for chat, place in progress.items() if place.done}
        if passing or not sent:
            raise (passing or troubles)[0]
        for trouble in troubles:
            log.warning("%s did not reach one of the chats: %s", letter.alert.name, trouble)
        del self._progress[letter.number]
        self.delivered.emit(None)
        return reference(sent)

    async def _send_to(self, chat: int, letter: Letter, place: _Progress, *, keys: bool) -> None:
        alert = letter.alert
        title, lines = headline(alert), (Text((*alert.lines, footer(alert))),)
        marks = keyboard(in_rows(buttons_of(alert))) if keys else None
        try:
            before = read_reference(letter.edits).get(chat, ())
            parts = messages(title, lines)
            if len(parts) > 1 or not await self._edit(chat, before, parts[0], marks, place):
                await self._write(chat, letter, parts, marks, place, mode=ParseMode.HTML)
        except BadRequestError:  # whatever is wrong with the markup, the words must arrive
            place.arrived.clear()
            await self._plainly(chat, letter, messages(title, lines, markup=False), marks, place)
        except TelegramError as error:
            raise in_our_words(error) from error
        place.done = True

    async def _plainly(
        self,
        chat: int,
        letter: Letter,
        parts: Sequence[str],
        marks: InlineKeyboardMarkup | None,
        place: _Progress,
    ) -> None:
        try:
            await self._write(chat, letter, parts, marks, place, mode=None)
        except TelegramError as error:
            raise in_our_words(error) from error

    async def _write(
        self,
        chat: int,
        letter: Letter,
        parts: Sequence[str],
        marks: InlineKeyboardMarkup | None,
        place: _Progress,
        *,
        mode: ParseMode | None,
    ) -> None:
        """Send the parts that have not arrived yet; the buttons are below the last."""
        for number in range(len(place.arrived), len(parts)):
            message = await self._wire.api.send_message(
                chat,
                parts[number],
                parse_mode=mode,
                disable_notification=letter.silent,
                reply_markup=marks if number == len(parts) - 1 else None,
            )
            place.arrived.append(message.message_id)

    async def _edit(
        self,
        chat: int,
        before: Sequence[int],
        text: str,
        marks: InlineKeyboardMarkup | None,
        place: _Progress,
    ) -> bool:
        """Return whether the message before says it now; it may be too old to, or be gone."""
        if not before:
            return False
        try:
            await self._wire.api.edit_message_text(
                text,
                chat_id=chat,
                message_id=before[0],
                parse_mode=ParseMode.HTML,
                reply_markup=marks,
            )
        except BadRequestError as error:
            if UNCHANGED not in str(error):
                return False
        place.arrived[:] = before
        return True


def headline(alert: Alert) -> str:
    """Return the first line: whose world, how grave, what, how often."""
    return f"{words.headline(alert)}{words.times(alert)}"


def footer(alert: Alert) -> str:
    """Return the last line: the number to acknowledge it by, and when it was."""
    at = f"{words.clock(alert.at)} IST"
    return f"{alert.name} · {at}" if alert.id else at


def buttons_of(alert: Alert) -> tuple[Button, ...]:
    """Return what may be pressed below it: its own, else what its kind suggests."""
    if alert.buttons:
        return alert.buttons
    if alert.kind in ("order", "position"):
        return (Button("Orders", "orders"), Button("Positions", "pos"))
    if alert.severity is Severity.INFO or alert.occasion is Occasion.END or not alert.id:
        return ()
    return (Button("Ack", f"ack {alert.name}"), Button("Mute 1h", f"mute 1h {alert.key}"))


def in_rows(buttons: Sequence[Button]) -> list[Sequence[Button]]:
    return [buttons[n : n + IN_A_ROW] for n in range(0, len(buttons), IN_A_ROW)]


def reference(sent: dict[int, list[int]]) -> str:
    """Return where a letter stands: `1001:17 -200300:18+19`."""
    return " ".join(f"{chat}:{'+'.join(map(str, numbers))}" for chat, numbers in sent.items())


def read_reference(said: str) -> dict[int, tuple[int, ...]]:
    found = {}
    for place in said.split():
        chat, _, numbers = place.partition(":")
        found[int(chat)] = tuple(map(int, numbers.split("+")))
    return found
