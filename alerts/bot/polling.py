"""Asks Telegram for what people wrote, for ever: the library's own loop dies at the first 401."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from telegram import Update, User
from telegram.error import TelegramError

from alerts.bot.wire import Contested, Wire, in_our_words
from trading.clock import Clock
from trading.errors import RateLimited, Refused, VigilError
from trading.health import ChannelHealth
from trading.signal import Signal

log = logging.getLogger(__name__)

NAME: Final = "telegram commands"
FAREWELL: Final = 1.5  # seconds that a stop waits for
KINDS: Final = ("message", "callback_query")  # what is heard; edits of messages are not


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds. Each wait is doubled with every failure in a row, up to its longest."""

    poll: int = 10  # that one question waits for an answer at Telegram
    first: float = 1.0
    longest: float = 60.0
    refused: float = 600.0  # a wrong token is not asked about more often than that
    contested: float = 30.0
    contested_longest: float = 300.0


@dataclass(frozen=True, slots=True)
class Heard:
    """What came together. `backlog`: it was waiting when the first question was asked."""

    updates: tuple[Update, ...]
    backlog: bool


class Polling:
    """Owns the one question that is open at Telegram, and says how that goes."""

    def __init__(
        self,
        wire: Wire,
        clock: Clock,
        *,
        pace: Pace | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        self.heard: Signal[Heard] = Signal("telegram updates")
        self.me: Signal[User] = Signal("the bot's own name")  # known once Telegram was reached
        self._wire = wire
        self._clock = clock
        self._pace = pace or Pace()
        self._sleep = sleep
        self._task: asyncio.Task[None] | None = None
        self._known = False
        self._offset: int | None = None
        self._failures = 0
        self._state, self._reason = "off", "not started"
        self._last: datetime | None = None
        self._next: datetime | None = None
        self._count = 0

    def start(self) -> None:
        """Begin, without waiting for anything."""
        self._state, self._reason = "waiting", "Telegram has not been reached yet"
        self._offset = None  # what waits there by now is of the time before
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Return within two seconds, whatever the network does."""
        task, self._task = self._task, None
        self._state, self._reason = "off", "stopped"
        if task is not None:
            task.cancel()
            await asyncio.wait([task], timeout=FAREWELL)

    def health(self) -> ChannelHealth:
        """Return how listening goes; sending has a row of its own."""
        return ChannelHealth(
            NAME,
            self._state,
            self._reason,
            sent=self._count,
            last_sent=self._last,
            next_attempt=self._next,
        )

    async def _run(self) -> None:
        while True:
            try:
                await self._ask()
            except TelegramError as error:
                await self._wait(in_our_words(error))
            except Exception:
                log.exception("listening to Telegram failed")
                await self._wait(VigilError("the desk itself failed: see the log"))

    async def _ask(self) -> None:
        if not self._known:
            me = await self._wire.api.get_me()
            self._known = True
            self.me.emit(me)
        backlog = self._offset is None
        updates = await self._wire.api.get_updates(
            offset=self._offset,
            timeout=0 if backlog else self._pace.poll,
            read_timeout=self._pace.poll + 5,
            allowed_updates=KINDS,
        )
        self._failures, self._next = 0, None
        self._state, self._reason = "ok", ""
        self._take(updates, backlog=backlog)

    def _take(self, updates: Sequence[Update], *, backlog: bool) -> None:
        self._offset = updates[-1].update_id + 1 if updates else self._offset or 0
        self._count += len(updates)
        if updates:
            self._last = self._clock.now()
            self.heard.emit(Heard(tuple(updates), backlog))

    async def _wait(self, trouble: VigilError) -> None:
        delay = self._delay(trouble)
        state = self._state_in(trouble, delay)
        if (state, str(trouble)) != (self._state, self._reason):
            log.warning("Telegram commands: %s", trouble)
        self._state, self._reason = state, str(trouble)
        self._failures += 1
        self._next = self._clock.now() + timedelta(seconds=delay)
        await self._sleep(delay)

    def _state_in(self, trouble: VigilError, delay: float) -> str:
        """Call it down only where nothing changes by itself, or hardly: networks come and go."""
        if isinstance(trouble, Contested):
            return "contested"
        lasts = isinstance(trouble, Refused) or delay >= self._pace.longest
        return "down" if lasts else "waiting"

    def _delay(self, trouble: VigilError) -> float:
        pace, doubled = self._pace, 2.0 ** min(self._failures, 10)
        match trouble:
            case RateLimited():
                return trouble.retry_after
            case Refused():
                return pace.refused
            case Contested():
                return min(pace.contested_longest, pace.contested * doubled)
            case _:
                return min(pace.longest, pace.first * doubled)
