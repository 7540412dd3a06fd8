"""What the watch needs of the disk and of the ways to a person, and what pages see of the watch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Literal, Protocol

from trading.health import (
    Alert,
    ChannelHealth,
    Check,
    Checked,
    ComponentHealth,
    DrillResult,
    Hop,
    HopMinute,
    Incident,
    JobHealth,
    LogLine,
    Minute,
    Severity,
    Uptimes,
)
from trading.histogram import Histogram
from trading.model import Gap
from trading.order import Order, Step
from trading.signal import Signal

# the outbox


@dataclass(frozen=True, slots=True)
class Post:
    """How an alert goes to one channel: not before this moment, with a sound or without."""

    channel: str  # the channel's name: "telegram", "e-mail", "webhook"
    not_before: datetime
    silent: bool = False


@dataclass(frozen=True, slots=True)
class News:
    """An alert with its ways, and the incident that it belongs to: one transaction."""

    alert: Alert
    posts: tuple[Post, ...] = ()
    incident: Incident | None = None


class LetterState(StrEnum):
    QUEUED = "queued"
    SENDING = "sending"  # claimed: after a crash it may have been delivered
    SENT = "sent"
    FOLDED = "folded"  # told in the one line of a digest
    PARKED = "parked"  # cannot be delivered, whatever one does; told on the page


@dataclass(frozen=True, slots=True)
class Letter:
    """One alert on its way through one channel.

    `edits` is the channel's reference of the message that told of the same key before, which this
    one may change instead of adding another.
    """

    number: int
    channel: str
    alert: Alert
    not_before: datetime
    silent: bool
    state: LetterState
    attempts: int = 0
    error: str = ""
    sent: datetime | None = None
    took_ms: float | None = None
    reference: str = ""
    edits: str = ""


@dataclass(frozen=True, slots=True)
class OrderNews:
    """A committed moment of an order's life that nobody was told of yet."""

    number: int
    order: Order  # as the disk has it now
    step: Step
    before: Step | None


class AlertJournal(Protocol):
    """Alerts, incidents and letters on the disk. Every method is done when the disk has it."""

    async def tell(self, news: Sequence[News], *, handled: Sequence[int] = ()) -> list[Alert]:
        """Commit alerts, letters and incidents, and forget the order news `handled`, all or none.

        Return the alerts with their numbers and those of their incidents; one whose `once` is
        known already is left out, with its letters.
        """
        ...

    async def keep_incident(self, incident: Incident) -> Incident:
        """Write an incident as it is now; return it with its number."""
        ...

    async def incidents(self, *, since: datetime, most: int = 50) -> list[Incident]:
        """Return open ones first, then the latest that began since then."""
        ...

    async def note(self, number: int, words: str) -> None: ...

    async def alerts(self, *, most: int = 100, before: int | None = None) -> list[Alert]:
        """Return the latest, newest first; `before` a number, to page on."""
        ...

    async def unacknowledged(self) -> list[Alert]:
        """Return those of severity WARNING and above that nobody has acknowledged, oldest first."""
        ...

    async def acknowledge(
        self, at: datetime, by: str, *, numbers: Sequence[int] | None = None
    ) -> list[Alert]:
        """Acknowledge these alerts, or all; return those that were not yet, with their incidents
        acknowledged too.
        """
        ...

    async def mutes(self, now: datetime) -> dict[str, datetime]: ...

    async def mute(self, key: str, until: datetime | None) -> None:
        """Keep a key (or a component's name) silent until then; None ends it."""
        ...

    async def due(self, channel: str, now: datetime, *, most: int = 50) -> list[Letter]:
        """Return queued letters, critical ones first, else in the order of their alerts."""
        ...

    async def waiting(self, channel: str) -> int: ...

    async def unsettled(self, channel: str) -> list[Letter]:
        """Return the letters that were claimed when the desk died."""
        ...

    async def claim(self, number: int) -> bool:
        """Mark a letter SENDING before it is sent; False if somebody else has dealt with it."""
        ...

    async def settle(self, letters: Sequence[Letter]) -> None:
        """Write what became of letters: state, attempts, error, reference, not_before."""
        ...

    async def letters(self, *, most: int = 50) -> list[Letter]:
        """Return the latest, newest first: the delivery log."""
        ...

    async def order_news(self, *, most: int = 100) -> list[OrderNews]:
        """Return what was committed of orders and nobody was told of, oldest first."""
        ...


