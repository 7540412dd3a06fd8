"""A bot on the real library, a desk with the real core, and Telegram's stand-in over real HTTP."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from alerts.bot.bot import Bot
from alerts.bot.guests import Guests
from alerts.bot.polling import Pace
from alerts.bot.wire import Wire, connect
from alerts.pairing import Pairing
from simulator.server import SimulatedExchange
from simulator.telegram_chat import OWNER, TOKEN, Chats, Message
from tests.dashboard.fakes import OPEN_NOW, DeskBroker, Market, make_desk
from tests.dashboard.scripted_watch import ScriptedPeople
from tests.simulator.tiny import TinyMarket
from trading.clock import ManualClock
from trading.desk import Desk
from trading.health import Alert
from trading.health_ports import Person, Role, Watchroom

PANEL = Person(OWNER, OWNER, "owner", "Owner", OPEN_NOW)
QUICK = Pace(poll=1, first=0.05, longest=0.2, refused=0.3, contested=0.1, contested_longest=0.2)


def person(role: Role = "owner", user: int = OWNER, chat: int | None = None) -> Person:
    return Person(user if chat is None else chat, user, role, f"a {role}", OPEN_NOW)


@dataclass
class Rig:
    exchange: SimulatedExchange
    clock: ManualClock
    desk: Desk
    room: Watchroom
    wire: Wire
    guests: Guests
    people: ScriptedPeople
    pairing: Pairing
    bot: Bot
    told: list[Alert] = field(default_factory=list)

    async def phone(self, act: Callable[[Chats], Any]) -> Any:
        return await asyncio.to_thread(self.exchange.phone, act)

    async def say(self, text: str, **more: Any) -> int:
        """Type a text on a phone; return the number of the message."""
        message: Message = await self.phone(lambda chats: chats.say(text, **more))
        return message.number

    async def press(self, message: Message, words: str, *, sender: int = OWNER) -> None:
        """Press the button that says this."""
        found = [key.data for row in message.keys for key in row if words in key.words]
        assert found, f"{words!r} is not below {message.text.plain!r}: {message.keys}"
        await self.press_again(message, found[0], sender=sender)

    async def press_again(self, message: Message, data: str, *, sender: int = OWNER) -> None:
        """Press what is not shown any more, as a phone does that is a moment behind."""
        await self.phone(lambda chats: chats.press(message.number, data, sender=sender))

    def chat(self, chat: int = OWNER) -> list[Message]:
        """Return what the bot wrote into a chat."""
        known = self.exchange.telegram.chats.get(chat)
        return [m for m in known.messages.values() if m.sender.is_bot] if known else []

    async def hears(
        self, true: Callable[[Message], object], *, chat: int = OWNER, within: float = 5.0
    ) -> Message:
        """Wait for a message of the bot; return the newest that is so."""
        found: list[Message] = []

        def heard() -> bool:
            found[:] = [m for m in self.chat(chat) if true(m)]
            return bool(found)

        said = [m.text.plain for m in self.chat(chat)]
        await until(heard, within=within, what=f"a message (there are {said})")
        return found[-1]

    async def asks(self, text: str, **more: Any) -> Message:
        """Type a command and wait for its answer."""
        number = await self.say(text, **more)
        chat = more.get("chat") or more.get("sender") or OWNER
        return await self.hears(lambda m: m.number > number, chat=chat)

    def calls(self, method: str) -> int:
        return sum(asked.method == method for asked in self.exchange.telegram.asked)

    @property
    def broker(self) -> DeskBroker:
        broker = self.desk.accounts.brokers["main"]
        assert isinstance(broker, DeskBroker)
        return broker

    def prices(self, keys: Sequence[str]) -> None:
        self.desk.market_data.publish(Market(self.clock).batch(keys))


async def until(
    true: Callable[[], object], *, within: float = 5.0, what: str | Callable[[], object] = "it"
) -> float:
    began = time.monotonic()
    while not true():
        said = what() if callable(what) else what
        assert time.monotonic() - began < within, f"{said} did not come about"
        await asyncio.sleep(0.005)
    return time.monotonic() - began


@asynccontextmanager
async def talking(
    *,
    people: Sequence[Person] | None = None,
    commands: bool = False,
    exchange: SimulatedExchange | None = None,
    pace: Pace = QUICK,
    token: str = TOKEN,
    start: bool = True,
    wall: Callable[[], datetime] | None = None,
    **desk: Any,
) -> AsyncIterator[Rig]:
    """Run a bot; without `people` on the panel's phone, whose user is the owner."""
    own = SimulatedExchange(TinyMarket()) if exchange is None else None
    exchange = exchange or own
    assert exchange is not None
    if own is not None:
        own.start()
    clock = ManualClock(OPEN_NOW)
    made = make_desk(clock, **desk)
    assert made.watch is not None
    wire = connect(token, exchange.base_url)
    kept = ScriptedPeople(people or ())
    guests = Guests(kept.all, panel=PANEL if people is None else None)
    pairing = Pairing(clock, has_owner=guests.has_owner)
    told: list[Alert] = []

    async def tell(alert: Alert) -> None:
        told.append(alert)

    bot = Bot(
        made,
        made.watch,
        wire,
        guests,
        people=kept,
        pairing=pairing,
        tell=tell,
        commands=commands,
        pace=pace,
        **({"wall": wall} if wall else {}),
    )
    rig = Rig(exchange, clock, made, made.watch, wire, guests, kept, pairing, bot, told)
    try:
        if start:
            bot.start()
        yield rig
    finally:
        await bot.stop()
        await wire.close()
        if own is not None:
            await asyncio.to_thread(own.stop)
