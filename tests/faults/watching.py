"""A desk at work with its watch at a tenth of its times, and what that says to whom."""

import asyncio
import re
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from alerts.states import Change
from alerts.telling import Draft
from main import Vigil, Watchers
from settings import Quiet, Settings, Watch
from simulator.server import SimulatedExchange
from simulator.telegram_chat import OWNER, Asked, Delivered, Message
from tests.faults.scene import Scene
from tests.rig import settings as settings_of
from trading.health import Alert, ChannelHealth, Check, Component, Incident, Occasion, Severity

# faults.md C0: times at a tenth. Looks stay a second apart: the feed's own news makes them sooner.
# How late the loop is may depend on what else this machine does: only H05 judges that.
SHORT = Watch(
    loop_lag_ms=10_000.0,
    feed_silent=1.5,
    position_stale=0.5,
    position_blind=3.0,
    storage_lag=2.0,
    order_unanswered=0.5,
    undelivered=3.0,
    seconds_to_down=3.0,
    recovery_seconds=3.0,
)
ALWAYS = Quiet(hours="", holidays=False)  # tests run at night, too
ON_THE_PHONE = 1.0  # seconds from the finding to the message


class Watched(Scene):
    """A scene whose watch keeps a diary: changes with their moments, alerts as shown and stored."""

    def __init__(self, vigil: Vigil, exchange: SimulatedExchange | None = None) -> None:
        super().__init__(vigil, exchange)
        self.found: list[tuple[float, Change]] = []  # monotonic
        self.shown_alerts: list[Alert] = []
        self.alerts: list[Alert] = []  # stored ones
        watchers = self.watchers
        watchers.monitor.found.subscribe(lambda c: self.found.append((time.monotonic(), c)))
        watchers.teller.alerts.subscribe(self.shown_alerts.append)
        watchers.teller.stored.subscribe(self.alerts.append)

    @property
    def watchers(self) -> Watchers:
        return self.vigil.watchers

    # what the watch says

    def of(self, key: str) -> list[Alert]:
        return [alert for alert in self.alerts if alert.key == key]

    def occasions(self, key: str) -> list[Occasion]:
        return [alert.occasion for alert in self.of(key)]

    async def alert(self, key: str, occasion: Occasion, *, within: float = 5.0) -> Alert:
        """Wait for the first alert of this matter and occasion to be stored."""

        def found() -> list[Alert]:
            return [alert for alert in self.of(key) if alert.occasion is occasion]

        await self.until(
            lambda: bool(found()), within=within, what=f"{occasion} of {key} ({self.titles})"
        )
        return found()[0]

    @property
    def titles(self) -> list[str]:
        return [alert.title for alert in self.alerts]

    def seen_at(self, key: str) -> float:
        """Return when the monitor first saw this (monotonic)."""
        return next(at for at, change in self.found if change.key == key)

    def changed_at(self, key: str, occasion: Occasion) -> float:
        return next(at for at, c in self.found if (c.key, c.occasion) == (key, occasion))

    @property
    def wrong(self) -> set[str]:
        """Return the keys of what is found right now."""
        return {finding.key for finding in self.watchers.monitor.findings()}

    def input(self, name: str) -> Check:
        return next(check for check in self.watchers.watch.inputs() if check.name == name)

    async def incident(self, key: str, *, within: float = 5.0) -> Incident:
        """Wait until the disk has the incident of this key with its end; return the last one."""
        found: list[Incident] = []

        async def over() -> bool:
            since = self.desk.started
            kept = await self.watchers.journal.incidents(since=since)
            found[:] = [i for i in kept if i.key == key and i.ended is not None]
            return bool(found)

        deadline = time.monotonic() + within
        while not await over():
            assert time.monotonic() < deadline, f"no incident of {key} has ended: {self.titles}"
        return max(found, key=lambda incident: incident.began)

    # the phone

    def chat(self, chat: int = OWNER) -> list[Message]:
        """Return what the bot wrote into a chat and stands there."""
        known = self.exchange.telegram.chats.get(chat)
        return [m for m in known.messages.values() if m.sender.is_bot] if known else []

    def delivered(self, words: str = "") -> list[Delivered]:
        """Return what came to the phone, edits too, with these words in it."""
        return [each for each in self.exchange.telegram.delivered if words in each.text]

    async def on_the_phone(self, words: str, *, within: float = 5.0) -> Delivered:
        await self.until(
            lambda: bool(self.delivered(words)),
            within=within,
            what=f"{words!r} on the phone ({[m.text for m in self.delivered()]})",
        )
        return self.delivered(words)[0]

    def sounds(self, since: float = 0.0) -> list[Delivered]:
        """Return the messages of their own that came since then (monotonic); edits make none."""
        return [d for d in self.delivered() if d.at >= since and d.what == "sendMessage"]

    def calls(self, method: str) -> list[Asked]:
        """Return the calls of this method of the Bot API."""
        return [asked for asked in self.exchange.telegram.asked if asked.method == method]

    async def say(self, text: str, **more: Any) -> int:
        """Type a text on a phone; return the number of the message."""
        message = await asyncio.to_thread(
            self.exchange.phone, lambda chats: chats.say(text, **more)
        )
        return int(message.number)

    async def press(self, message: Message, words: str, *, sender: int = OWNER) -> None:
        """Press the button that says this, as a phone does that may be a moment behind."""
        data = next(key.data for row in message.keys for key in row if words in key.words)
        await self.press_again(message, data, sender=sender)

    async def press_again(self, message: Message, data: str, *, sender: int = OWNER) -> None:
        await asyncio.to_thread(
            self.exchange.phone, lambda chats: chats.press(message.number, data, sender=sender)
        )

    async def asks(self, text: str, **more: Any) -> Message:
        """Type a command and wait for the answer."""
        number = await self.say(text, **more)
        await self.until(
            lambda: any(m.number > number for m in self.chat()), within=5, what=f"answer to {text}"
        )
        return next(m for m in self.chat() if m.number > number)

    @property
    def telegram(self) -> ChannelHealth:
        return next(c for c in self.watchers.dispatcher.health() if c.name == "telegram")

    def letters(self) -> list[tuple[str, str, str, str]]:
        """Return state, title, severity and error of each letter, in their order."""
        return [
            (str(state), str(title), str(severity), str(error))
            for state, title, severity, error in self.rows(
                "SELECT state, title, severity, error FROM letters JOIN alerts"
                " ON alerts.number = letters.alert ORDER BY letters.number"
            )
        ]

    async def tell(
        self,
        title: str,
        severity: Severity = Severity.WARNING,
        *,
        key: str = "",
        lines: Sequence[str] = (),
        occasion: Occasion = Occasion.BEGIN,
    ) -> Alert:
        """Have something told as every part of the desk tells it; return it as stored."""
        alert = Alert(
            key or title, Component.BOOKS, occasion, severity, self.desk.clock.now(), title,
            tuple(lines), "/status", self.desk.world.word, is_mock=True,
        )  # fmt: skip
        (stored,) = await self.watchers.teller.tell([Draft(alert)])
        return stored

    async def quiet(self, seconds: float = 1.2, *, within: float = 20.0) -> None:
        """Wait until nothing has come to the phone, and nothing waits, for so long."""
        health = self.watchers.dispatcher.health

        def still() -> bool:
            last = max((d.at for d in self.delivered()), default=0.0)
            waits = any(each.queued for each in health())
            return time.monotonic() - last >= seconds and not waits

        await self.until(still, within=within, what="silence on the phone")


