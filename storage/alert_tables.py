"""The tables of the watch: alerts on their way to people, incidents, uptimes, drills.

Times are integer epoch milliseconds in UTC. `world` is as in `order_tables`: what is told of one
world is neither sent nor acknowledged in another. Numbers that a person or a crash may come back
to are never given twice, also when the row is long gone.
"""

from typing import Final

from sqlalchemy import Column, ForeignKey, Index, Integer, UniqueConstraint, text
from sqlmodel import Field, SQLModel

from storage.order_tables import METADATA as METADATA  # with what is registered below

# Literally as in the queries, else SQLite does not see that the small index holds all of them.
WANTS_A_WORD: Final = "(acknowledged IS NULL AND severity >= 2)"  # WARNING and above
IS_QUEUED: Final = "state = 'queued'"
IS_CLAIMED: Final = "state = 'sending'"
CAN_BE_EDITED: Final = "(state = 'sent' AND reference <> '')"
IS_LASTING: Final = "ended IS NULL"


class IncidentRow(SQLModel, table=True):
    """From the first finding of a matter to its end; how many alerts it had is counted in theirs.

    Incidents are never deleted: there are a few a day at most.
    """

    __tablename__ = "incidents"
    __table_args__ = (
        Index(None, "world", "began"),
        Index("ix_incidents_lasting", "world", sqlite_where=text(IS_LASTING)),
        {"sqlite_autoincrement": True},
    )

    number: int | None = Field(default=None, primary_key=True)
    world: str
    key: str
    component: str
    severity: int
    began: int
    cause: str
    ended: int | None
    flaps: int
    ticks_missed: int | None
    acknowledged: int | None
    acknowledged_by: str
    note: str
    is_mock: bool


class IncidentStepRow(SQLModel, table=True):
    """What was done about an incident; the result is written again when it is known."""

    __tablename__ = "incident_steps"
    __table_args__ = {"sqlite_with_rowid": False}

    incident: int = Field(
        sa_column=Column(Integer, ForeignKey("incidents.number"), primary_key=True)
    )
    position: int = Field(primary_key=True)
    at: int
    what: str
    result: str
    is_mock: bool


class AlertRow(SQLModel, table=True):
    """A change worth telling; `once`, if not empty, is there once in its world."""

    __tablename__ = "alerts"
    __table_args__ = (
        Index(None, "world"),
        Index(None, "incident"),
        Index("uq_alerts_once", "world", "once", unique=True, sqlite_where=text("once <> ''")),
        Index("ix_alerts_unacknowledged", "world", sqlite_where=text(WANTS_A_WORD)),
        {"sqlite_autoincrement": True},
    )

    number: int | None = Field(default=None, primary_key=True)
    world: str
    key: str
    component: str
    occasion: str
    severity: int
    at: int
    title: str
    lines: str  # JSON
    link: str
    mode: str
    kind: str
    buttons: str  # JSON: pairs of words and command
    once: str
    incident: int | None = Field(sa_column=Column(Integer, ForeignKey("incidents.number")))
    times: int
    acknowledged: int | None
    acknowledged_by: str
    is_mock: bool


class LetterRow(SQLModel, table=True):
    """One alert on its way through one channel.

    `rank` is 0 for a critical one, else 1: by it and the alert's number letters are sent. `key` is
    the alert's, by which the message is found that told of it before.
    """

    __tablename__ = "letters"
    __table_args__ = (
        UniqueConstraint("alert", "channel"),
        Index(None, "world"),
        Index(
            "ix_letters_queued",
            "world",
            "channel",
            "rank",
            "alert",
            "not_before",
            sqlite_where=text(IS_QUEUED),
        ),
        Index("ix_letters_claimed", "world", "channel", sqlite_where=text(IS_CLAIMED)),
        Index(
            "ix_letters_edited",
            "world",
            "channel",
            "key",
            "alert",
            sqlite_where=text(CAN_BE_EDITED),
        ),
    )

    number: int | None = Field(default=None, primary_key=True)
    world: str
    channel: str
    alert: int = Field(sa_column=Column(Integer, ForeignKey("alerts.number"), nullable=False))
    rank: int
    key: str
    not_before: int
    silent: bool
    state: str
    attempts: int
    error: str
    sent: int | None
    took_ms: float | None
    reference: str
    is_mock: bool


class OrderNewsRow(SQLModel, table=True):
    """A step of an order that nobody was told of yet; deleted with the commit that tells it."""

    __tablename__ = "order_news"
    __table_args__ = {"sqlite_autoincrement": True}

    number: int | None = Field(default=None, primary_key=True)
    intent: int = Field(sa_column=Column(Integer, ForeignKey("orders.number"), nullable=False))
    position: int
    is_mock: bool


class MuteRow(SQLModel, table=True):
    __tablename__ = "mutes"
    __table_args__ = {"sqlite_with_rowid": False}

    world: str = Field(primary_key=True)
    key: str = Field(primary_key=True)
    until: int
    is_mock: bool


class ComponentMinuteRow(SQLModel, table=True):
    """How a component was in one minute, in seconds of market time: clustered by its name."""

    __tablename__ = "component_minutes"
    __table_args__ = {"sqlite_with_rowid": False}

    world: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    start: int = Field(primary_key=True)
    judged: float
    up: float
    messages: int
    errors: int
    is_mock: bool


class ComponentHourRow(SQLModel, table=True):
    """The sums of an hour's minutes, kept longer than they are: clustered by time."""

    __tablename__ = "component_hours"
    __table_args__ = {"sqlite_with_rowid": False}

    world: str = Field(primary_key=True)
    start: int = Field(primary_key=True)
    name: str = Field(primary_key=True)
    judged: float
    up: float
    messages: int
    errors: int
    is_mock: bool


class PersonRow(SQLModel, table=True):
    """Who may speak to the bot; made up is the one whose phone is the stand-in's."""

    __tablename__ = "people"
    __table_args__ = {"sqlite_with_rowid": False}

    is_mock: bool = Field(primary_key=True)
    chat: int = Field(primary_key=True)
    user: int = Field(primary_key=True)
    role: str
    name: str
    since: int


class DrillRunRow(SQLModel, table=True):
    """One run of a fire drill; seconds, NULL where it was not seen."""

    __tablename__ = "drill_runs"
    __table_args__ = (UniqueConstraint("world", "drill", "began"),)

    number: int | None = Field(default=None, primary_key=True)
    world: str
    drill: str
    began: int
    detected_after: float | None
    recovered_after: float | None
    ticks_lost: int | None
    alerts_sent: int
    told_after: float | None
    ended: int | None
    good: bool
    words: str
    is_mock: bool
