"""A watch to which a trader's morning has happened, for tests of the Alerts page."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, time, timedelta

from tests.dashboard.scripted_watch import ScriptedPeople, ScriptedPhone, ScriptedWatch
from trading.clock import Clock
from trading.desk import Desk
from trading.health import Alert, ChannelHealth, Component, Occasion, Severity
from trading.health_ports import (
    Letter,
    LetterState,
    PairingCode,
    Person,
    Post,
    Watchroom,
)
from trading.hours import IST
from trading.signal import Signal

# a picture of one violet pixel
PIXEL = (
    "data:image/png;base64,iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mOYm+3yHwAE"
    "8AI9Zn2n1QAAAABJRU5ErkJggg=="
)


class ScriptedRoutes:
    """Implements `health_ports.Routes`: quiet from 22:00 to 07:00 IST, three channels."""

    quiet_hours = "22:00-07:00"

    def __init__(self) -> None:
        self.always = False

    def is_quiet(self, at: datetime) -> bool:
        local = at.astimezone(IST).time()
        return self.always or local >= time(22) or local < time(7)

    def posts(self, severity: Severity, at: datetime) -> Sequence[Post]:
        quiet = self.is_quiet(at)
        held = at
        if quiet and severity is Severity.INFO:
            local = at.astimezone(IST)
            held = local.replace(hour=7, minute=0, second=0, microsecond=0)
            held += timedelta(days=1 if local.hour >= 7 else 0)
        silent = severity is Severity.INFO or (quiet and severity is Severity.WARNING)
        least = Severity.WARNING
        ways = [Post("telegram", held, silent), Post("webhook", at)]
        return [*ways, Post("e-mail", at, silent)] if severity >= least else ways


class ScriptedPairing:
    """Implements `health_ports.Pairing`."""

    def __init__(self, clock: Clock) -> None:
        self.changes: Signal[None] = Signal("pairing")
        self.clock = clock
        self.known: PairingCode | None = None
        self.state = "no code is open"

    def open(self) -> PairingCode:
        self.known = PairingCode("482913", self.clock.monotonic() + 120)
        self.state = "waiting for the code from the new phone (it can read)"
        self.changes.emit(None)
        return self.known

    def code(self) -> PairingCode | None:
        if self.known is not None and self.clock.monotonic() >= self.known.ends:
            self.known, self.state = None, "nobody sent the code within 2 minutes"
            self.changes.emit(None)
        return self.known


@dataclass(frozen=True)
class Watched:
    """The scripted ends of a desk's watch."""

    watch: ScriptedWatch
    phone: ScriptedPhone
    people: ScriptedPeople
    pairing: ScriptedPairing
    routes: ScriptedRoutes


def watched(desk: Desk) -> tuple[Desk, Watched]:
    """Return the desk with routes and pairing, and what a test says its watch is."""
    room, clock = desk.watch, desk.clock
    assert room is not None
    assert isinstance(room.watch, ScriptedWatch)
    assert isinstance(room.phone, ScriptedPhone)
    assert isinstance(room.people, ScriptedPeople)
    routes, pairing = ScriptedRoutes(), ScriptedPairing(clock)
    full: Watchroom = replace(room, routes=routes, pairing=pairing)
    ends = Watched(room.watch, room.phone, room.people, pairing, routes)
    return replace(desk, watch=full), ends


def alert(
    clock: Clock,
    title: str = "Market feed silent for 17 s",
    *lines: str,
    key: str = "no_prices",
    severity: Severity = Severity.CRITICAL,
    component: Component = Component.MARKET_FEED,
    occasion: Occasion = Occasion.BEGIN,
    kind: str = "health",
    link: str = "/status",
    ago: float = 0.0,
    incident: int = 0,
    times: int = 1,
) -> Alert:
    at = clock.now() - timedelta(seconds=ago)
    return Alert(
        key, component, occasion, severity, at, title, lines, link, "SIMULATED", True,
        kind=kind, incident=incident, times=times,
    )  # fmt: skip


def letter(told: Alert, number: int, **changes: object) -> Letter:
    made = Letter(number, "telegram", told, told.at, False, LetterState.SENT, 1)
    return replace(made, **changes)  # type: ignore[arg-type]


