"""The disk at the other end of the ports: a plain AlertJournal, and one of minutes, in memory."""

import asyncio
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime

from trading.errors import VigilError
from trading.health import Alert, Incident, Minute, Severity, Uptimes
from trading.health_ports import Letter, LetterState, News, OrderNews
from trading.order import Order, Step


class ScriptedJournal:
    """Implements `trading.health_ports.AlertJournal` in memory; it outlives the desks of a test.

    `refuses` is raised by every write, as a full disk does, while reads go on; `error` by what
    pages read. `writes` counts what was committed, `reads` what pages read; `told` keeps every
    alert in the order of its commit.
    """

    def __init__(self) -> None:
        self.refuses: VigilError | None = None
        self.error: VigilError | None = None
        self.gate: asyncio.Event | None = None  # holds the answers of reads until it is set
        self.writes = 0
        self.reads = 0
        self.told: list[Alert] = []
        self.kept: dict[int, Incident] = {}
        self.mail: dict[int, Letter] = {}
        self.muted: dict[str, datetime] = {}
        self.waits: list[OrderNews] = []
        self._news = 0

    # what a test puts in, and looks up

    def moved(self, order: Order, step: Step, before: Step | None = None) -> OrderNews:
        """Let a step of an order be committed, as the order's own journal does."""
        self._news += 1
        news = OrderNews(self._news, order, step, before)
        self.waits = [replace(n, order=order) if n.order.id == order.id else n for n in self.waits]
        self.waits.append(news)
        return news

    def add_alert(self, news: News) -> Alert:
        """Let an alert be there with its letters; return it with its number."""
        alert = replace(news.alert, id=len(self.told) + 1)
        if news.incident is not None:
            alert = replace(alert, incident=self.add_incident(news.incident).number)
        self.told.append(alert)
        for post in news.posts:
            number = len(self.mail) + 1
            self.mail[number] = Letter(
                number, post.channel, alert, post.not_before, post.silent, LetterState.QUEUED
            )
        return alert

    def add_incident(self, incident: Incident) -> Incident:
        incident = replace(incident, number=incident.number or len(self.kept) + 1)
        self.kept[incident.number] = incident
        return incident

    def nobody_acknowledged(self) -> list[Alert]:
        return [a for a in self.told if a.severity >= Severity.WARNING and a.acknowledged is None]

    def post(self, channel: str) -> list[Letter]:
        """Return all letters of a channel, oldest first."""
        return [letter for letter in self.mail.values() if letter.channel == channel]

    # the port

    async def tell(self, news: Sequence[News], *, handled: Sequence[int] = ()) -> list[Alert]:
        await self._write()
        told = []
        known = {alert.once for alert in self.told if alert.once}
        for item in news:
            if item.alert.once and item.alert.once in known:
                continue
            known.add(item.alert.once)
            told.append(self.add_alert(item))
        self.waits = [waiting for waiting in self.waits if waiting.number not in set(handled)]
        return told

    async def keep_incident(self, incident: Incident) -> Incident:
        await self._write()
        return self.add_incident(incident)

    async def incidents(self, *, since: datetime, most: int = 50) -> list[Incident]:
        found = [i for i in self.kept.values() if i.ended is None or i.began >= since]
        found.sort(key=lambda i: (i.ended is not None, -i.began.timestamp()))
        await self._read()
        return found[:most]

    async def note(self, number: int, words: str) -> None:
        await self._write()
        self.kept[number] = replace(self.kept[number], note=words)

    async def alerts(self, *, most: int = 100, before: int | None = None) -> list[Alert]:
        found = [a for a in self.told if before is None or a.id < before]
        await self._read()
        return found[::-1][:most]

    async def unacknowledged(self) -> list[Alert]:
        await asyncio.sleep(0)
        return self.nobody_acknowledged()

    async def acknowledge(
        self, at: datetime, by: str, *, numbers: Sequence[int] | None = None
    ) -> list[Alert]:
        await self._write()
        named = [a for a in self.told if numbers is None or a.id in numbers]
        fresh = [
            replace(a, acknowledged=at, acknowledged_by=by) for a in named if not a.acknowledged
        ]
        for alert in fresh:
            self.told[alert.id - 1] = alert
            incident = self.kept.get(alert.incident)
            if incident is not None and incident.acknowledged is None:
                self.kept[incident.number] = replace(incident, acknowledged=at, acknowledged_by=by)
        return fresh

    async def mutes(self, now: datetime) -> dict[str, datetime]:
        await asyncio.sleep(0)
        return {key: until for key, until in self.muted.items() if until > now}

    async def mute(self, key: str, until: datetime | None) -> None:
        await self._write()
        self.muted.pop(key, None)
        if until is not None:
            self.muted[key] = until

    async def due(self, channel: str, now: datetime, *, most: int = 50) -> list[Letter]:
        await asyncio.sleep(0)
        found = [
            letter
            for letter in self.post(channel)
            if letter.state is LetterState.QUEUED and letter.not_before <= now
        ]
        found.sort(key=lambda letter: (letter.alert.severity < Severity.CRITICAL, letter.number))
        return [self._whole(letter) for letter in found[:most]]

    async def waiting(self, channel: str) -> int:
        await asyncio.sleep(0)
        return sum(letter.state is LetterState.QUEUED for letter in self.post(channel))

    async def unsettled(self, channel: str) -> list[Letter]:
        await asyncio.sleep(0)
        claimed = [m for m in self.post(channel) if m.state is LetterState.SENDING]
        return [self._whole(letter) for letter in claimed]

    async def claim(self, number: int) -> bool:
        await self._write()
        letter = self.mail.get(number)
        if letter is None or letter.state is not LetterState.QUEUED:
            return False
        self.mail[number] = replace(letter, state=LetterState.SENDING)
        return True

    async def settle(self, letters: Sequence[Letter]) -> None:
        await self._write()
        self.mail.update({letter.number: letter for letter in letters})

    async def letters(self, *, most: int = 50) -> list[Letter]:
        found = [self._whole(letter) for letter in list(self.mail.values())[::-1][:most]]
        await self._read()
        return found

    async def order_news(self, *, most: int = 100) -> list[OrderNews]:
        await asyncio.sleep(0)
        return self.waits[:most]

    # inside

    async def _read(self) -> None:
        if self.error is not None:
            raise self.error
        self.reads += 1
        await asyncio.sleep(0)
        if self.gate is not None:
            await self.gate.wait()

    async def _write(self) -> None:
        await asyncio.sleep(0)  # nothing on a disk is done at once
        if self.refuses is not None:
            raise self.refuses
        self.writes += 1

    def _whole(self, letter: Letter) -> Letter:
        """Return the letter with its alert as it is now, and what it may change."""
        sent = [
            other.reference
            for other in self.post(letter.channel)
            if other.state is LetterState.SENT
            and other.reference
            and other.number < letter.number
            and other.alert.key == letter.alert.key
        ]
        alert = self.told[letter.alert.id - 1]
        return replace(letter, alert=alert, edits=sent[-1] if sent else "")


class ScriptedUptime:
    """Implements `health_ports.UptimeJournal` in memory."""

    def __init__(self) -> None:
        self.kept: dict[str, dict[datetime, Minute]] = {}
        self.shares: dict[str, Uptimes] = {}
        self.refuses: VigilError | None = None

    def keep_minutes(self, minutes: Mapping[str, Minute]) -> None:
        for name, minute in minutes.items():
            self.kept.setdefault(name, {})[minute.start] = minute

    def fill(self, name: str, minutes: Iterable[Minute]) -> None:
        """Let these be the minutes of a name."""
        self.kept[name] = {minute.start: minute for minute in minutes}

    async def minutes(self, name: str, *, since: datetime, until: datetime) -> list[Minute]:
        if self.refuses:
            raise self.refuses
        kept = self.kept.get(name, {})
        return [kept[start] for start in sorted(kept) if since <= start < until]

    async def uptimes(self, now: datetime) -> dict[str, Uptimes]:
        if self.refuses:
            raise self.refuses
        return self.shares or dict.fromkeys(self.kept, Uptimes())