class UptimeJournal(Protocol):
    """How components were, minute by minute; names are `ComponentHealth.name`."""

    def keep_minutes(self, minutes: Mapping[str, Minute]) -> None:
        """Write behind; a minute of a name that is known already is replaced."""
        ...

    async def minutes(self, name: str, *, since: datetime, until: datetime) -> list[Minute]: ...

    async def uptimes(self, now: datetime) -> dict[str, Uptimes]: ...


class GapLedger(Protocol):
    """Every hole in a feed."""

    async def gaps(self, feed: str, *, since: datetime, until: datetime) -> list[Gap]: ...

    async def unfilled(self, feed: str) -> list[Gap]:
        """Return ended gaps that nobody tried to fill yet, oldest first."""
        ...

    async def filled(self, gap: Gap) -> None:
        """Write what is known of an ended gap: instruments, ticks missed, what filled it."""
        ...


class DrillJournal(Protocol):
    async def keep_drill(self, result: DrillResult) -> None: ...

    async def drills(self) -> dict[str, DrillResult]:
        """Return the last run of each, by its name."""
        ...


Role = Literal["owner", "watcher"]


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody who may speak to the bot: in this chat, as this user."""

    chat: int
    user: int
    role: Role
    name: str
    since: datetime


class People(Protocol):
    def all(self) -> Sequence[Person]: ...

    async def add(self, person: Person) -> None: ...

    async def remove(self, chat: int, user: int) -> None: ...


# ways to a person


class Channel(Protocol):
    """One way to a person; found in alerts/channels/ by its file."""

    name: str
    edits: bool  # can it change a message that it sent before?
    every: float  # seconds between two letters

    async def send(self, letter: Letter) -> str:
        """Deliver one letter; return the reference by which it can be edited, or "".

        Raises RateLimited (not before so many seconds), Unanswered (it may have arrived: sent once
        more at most), Retryable (it did not arrive: kept, tried again), BadRequest (this letter can
        never be delivered), Refused (nothing can, until a person helps: asked every 10 minutes).
        """
        ...

    async def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class ChatMessage:
    """A message on the phone panel, as sent; `text` is Telegram's HTML, `buttons` rows of them.

    Draw the text by `trading.chat.runs`, never as HTML of ours. `notice` is what the bot answered
    to the last press of one of the buttons.
    """

    number: int
    from_bot: bool
    text: str
    at: datetime
    buttons: tuple[tuple[tuple[str, str], ...], ...] = ()  # words and callback data
    edited: bool = False
    picture: str = ""  # the address of an image, data: URI
    notice: str = ""
    silent: bool = False  # came without a sound


class Phone(Protocol):
    """The chat with the bot as the stand-in of Telegram has it; only where that is used."""

    changes: Signal[None]

    def messages(self) -> Sequence[ChatMessage]: ...

    async def say(self, text: str) -> None: ...

    async def press(self, number: int, data: str) -> None: ...


@dataclass(frozen=True, slots=True)
class PairingCode:
    """What a person sends to the bot to be let in; `ends` is monotonic seconds of the desk."""

    code: str
    ends: float


class Pairing(Protocol):
    """Lets a phone in by a code that only somebody at this page can read."""

    changes: Signal[None]  # opened, ended, used

    def open(self) -> PairingCode:
        """Make a code, for one use; the one before is worth nothing any more."""
        ...

    def code(self) -> PairingCode | None:
        """Return the code that is open now."""
        ...

    @property
    def state(self) -> str:
        """In words: what the bot is waiting for, who came in last, why it cannot be done."""
        ...


class Routes(Protocol):
    """Which way alerts take, by the settings."""

    @property
    def quiet_hours(self) -> str:
        """As it is in the settings: "22:00-07:00", IST; empty for none."""
        ...

    def is_quiet(self, at: datetime) -> bool: ...

    def posts(self, severity: Severity, at: datetime) -> Sequence[Post]:
        """Return how an alert of this severity goes out at this moment, if nothing mutes it."""
        ...


# what pages see


class Drills(Protocol):
    """Fire drills against the simulated exchange."""

    changes: Signal[DrillResult]

    def names(self) -> Sequence[tuple[str, str]]:
        """Return each drill's name and what it does, in words."""
        ...

    def results(self) -> Mapping[str, DrillResult]: ...

    def running(self) -> DrillResult | None: ...

    async def start(self, name: str) -> None:
        """Begin a drill; raise Denied if one is under way or positions are not made up."""
        ...

    async def stop(self) -> None: ...


