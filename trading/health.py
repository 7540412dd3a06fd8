"""The words of the watch: what is wrong, what was told of it, and what was done about it.

A finding is true right now; an alert is a change worth telling; an incident lasts from the first
finding to its proven end. Moments are aware UTC, durations seconds.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime
from enum import IntEnum, StrEnum

from trading.ports import Percentiles


class Severity(IntEnum):
    INFO = 1  # silent on the phone, held in quiet hours
    WARNING = 2  # with a sound
    CRITICAL = 3  # pierces quiet hours, is repeated until somebody acknowledges it


class Component(StrEnum):
    """What a row of the Health page, an uptime and an incident are about."""

    MARKET_FEED = "market feed"
    PORTFOLIO = "portfolio stream"  # of one account; the finding's `about` says which
    REST = "REST"
    BOOKS = "books"  # orders and positions against the broker's
    RECOVERY = "recovery"
    STORAGE = "storage"
    JOBS = "jobs"
    CLOCK = "clock"
    PROCESS = "process"
    PHONE = "telegram"
    CHANNELS = "e-mail and webhook"
    RISK = "risk"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong at this moment, in words for a person whose money is at stake.

    `rule` is the file that found it and `about` what of (an account, an instrument, ""): together
    they are its key, by which two findings are the same one. `at_once` means that it is proven: it
    is not held back until it was seen again.
    """

    rule: str
    component: Component
    severity: Severity
    what: str  # happened: "market feed silent for 17 s"
    meaning: str  # for their money: "prices of 3 open positions are old"
    act: str  # what to do: "Nothing: it is being reconnected" or "Paste a new token"
    about: str = ""
    at_once: bool = False
    instruments: tuple[str, ...] = ()
    lasted: float | None = None  # seconds it has been so, where the rule knows more than the watch

    @property
    def key(self) -> str:
        return f"{self.rule} {self.about}".strip()


class Condition(StrEnum):
    """How a component, or one key, is judged to be."""

    OK = "ok"
    PENDING = "pending"  # seen, not proven yet
    DOWN = "down"
    FLAPPING = "flapping"  # changed too often: told once, then silence until it is steady
    CLOSED = "closed"  # its market is closed: not judged, not counted
    OFF = "off"  # not configured: neither good nor bad
    UNKNOWN = "unknown"  # our own network or the desk itself is in trouble


# alerts


class Occasion(StrEnum):
    BEGIN = "begin"
    ESCALATE = "escalate"
    REMIND = "remind"
    END = "end"
    EVENT = "event"  # happened, and has no end: a fill, a rejection


@dataclass(frozen=True, slots=True)
class Alert:
    """A change worth telling, stored before it is sent.

    `id` is short enough for a text ("A17"), unique in a database file, and given by the journal:
    0 before that. `key` joins the alerts of one matter; `once`, if not empty, may exist once only:
    a cause that is met again after a crash makes no second alert. `mode` is the world's word.
    """

    key: str
    component: Component
    occasion: Occasion
    severity: Severity
    at: datetime
    title: str  # one line
    lines: tuple[str, ...]  # the rest, in words; no markup
    link: str  # the page that shows more: "/status"
    mode: str
    is_mock: bool
    kind: str = "health"  # "health", "order", "position", "check", "stranger", ...
    buttons: tuple["Button", ...] = ()
    once: str = ""
    incident: int = 0
    id: int = 0
    times: int = 1  # how often it was met, if it was folded
    acknowledged: datetime | None = None
    acknowledged_by: str = ""

    @property
    def name(self) -> str:
        return f"A{self.id}"


@dataclass(frozen=True, slots=True)
class Button:
    """What a person may press below a message: a command of the bot, e.g. "ack A17"."""

    words: str
    command: str


# incidents


@dataclass(frozen=True, slots=True)
class IncidentStep:
    at: datetime
    what: str  # "reconnect", "poll quotes for 3 held instruments"
    result: str  # "under way", "a price after 1.2 s", "refused: ..."


@dataclass(frozen=True, slots=True)
class Incident:
    """From the first finding of a matter to its end; a flapping one stays one.

    `number` is given by the journal, 0 before. `ended` is None while it lasts. `ticks_missed` is an
    estimate from the rate before, None where ticks say nothing about it.
    """

    key: str
    component: Component
    severity: Severity
    began: datetime
    cause: str
    is_mock: bool
    number: int = 0
    ended: datetime | None = None
    steps: tuple[IncidentStep, ...] = ()
    flaps: int = 0
    ticks_missed: int | None = None
    alerts: int = 0  # that were raised for it
    acknowledged: datetime | None = None
    acknowledged_by: str = ""
    note: str = ""

    def stepped(self, at: datetime, what: str, result: str) -> "Incident":
        return replace(self, steps=(*self.steps, IncidentStep(at, what, result)))


# how components were, minute by minute