def names(messages: Sequence[Delivered]) -> list[str]:
    """Return the numbers of the alerts ("A17") that these messages tell of."""
    return [found for m in messages for found in re.findall(r"^(A\d+) · ", m.text, re.MULTILINE)]


def watch_settings(
    folder: Path, *, watch: Watch = SHORT, quiet: Quiet = ALWAYS, more: Any = None, **rest: Any
) -> Settings:
    changes = {"watch": watch, "quiet": quiet, **(more or {})}
    return settings_of(folder, **rest).model_copy(update=changes)


@asynccontextmanager
async def watched(
    folder: Path,
    *,
    prepare: Callable[[SimulatedExchange], None] = lambda _: None,
    fit: Callable[[Vigil], None] = lambda _: None,
    settings: Settings | None = None,
    exchange: SimulatedExchange | None = None,
    watching: int = 8,
    at_work: bool = True,
    **rest: Any,
) -> AsyncIterator[Watched]:
    """Start a desk and wait until prices come and the phone is reached; stop it at the end.

    `prepare` gets the exchange, and `fit` the desk, before it is started. `rest` is for
    `watch_settings`; with `settings` those are taken as they are.
    """
    vigil = Vigil(settings or watch_settings(folder, **rest))
    try:
        desk = Watched(vigil, exchange)
        desk.exchange.ledger.keep_rows()
        prepare(desk.exchange)
        fit(vigil)
        await vigil.start()
        if watching:
            await desk.watch(desk.tradable(watching))
        if at_work:
            await desk.at_work()
            await settled(desk)
        yield desk
    finally:
        await vigil.shutdown()


async def settled(desk: Watched) -> None:
    """Wait until nothing is found any more that belongs to the start."""
    await desk.until(
        lambda: not desk.wrong and desk.watchers.monitor.looks > 1, within=10, what="all well"
    )
    desk.found.clear()