class Watch(Protocol):
    """What the watch knows, for pages, the bot, /health and /metrics. Reads are free of I/O."""

    alerts: Signal[Alert]  # as they are stored: toasts, sounds, the bell
    changes: Signal[Incident]

    def components(self) -> Sequence[ComponentHealth]: ...

    def inputs(self) -> Sequence[Check]:
        """Return the inputs of the CAN TRADE light, gravest first."""
        ...

    def open_incidents(self) -> Sequence[Incident]: ...

    def unacknowledged(self) -> Sequence[Alert]: ...

    def jobs(self) -> Sequence[JobHealth]: ...

    def channels(self) -> Sequence[ChannelHealth]: ...

    def mutes(self) -> Mapping[str, datetime]: ...

    def pressing(self) -> frozenset[str]:
        """Return the keys of what is critical and there as of the last look."""
        ...

    def alive_age(self) -> float | None:
        """Return the seconds since the monitor last looked; None if it never did."""
        ...

    def counts(self) -> Mapping[Severity, int]:
        """Return how many alerts were raised since the start."""
        ...

    async def acknowledge(self, by: str, *, numbers: Sequence[int] | None = None) -> int:
        """Return how many were not acknowledged before."""
        ...

    async def mute(self, key: str, minutes: float) -> None:
        """Keep a key or a component silent; 0 ends it. Raises Denied for an unknown one."""
        ...

    async def reconnect(self, feed: str, by: str) -> None:
        """Have a feed ("market", "portfolio-ACCOUNT") dial again; raises Denied if unknown."""
        ...

    def checked(self) -> Checked | None:
        """Return the last run of the checklist, None if there was none since the start."""
        ...

    async def checklist(self) -> Sequence[Check]:
        """Run the checklist now."""
        ...

    async def test_message(self, by: str) -> None:
        """Send one message through every channel."""
        ...


class Latencies(Protocol):
    """How long the hops of a price took, minute by minute since the desk started."""

    screen: Histogram  # of `Hop.SCREEN`; whoever sends patches writes it

    def minutes(self, hop: Hop) -> Sequence[HopMinute]:
        """Return the last 60 whole minutes in which it was measured, oldest first."""
        ...


class LogLines(Protocol):
    def lines(self) -> Sequence[LogLine]:
        """Return the last records of the log since the desk started, oldest first."""
        ...


@dataclass(frozen=True, slots=True)
class Watchroom:
    """The watch and what it keeps, as handed to pages and the bot."""

    watch: Watch
    journal: AlertJournal
    uptime: UptimeJournal
    gaps: GapLedger
    people: People
    drills: Drills | None = None  # against a simulated exchange only
    phone: Phone | None = None  # where the local stand-in of Telegram is used
    pairing: Pairing | None = None  # where the bot can let a phone in by a code
    routes: Routes | None = None
    latencies: Latencies | None = None  # where somebody measures them
    log: LogLines | None = None  # where the log is kept