def morning(clock: Clock, ends: Watched) -> None:
    """Let what a trader may find at eleven have happened."""
    watch, journal, phone = ends.watch, ends.watch.journal, ends.phone
    watch.ways = [
        ChannelHealth(
            "telegram", "ok", sent=14, queued=1, retried=1, last_sent=clock.now(), last_ms=212.0
        ),
        ChannelHealth(
            "e-mail", "down", "smtp.example.in: the server does not answer within 20 s", 3, 2, 4, 1,
            next_attempt=clock.now() + timedelta(minutes=4),
        ),
        ChannelHealth("webhook", "off", "no address is configured"),
    ]  # fmt: skip
    ends.people.known = [
        Person(811, 811, "owner", "Asha R", clock.now() - timedelta(days=40)),
        Person(-4, 977, "watcher", "<b>Ravi</b> & co", clock.now() - timedelta(days=2)),
    ]
    filled = watch.raises(
        alert(
            clock,
            "✅ FILLED  SELL 2 lots NIFTY 28 NOV 24000 CE",
            "@ 142.35 (limit 142.00) · 150 qty",
            "Now short 2 · day P&L ▲ +₹6,720.00",
            key="order 1", severity=Severity.INFO, component=Component.BOOKS, kind="order",
            link="/orders", ago=4_000, occasion=Occasion.EVENT,
        )
    )  # fmt: skip
    rejected = watch.raises(
        alert(
            clock,
            "❌ REJECTED  BUY 1 lot BANKNIFTY 26 NOV 51000 PE",
            "RMS: margin short by ₹12,340 · nothing was bought",
            "Free ₹48,200.00: try 1 lot as a spread, or add funds",
            key="order 2", severity=Severity.WARNING, component=Component.BOOKS, kind="order",
            link="/orders", ago=2_100, occasion=Occasion.EVENT,
        )
    )  # fmt: skip
    watch.raises(
        alert(
            clock,
            "Portfolio stream of main silent for 21 s",
            "fills come up to 10 s late, from the broker's book",
            "Nothing to do: it is being reconnected",
            key="stream_silent main", severity=Severity.WARNING, component=Component.PORTFOLIO,
            ago=600, times=4,
        )
    )  # fmt: skip
    over = watch.raises(
        alert(
            clock,
            "Portfolio stream of main is back after 31 s",
            "no fill was missed: the book was read again",
            key="stream_silent main", severity=Severity.INFO, component=Component.PORTFOLIO,
            occasion=Occasion.END, ago=560,
        )
    )  # fmt: skip
    silent = watch.raises(
        alert(
            clock,
            "Market feed silent for 17 s",
            "prices of 3 open positions are old; stops are judged on polled quotes",
            "Nothing to do: it is being reconnected. If it lasts, call your broker's desk",
            ago=40,
        )
    )
    letters = [
        letter(filled, 1, sent=filled.at, took_ms=180.0),
        letter(rejected, 2, sent=rejected.at, took_ms=1_240.0, attempts=2),
        letter(rejected, 3, channel="e-mail", state=LetterState.PARKED, attempts=3,
               error="550 mailbox unavailable"),
        letter(over, 4, sent=over.at, took_ms=95.0),
        letter(silent, 5, sent=silent.at, took_ms=212.0),
        letter(silent, 6, channel="e-mail", state=LetterState.QUEUED, attempts=2,
               error="the server does not answer"),
    ]  # fmt: skip
    journal.mail = {each.number: each for each in letters}
    _chat(phone)


def _chat(phone: ScriptedPhone) -> None:
    phone.hears("/status", from_bot=False)
    phone.hears(
        "🟣 SIM <b>CAN TRADE</b>\n<pre>P&amp;L      ▲ +₹6,720.00\nOpen     3 positions\n"
        "Feed     38 msg/s, 0.2 s</pre>",
        buttons=((("Refresh", "status"), ("Positions", "pos")),),
    )
    phone.hears(
        "🟣 SIM ✅ <b>FILLED</b>  SELL 2 lots NIFTY 28 NOV 24000 CE\n"
        "@ 142.35 (limit 142.00) · 150 qty · 11:07:31\nNow short 2 · day P&amp;L ▲ +₹6,720.00",
        buttons=((("Why", "why 1"), ("Exit…", "exit 1")),),
    )
    phone.hears("/pnl", from_bot=False)
    phone.chat.append(replace(phone.hears("Day P&amp;L ▲ +₹6,720.00"), number=5, picture=PIXEL))
    del phone.chat[-2]
    phone.hears(
        "🟣 SIM ⚠️ <b>MARKET FEED SILENT 17 s</b> (3 positions open)\n"
        "Last tick 10:59:43 · <i>polling every 2 s</i> · attempt 2, next in 4 s",
        buttons=((("Ack", "ack A5"), ("Reconnect", "reconnect market")),),
    )
    phone.chat[-1] = replace(phone.chat[-1], edited=True)
