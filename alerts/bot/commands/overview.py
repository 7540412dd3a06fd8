"""/status /health /incidents /cal /check: how the desk is."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Final

from alerts import words
from alerts.bot import figures
from alerts.bot.answer import Answer
from alerts.bot.asked import Asked, Command
from alerts.bot.markup import Block, table, text
from alerts.inputs import ALIVE_WITHIN
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Check, ComponentHealth, Condition, Incident
from trading.health_ports import Watchroom
from trading.hours import IST, Phase

LAST: Final = 5  # incidents
STRIPS: Final = 4  # components in the picture
DAYS: Final = 7
GLYPHS: Final = {
    Condition.OK: "✅",
    Condition.PENDING: "◐",
    Condition.DOWN: "❌",
    Condition.FLAPPING: "〰️",
    Condition.CLOSED: "■",
    Condition.OFF: "■",
    Condition.UNKNOWN: "?",
}


async def status(asked: Asked) -> Answer:
    desk, watch = asked.desk, asked.room.watch
    bad = [check for check in watch.inputs() if not check.good]
    lines = [figures.checked(check) for check in bad]
    lines += [
        figures.total(desk.positions.total()),
        _dealings(desk),
        _feed(desk),
        figures.session(desk),
    ]
    incidents, waiting = len(watch.open_incidents()), len(watch.unacknowledged())
    if incidents:
        lines.append(f"{words.count(incidents, 'incident')} open: /incidents")
    if waiting:
        lines.append(f"{words.count(waiting, 'alert')} not acknowledged: /ack")
    return Answer(f"STATUS  {light(desk, asked.room, bad)}", (text(*lines),))


def light(desk: Desk, room: Watchroom, bad: Sequence[Check]) -> str:
    """Return in capitals whether one may trade, gravest reason first."""
    progress, alive = desk.progress, room.watch.alive_age()
    if progress.stage == "failed":
        return f"DO NOT TRADE: the desk could not start: {progress.reason}"
    if progress.stage != "ready":
        return f"DO NOT TRADE: the desk is {progress.stage} {progress.reason}".rstrip()
    if alive is None or alive > ALIVE_WITHIN:
        silent = "has not looked yet" if alive is None else f"is silent for {figures.age(alive)}"
        return f"DO NOT TRADE: the watch {silent}"
    if any(check.grave for check in bad):
        return "DO NOT TRADE"
    if desk.hours.state(figures.segment(desk), desk.clock.now()).phase is not Phase.OPEN:
        return "MARKET CLOSED"
    return "CARE" if bad else "CAN TRADE"


def _dealings(desk: Desk) -> str:
    if unread := figures.unread(desk):
        return f"Positions and orders {words.DASH} {unread}"
    held = sum(p.quantity != 0 for p in desk.positions.positions())
    doubt = " by our own count (the broker's differs: /pos)" if figures.differs(desk) else ""
    working = words.count(len(desk.orders.working()), "order")
    return f"{words.count(held, 'position')} open{doubt}, {working} working"


def _feed(desk: Desk) -> str:
    stats, heard = desk.feed.stats(), desk.market_data.heard_age()
    last = "no price yet" if heard is None else f"last price {figures.age(heard)} ago"
    why = f" ({stats.reason})" if stats.reason else ""
    simulated = ", simulated" if stats.is_mock else ""
    return f"Market feed {stats.state}{why}, {last}{simulated}"


async def health(asked: Asked) -> Answer:
    rows = asked.room.watch.components()
    bad = [row for row in rows if row.condition in (Condition.DOWN, Condition.FLAPPING)]
    title = f"HEALTH  {len(bad)} of {len(rows)} in trouble" if bad else "HEALTH  all is well"
    lines = [_component(row) for row in rows]
    return Answer(
        title, (text(*lines),), picture=lambda: asked.pictures.uptime(asked.desk, asked.room)
    )


def _component(row: ComponentHealth) -> str:
    up = row.uptimes.day
    share = f" · up {100 * up:.2f}% of 24 h" if up is not None else ""
    return f"{GLYPHS[row.condition]} {row.name}: {row.words}{share}"


async def incidents(asked: Asked) -> Answer:
    now = asked.desk.clock.now()
    found = await asked.room.journal.incidents(since=now - timedelta(days=DAYS), most=LAST)
    opened = [i for i in found if i.ended is None]
    lines = [line for incident in found for line in _incident(incident, now)]
    blocks = (text(*lines or (f"No incident in the last {DAYS} days.",)),)
    return Answer(f"INCIDENTS  {len(opened)} open", blocks)


def _incident(incident: Incident, now: datetime) -> list[str]:
    lasted = words.duration(((incident.ended or now) - incident.began).total_seconds())
    state = f"lasted {lasted}" if incident.ended else f"OPEN for {lasted}"
    head = f"#{incident.number} {words.moment(incident.began, now)} {incident.cause}: {state}"
    missed = incident.ticks_missed
    lost = f", about {words.grouped(str(missed))} ticks missed" if missed is not None else ""
    done = [f"· {step.what}: {step.result}" for step in incident.steps[-3:]]
    return [f"{head}{lost}", *done]


async def calendar(asked: Asked) -> Answer:
    desk = asked.desk
    today = desk.clock.now().astimezone(IST).date()
    segment = figures.segment(desk)
    sessions = desk.hours.sessions(segment, today)
    rows = [
        [str(s.phase), f"{words.clock(s.start)[:5]}-{words.clock(s.end)[:5]}"] for s in sessions
    ]
    rules = desk.hours.rules
    days = [h for h in rules.holidays if h.segment == segment and h.day > today]
    odd = [s for s in rules.specials if s.segment == segment and s.day > today]
    lines = [figures.session(desk)]
    if days:
        nearest = min(days, key=lambda h: h.day)
        lines.append(f"Next holiday {nearest.day:%a %d %b}: {nearest.name}")
    if odd:
        special = min(odd, key=lambda s: (s.day, s.start))
        when = f"{special.day:%a %d %b} {special.start:%H:%M}-{special.end:%H:%M}"
        named = f": {special.name}" if special.name else ""
        lines.append(f"Next special session {when}{named}")
    blocks: tuple[Block, ...] = (table(rows),) if rows else ()
    return Answer(f"CALENDAR  {today:%a %d %b %Y}", (*blocks, text(*lines)))


async def check(asked: Asked) -> Answer:
    try:
        found = await asked.room.watch.checklist()
    except VigilError as error:
        return Answer("CHECK  not done", (text(str(error)),))
    good = sum(c.good for c in found)
    lines = [figures.checked(c) for c in sorted(found, key=lambda c: (c.good, not c.grave))]
    word = "READY" if good == len(found) else "NOT READY"
    return Answer(f"CHECK  {word}  {good} of {len(found)}", (text(*lines),))


COMMANDS: Final = (
    Command("status", "may I trade, P&L, positions, feeds", status, watcher=True),
    Command("health", "every part of the desk, with a picture", health, watcher=True),
    Command("incidents", "what went wrong and what was done", incidents, watcher=True),
    Command("cal", "sessions and holidays", calendar, watcher=True),
    Command("check", "the checklist before the open", check, watcher=True),
)