@dataclass(frozen=True, slots=True)
class Minute:
    """One component in one minute of the desk's clock; `judged` counts market time only.

    Uptime of a stretch is the sum of `up` over the sum of `judged`: a closed market is neither.
    """

    start: datetime
    judged: float = 0.0  # seconds of 60
    up: float = 0.0  # seconds of those
    messages: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class Uptimes:
    """Shares from 0 to 1 of market time; None where nothing was judged."""

    day: float | None = None
    week: float | None = None
    month: float | None = None


class Hop(StrEnum):
    """A stretch of a price's way that is measured, in the order of the way."""

    ARRIVAL = "exchange to us"  # the exchange's stamp on a frame to our receipt of it
    DECODE = "decode"  # one frame's bytes to ticks
    SCREEN = "us to screen"  # receipt of a tick until a tab's connection had the patch with it


@dataclass(frozen=True, slots=True)
class HopMinute:
    """One hop in one minute of the desk's clock, of which only market time counts.

    Milliseconds; `count` is how often it was measured, and is never 0.
    """

    start: datetime
    count: int
    p50: float
    p99: float


@dataclass(frozen=True, slots=True)
class LogLine:
    """One record of the log, without secrets and on one line; `level` is that of `logging`."""

    at: datetime
    level: int
    logger: str
    text: str


@dataclass(frozen=True, slots=True)
class ComponentHealth:
    """A row of the Health page. `about` is the account of a portfolio stream, else empty."""

    component: Component
    about: str
    condition: Condition
    since: datetime | None
    words: str  # now: "38 msg/s, 0.2 s ago"
    strip: tuple[Minute, ...]  # the last 60, oldest first
    uptimes: Uptimes
    latency: Percentiles = field(default_factory=Percentiles)
    latency_of: str = ""  # what the percentiles measure
    reconnects: int | None = None  # today
    muted_until: datetime | None = None
    matter: str = ""  # the key of its gravest finding, whose words these are

    @property
    def name(self) -> str:
        return f"{self.component} of {self.about}" if self.about else str(self.component)


@dataclass(frozen=True, slots=True)
class JobHealth:
    """One scheduled job; milliseconds and moments, None where there was none yet."""

    name: str
    next_run: datetime | None
    last_run: datetime | None
    last_ms: float | None
    runs: int
    failures: int
    missed: int
    error: str = ""  # of the last failure
    failing: int = 0  # failures since the last run that went well
    running_for: float | None = None  # seconds; None while it does not run


@dataclass(frozen=True, slots=True)
class ChannelHealth:
    """One way to a person. `state` is "ok", "off", "waiting", "down" or "contested"."""

    name: str
    state: str
    reason: str = ""
    queued: int = 0
    sent: int = 0
    retried: int = 0
    parked: int = 0  # given up after three failures of their own
    last_sent: datetime | None = None
    last_ms: float | None = None
    next_attempt: datetime | None = None


@dataclass(frozen=True, slots=True)
class Check:
    """A line of the pre-open checklist, or an input of the CAN TRADE light."""

    name: str
    good: bool
    words: str  # "valid until 03:30", "1.8 s ahead"
    fix: str = ""  # what to do if it is not good
    age: float | None = None  # seconds since it was known
    grave: bool = True  # not good means DO NOT TRADE, else CARE


@dataclass(frozen=True, slots=True)
class Checked:
    """What the checklist found when it was run last, by whomever."""

    at: datetime
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class DrillResult:
    """One run of a fire drill; seconds, None where it was not seen."""

    drill: str
    began: datetime
    detected_after: float | None = None
    recovered_after: float | None = None
    ticks_lost: int | None = None
    alerts_sent: int = 0
    told_after: float | None = None  # until the phone had it
    ended: datetime | None = None
    good: bool = False
    words: str = ""  # what is under way, or why it is not good


@dataclass(frozen=True, slots=True)
class Thresholds:
    """When a rule finds something; see [watch] in settings.toml, where each has its comment."""

    feed_silent: float = 15.0
    position_stale: float = 5.0
    position_blind: float = 30.0
    uptime_percent: float = 95.0
    message_rate: float = 0.2  # of the rate of the last hour
    error_percent: float = 5.0
    decode_errors: int = 10  # in a minute
    storage_lag: float = 5.0
    disk_free_mb: int = 500
    order_unanswered: float = 5.0
    skew_warning: float = 2.0
    skew_critical: float = 30.0
    loop_lag_ms: float = 1000.0  # of one in a hundred answers, or three times that once
    token_minutes: int = 30  # before it ends, if a market is still open then
    undelivered: float = 120.0  # a channel that delivers nothing for so long

    checks_to_down: int = 3
    seconds_to_down: float = 30.0
    checks_to_ok: int = 2
    flaps: int = 4
    flap_window: float = 600.0
    steady: float = 300.0
