"""The bot: hears what people write and press, and answers those who may speak to it."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from telegram import BotCommand, BotCommandScopeChat, CallbackQuery, Message, Update
from telegram import User as TelegramUser
from telegram.error import TelegramError

from alerts import words
from alerts.bot import parsing
from alerts.bot.answer import Answer
from alerts.bot.asked import Asked, Command
from alerts.bot.commands import load
from alerts.bot.guests import Guests, may
from alerts.bot.markup import text
from alerts.bot.polling import Heard, Pace, Polling
from alerts.bot.questions import NO, YES, Questions
from alerts.bot.replies import Replies
from alerts.bot.strangers import Strangers
from alerts.bot.wire import Wire, in_our_words
from alerts.pairing import Pairing, code_in
from alerts.pictures import Pictures
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Alert, ChannelHealth, Component, Occasion, Severity
from trading.health_ports import People, Person, Watchroom
from trading.signal import Signal

log = logging.getLogger(__name__)

OLD: Final = timedelta(seconds=30)
MOST: Final = 20  # updates that are dealt with at a time
FAREWELL: Final = 1.0  # seconds that a stop waits for answers under way
NO_ORDERS: Final = (
    "Commands that send or cancel orders are off on this phone: set [telegram] commands = true "
    "on the laptop. Nothing was sent."
)


class Bot:
    """Owns the conversation with everybody who is let in; sends no order by itself."""

    def __init__(
        self,
        desk: Desk,
        room: Watchroom,
        wire: Wire,
        guests: Guests,
        *,
        people: People,
        pairing: Pairing,
        tell: Callable[[Alert], Awaitable[object]],
        commands: bool = False,
        pace: Pace | None = None,
        wall: Callable[[], datetime] = lambda: datetime.now(UTC),
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        """`tell` takes an alert about a stranger, or about who came in; `commands` allows those
        that send orders; `wall` is Telegram's time, which need not be the desk's.
        """
        self.came_in: Signal[Person] = Signal("people")  # by a code or by /start
        self._desk, self._room, self._wire = desk, room, wire
        self._guests, self._people, self._pairing = guests, people, pairing
        self._tell = tell
        self._no_orders = "" if commands or guests.panel is not None else NO_ORDERS
        self._wall = wall
        self._began = wall()
        self._commands = load()
        self._questions = Questions(desk.clock)
        self._strangers = Strangers()
        self._pictures = Pictures(desk.clock)
        self._replies = Replies(wire, desk.world, sleep=sleep)
        self._name = ""
        self._tasks: set[asyncio.Task[None]] = set()
        self._turn = asyncio.Lock()  # of what was confirmed: the next is judged by what it left
        self._polling = Polling(wire, desk.clock, pace=pace, sleep=sleep)
        self._polling.heard.subscribe(self._on_heard)
        self._polling.me.subscribe(self._on_me)

    def start(self) -> None:
        """Begin to listen, without waiting for the network."""
        self._began = self._wall()
        self._polling.start()

    async def stop(self) -> None:
        """Return within two seconds; the wire is closed by whoever made it."""
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=FAREWELL)
        await self._polling.stop()

    def health(self) -> ChannelHealth:
        return self._polling.health()

    async def round_trip(self) -> str:
        """Ask Telegram who the bot is and return its name; raise VigilError if it does not say."""
        try:
            me = await self._wire.api.get_me()
        except TelegramError as error:
            raise in_our_words(error) from error
        return f"@{me.username}" if me.username else me.full_name

    # what is heard

    def _on_me(self, me: TelegramUser) -> None:
        self._name = me.username or ""
        self._spawn(self._show_menus())

    def _on_heard(self, heard: Heard) -> None:
        late: set[tuple[int, int]] = set()
        for update in heard.updates:
            if update.message is not None:
                self._on_message(update.message, late)
            elif update.callback_query is not None:
                self._on_press(update, backlog=heard.backlog)

    def _on_message(self, message: Message, late: set[tuple[int, int]]) -> None:
        """Deal with one message; of several that are too old, one chat is told once."""
        user = message.from_user
        if user is None:
            return
        person = self._guests.find(message.chat_id, user.id)
        if person is None:
            self._on_stranger(message.chat_id, user, message.text or "")
            return
        if self._is_old(message):
            if (person.chat, person.user) not in late:
                late.add((person.chat, person.user))
                self._spawn(self._say_old(person, message))
            return
        if message.forward_origin is not None or message.via_bot is not None:
            what = "Forwarded messages are not obeyed: type it yourself."
            self._spawn(self._replies.send(person.chat, Answer("NOT DONE", (text(what),))))
            return
        typed = parsing.typed(message.text or "", self._name)
        if typed is None:
            return
        if typed.name == "start":
            self.came_in.emit(person)
        self._spawn(self._answer(person, typed))

    def _is_old(self, message: Message) -> bool:
        """Return whether it was written before we listened, or too long ago."""
        # Telegram's stamps are whole seconds
        return message.date < self._began.replace(microsecond=0) or (
            self._wall() - message.date > OLD
        )

    async def _say_old(self, person: Person, message: Message) -> None:
        age = words.duration((self._wall() - message.date).total_seconds())
        lines = (f"Too old ({age}): nothing was done. Send again what still holds.",)
        await self._replies.send(person.chat, Answer("NOT DONE", (text(*lines),)))

    def _on_press(self, update: Update, *, backlog: bool) -> None:
        press = update.callback_query
        message = press.message if press else None
        if press is None or message is None:
            return
        person = self._guests.find(message.chat.id, press.from_user.id)
        if person is None:
            self._on_stranger(message.chat.id, press.from_user, "")
        elif backlog:
            self._spawn(self._replies.notice(press.id, "Too old: nothing was done, press again."))
        else:
            self._spawn(self._pressed(person, press, message.message_id))

    # strangers, and new people

    def _on_stranger(self, chat: int, user: TelegramUser, said: str) -> None:
        """Say nothing; let somebody in who has the code, tell the owner of everybody else.

        What needs no work is over at once: a crowd must not take the turns of those who are in.
        """
        code, desk = code_in(said), self._desk
        person = None
        if code:
            now = desk.clock.now()
            person = self._pairing.try_code(code, chat, user.id, _shown(user), now)
        if person is not None:
            self._spawn(self._let_in(person))
        elif self._strangers.is_news(user.id, desk.clock.monotonic()):
            self._spawn(self._tell_of(chat, user))

    async def _tell_of(self, chat: int, user: TelegramUser) -> None:
        where = "in a private chat" if chat == user.id else f"in chat {chat}"
        await self._told(
            f"A stranger spoke to the bot: {_shown(user)}",
            (f"{where}; no answer was given and nothing was done",
             "If it is you on a new phone, pair it with a code on the Alerts page"),
            f"stranger {user.id}",
        )  # fmt: skip

    async def _let_in(self, person: Person) -> None:
        try:
            await self._people.add(person)
        except VigilError as error:
            lines = (f"The code was right, but you could not be written down: {error}",)
            await self._replies.send(person.chat, Answer("NOT PAIRED", (text(*lines),)))
            return
        self.came_in.emit(person)
        await self._menu(person)
        await self._answer(person, parsing.Typed("start"))
        title = f"{person.name} came in as {person.role}"
        await self._told(title, ("by the code of the Alerts page",), f"paired {person.user}")

    async def _told(self, title: str, lines: tuple[str, ...], key: str) -> None:
        world = self._desk.world
        now = self._desk.clock.now()
        alert = Alert(
            key, Component.PHONE, Occasion.EVENT, Severity.WARNING, now, title, lines,
            "/alerts", world.word, world.is_mock, kind="stranger",
        )  # fmt: skip
        await self._tell(alert)

    # answers

    async def _answer(self, person: Person, typed: parsing.Typed) -> None:
        await self._replies.send(person.chat, await self._run(person, typed))

    async def _run(self, person: Person, typed: parsing.Typed) -> Answer:
        command = self._commands.get(typed.name)
        if command is None:
            return self._unknown(person, typed.name)
        if not may(person, watcher=command.watcher):
            what = f"/{command.name} is for the owner: you may read. Nothing was done."
            return Answer("NOT DONE", (text(what),))
        try:
            return await command.run(self._asked(person, command, typed))
        except VigilError as error:
            return Answer(f"/{command.name}: NOT DONE", (text(str(error)),))
        except Exception:
            log.exception("a command of the phone failed")
            what = "The desk itself failed on this: look at the page before you do it again."
            return Answer(f"/{command.name}: FAILED", (text(what),))

    def _asked(self, person: Person, command: Command, typed: parsing.Typed) -> Asked:
        return Asked(
            desk=self._desk,
            room=self._room,
            person=person,
            words=typed.words,
            questions=self._questions,
            closing=self._desk.closing,
            pictures=self._pictures,
            no_orders=self._no_orders,
            known=self._commands,
        )

    def _unknown(self, person: Person, name: str) -> Answer:
        mine = [c.name for c in self._commands.values() if may(person, watcher=c.watcher)]
        near = parsing.nearest(name, mine)
        what = f"There is no /{name[:32]}. "
        return Answer("NOT DONE", (text(what + (f"Did you mean /{near}?" if near else "/help")),))

    # buttons

    async def _pressed(self, person: Person, press: CallbackQuery, number: int) -> None:
        data = press.data or ""
        name, _, token = data.partition(" ")
        if name in (YES, NO):
            await self._decided(person, press.id, number, name, token)
            return
        edits = data.startswith(".")
        typed = parsing.typed(f"/{data.removeprefix('.')}")
        if typed is None:
            await self._replies.notice(press.id, "This button is of another version: type it.")
            return
        command = self._commands.get(typed.name)
        if command is not None and command.notice:
            await self._replies.notice_of(press.id, await self._run(person, typed))
            return
        await self._replies.notice(press.id, "")
        answer = await self._run(person, typed)
        if edits:
            await self._replies.edit(person.chat, number, answer)
        else:
            await self._replies.send(person.chat, answer)

    async def _decided(
        self, person: Person, press: str, number: int, said: str, token: str
    ) -> None:
        """Do what was confirmed, once; the message of the question becomes the receipt."""
        async with self._turn:
            await self._decide(person, press, number, said, token)

    async def _decide(self, person: Person, press: str, number: int, said: str, token: str) -> None:
        taken = self._questions.take(token, said, person.chat, person.user)
        if isinstance(taken, str):
            await self._replies.notice(press, taken)
            if not taken.startswith("already"):
                await self._replies.edit(person.chat, number, Answer("NOT DONE", (text(taken),)))
            return
        under_way = Answer(f"{taken.about.upper()} …", (text("Under way."),))
        telling = asyncio.gather(
            self._replies.notice(press, "Under way"),
            self._replies.edit(person.chat, number, under_way),
        )
        answer = await self._act(taken.act, token)  # not a moment later because of a slow network
        await telling
        if not await self._replies.edit(person.chat, number, answer):
            await self._replies.send(person.chat, answer)

    async def _act(self, act: Callable[[str], Awaitable[Answer]], token: str) -> Answer:
        try:
            return await act(token)
        except VigilError as error:
            return Answer("NOT DONE", (text(str(error)),))
        except Exception:
            log.exception("what was confirmed on the phone failed")
            what = "The desk itself failed: look at Orders and Positions before anything else."
            return Answer("FAILED", (text(what),))

    # menus

    async def _show_menus(self) -> None:
        for person in self._guests.all():
            await self._menu(person)

    async def _menu(self, person: Person) -> None:
        """Show the commands in this chat only, so that strangers see none."""
        mine = [c for c in self._commands.values() if may(person, watcher=c.watcher)]
        rows = [BotCommand(command.name, command.does) for command in mine]
        try:
            await self._wire.api.set_my_commands(rows, scope=BotCommandScopeChat(person.chat))
        except TelegramError as error:
            log.warning("the menu of a chat was not set: %s", in_our_words(error))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= MOST:
            work.close()
            log.warning("too many messages at a time: one was left out")
            return
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("a message of the phone was not dealt with", exc_info=error)


def _shown(user: TelegramUser) -> str:
    """Return a foreign name so that it can neither pretend nor fill the screen, with its number."""
    name = parsing.clean(user.full_name or "")[:24].strip()
    return f"{name} (user {user.id})" if name else f"user {user.id}"
