"""The last seven days on one page that can be printed: uptime, incidents, gaps, alerts, drills."""

import asyncio
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import Final

from nicegui import ui

from dashboard import format as fmt
from dashboard import frame
from dashboard import health_words as words
from dashboard.drills_view import HEADINGS as DRILL_HEADINGS
from dashboard.drills_view import scores
from dashboard.health_details import GAPS, gap_cells, table_cell
from dashboard.light import header_segment
from dashboard.sheet import Shown, Tone
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Alert, DrillResult, Incident, Minute, Severity
from trading.health_ports import AlertJournal, Watchroom
from trading.hours import IST, Phase
from trading.model import Gap

PATH: Final = "/report"
PATIENCE: Final = 20.0  # seconds for reading a week from a busy disk
DAYS: Final = 7
PAGE: Final = 500  # alerts that are read at once
MOST: Final = 5_000  # alerts; who had more in a week has other troubles
INCIDENTS: Final = 200
PRINT: Final = "() => window.print()"
INCIDENT_HEADINGS: Final = (
    "#", "Began", "Lasted", "Component", "Cause", "Recovery did", "Ticks missed", "Alerts", "Note",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Share:
    """Seconds of one component on one day: judged, and up of those."""

    judged: float = 0.0
    up: float = 0.0

    @property
    def ratio(self) -> float | None:
        return self.up / self.judged if self.judged else None


@dataclass(slots=True)
class Week:
    """What seven days held; None could not be read, and `failed` says why."""

    days: tuple[date, ...]
    now: datetime
    uptime: dict[str, list[Share]] = field(default_factory=dict)
    incidents: list[Incident] | None = None
    more_incidents: bool = False  # there were than are on the page
    gaps: list[Gap] | None = None
    alerts: dict[date, Counter[Severity]] | None = None
    more_alerts: bool = False  # there were than were counted
    drills: Mapping[str, DrillResult] | None = None
    failed: list[str] = field(default_factory=list)


def last_days(now: datetime, count: int = DAYS) -> tuple[date, ...]:
    """Return so many dates of IST, oldest first, today among them."""
    today = now.astimezone(IST).date()
    return tuple(today - timedelta(days=back) for back in range(count - 1, -1, -1))


def by_day(minutes: Sequence[Minute], days: Sequence[date]) -> list[Share]:
    """Return the shares of each day."""
    judged, up = dict.fromkeys(days, 0.0), dict.fromkeys(days, 0.0)
    for minute in minutes:
        day = minute.start.astimezone(IST).date()
        if day in judged:
            judged[day] += minute.judged
            up[day] += minute.up
    return [Share(judged[day], up[day]) for day in days]


def alerts_by_day(
    alerts: Sequence[Alert], days: Sequence[date], *, are_all: bool = True
) -> dict[date, Counter[Severity]]:
    """Return the counts of each day; if these are not all alerts, only from the oldest one on."""
    first = days[0] if are_all else alerts[-1].at.astimezone(IST).date()
    found: dict[date, Counter[Severity]] = {day: Counter() for day in days if day >= first}
    for alert in alerts:
        day = alert.at.astimezone(IST).date()
        if day in found:
            found[day][alert.severity] += alert.times
    return found


async def read_week(desk: Desk, room: Watchroom) -> Week:
    """Read all of it; what the disk does not give is named, and the rest stands."""
    now = desk.clock.now()
    week = Week(last_days(now), now)
    since = datetime.combine(week.days[0], time(), IST)
    if room.drills is not None:
        week.drills = room.drills.results()
    try:
        for health in room.watch.components():
            minutes = await room.uptime.minutes(health.name, since=since, until=now)
            week.uptime[health.name] = by_day(minutes, week.days)
            await asyncio.sleep(0)  # the prices of other pages go first
    except VigilError as error:
        week.failed.append(f"uptime: {error}")
    try:
        incidents = await room.journal.incidents(since=since, most=INCIDENTS + 1)
        week.incidents, week.more_incidents = incidents[:INCIDENTS], len(incidents) > INCIDENTS
        alerts, are_all = await _alerts(room.journal, since)
        week.alerts = alerts_by_day(alerts, week.days, are_all=are_all)
        week.more_alerts = not are_all
    except VigilError as error:
        week.failed.append(f"incidents and alerts: {error}")
    try:
        feeds = (desk.feed.name, *(feed.name for feed in desk.portfolio_feeds.values()))
        read = [await room.gaps.gaps(feed, since=since, until=now) for feed in feeds]
        week.gaps = [gap for gaps in read for gap in gaps]
    except VigilError as error:
        week.failed.append(f"gaps: {error}")
    return week


async def _alerts(journal: AlertJournal, since: datetime) -> tuple[list[Alert], bool]:
    """Return the alerts of the week, newest first, and whether they are all of them."""
    found: list[Alert] = []
    before: int | None = None
    while len(found) <= MOST:
        page = await journal.alerts(most=PAGE, before=before)
        found += [alert for alert in page if alert.at >= since]
        if len(page) < PAGE or page[-1].at < since:
            return found, True
        before = page[-1].id
    return found[:MOST], False


# the page


def install(desk: Desk) -> None:
    """Make the report known at its path; it is no page of the rail, and has no prices."""

    @ui.page(PATH, title="Vigil · seven days", response_timeout=PATIENCE)
    async def page() -> None:
        ui.add_css(frame.STYLE)
        ui.add_css(frame.HEALTH_STYLE)
        ui.dark_mode(False)
        week = await read_week(desk, desk.watch) if desk.watch is not None else None
        with ui.element("div").classes("h-report"):
            _head(desk)
            if week is None:
                ui.label("The watch is not running: nothing was kept.").mark("report-none")
            else:
                _draw(desk, week)


def _head(desk: Desk) -> None:
    now = desk.clock.now()
    days = last_days(now)
    with ui.element("header").classes("h-report-head"):
        ui.label(desk.world.word).classes(f"v-mode {frame.mode_class(desk.world)}").mark("mode")
        with ui.element("h1"):
            ui.label("Seven days of Vigil").props('role="presentation"')
        ui.label(f"{_day(days[0])} to {_day(days[-1])} {now.astimezone(IST):%Y, %H:%M} IST").mark(
            "report-span"
        )
        ui.element("div").classes("v-space")
        with ui.element("a").props('href="/status"'):
            ui.label("Back to Health")
        button = ui.button("Print", color=None).props("outline no-caps").mark("print")
        button.on("click", js_handler=PRINT)


def _draw(desk: Desk, week: Week) -> None:
    for what in week.failed:
        ui.label(f"Could not be read: {what}.").classes("v-problem").mark("report-failed")
    _uptime(desk, week)
    with _section("Incidents"):
        _incidents(week)
    with _section("Gaps"):
        _gaps(week)
    with _section("Alerts"):
        _alert_table(week)
    if week.drills is not None:
        with _section("Fire drills, last run of each (SIMULATED)"):
            _drills(week)


def _section(title: str) -> ui.element:
    section = ui.element("section")
    with section, ui.element("h2"):
        ui.label(title).props('role="presentation"')
    return section


def _uptime(desk: Desk, week: Week) -> None:
    with _section("Uptime, share of market time"), ui.element("div").classes("h-scroll"):
        headings = ["Component", *(_day(day) for day in week.days), "7 days"]
        with _table("uptime", headings, "h-uptime"):
            lines = {"Market": [market_word(desk, day) for day in week.days] + [Shown("")]}
            for name, shares in week.uptime.items():
                lines[name] = [words.share(s.ratio) for s in (*shares, _sum(shares))]
            for name, shown in lines.items():
                _line(headings, [Shown(name), *shown])


def _sum(shares: Sequence[Share]) -> Share:
    return Share(sum(s.judged for s in shares), sum(s.up for s in shares))


def market_word(desk: Desk, day: date) -> Shown:
    """Return what the market did on a day: its hours, a name of its own, or closed."""
    sessions = desk.hours.sessions(header_segment(desk), day)
    found = [session for session in sessions if session.phase is Phase.OPEN]
    if not found:
        noon = datetime.combine(day, time(12), IST)
        name = desk.hours.state(header_segment(desk), noon).name
        return Shown(name or "closed", Tone.MUTED)
    name = next((session.name for session in found if session.name), "")
    return Shown(name or "open")


def _incidents(week: Week) -> None:
    if week.incidents is None:
        return
    if not week.incidents:
        ui.label("None.").classes("v-note").mark("no-incidents")
        return
    if week.more_incidents:
        _only(INCIDENTS, "incidents")
    with _table("incidents", INCIDENT_HEADINGS, "h-wide"):
        for incident in week.incidents:
            _line(INCIDENT_HEADINGS, _incident_line(incident, week.now))


def _incident_line(incident: Incident, now: datetime) -> list[Shown]:
    length = ((incident.ended or now) - incident.began).total_seconds()
    lasted = words.duration(length) + ("" if incident.ended else ", still open")
    flaps = f", {incident.flaps} times" if incident.flaps > 1 else ""
    steps = "; ".join(f"{step.what}: {step.result}" for step in incident.steps)
    return [
        Shown(str(incident.number)),
        Shown(fmt.moment(incident.began, now)),
        Shown(lasted, Tone.NONE if incident.ended else Tone.BAD),
        Shown(str(incident.component) + (" SIM" if incident.is_mock else "")),
        Shown(incident.cause + flaps),
        Shown(steps or fmt.DASH),
        words.ticks_missed(incident.ticks_missed),
        Shown(fmt.whole(incident.alerts)),
        Shown(incident.note),
    ]


def _gaps(week: Week) -> None:
    if week.gaps is None:
        return
    if not week.gaps:
        ui.label("None.").classes("v-note").mark("no-gaps")
        return
    headings = ("Feed", *GAPS)
    seconds = sum(((g.end or week.now) - g.start).total_seconds() for g in week.gaps)
    many = "1 gap" if len(week.gaps) == 1 else f"{len(week.gaps)} gaps"
    ui.label(f"{many}, {words.duration(seconds)} in all").mark("gap-sum")
    with _table("gaps", headings, "h-wide"):
        for gap in week.gaps:
            _line(headings, [Shown(gap.feed), *gap_cells(gap, week.now)])


def _alert_table(week: Week) -> None:
    if week.alerts is None:
        return
    if week.more_alerts:
        _only(MOST, "alerts")
    severities = sorted(Severity, reverse=True)
    headings = ["", *(_day(day) for day in week.days), "7 days"]
    with ui.element("div").classes("h-scroll"), _table("alerts", headings, "h-uptime"):
        for severity in severities:
            found = [week.alerts.get(day) for day in week.days]
            counts = [None if each is None else each[severity] for each in found]
            total = sum(n for n in counts if n is not None)
            shown = [_count(n, is_bad=severity > Severity.INFO) for n in counts]
            _line(headings, [words.SEVERITIES[severity], *shown, _count(total)])


def _only(most: int, what: str) -> None:
    said = f"Only the latest {fmt.whole(most)} {what} are counted: there were more."
    ui.label(said).classes("v-problem").mark(f"only-{what}")


def _count(number: int | None, *, is_bad: bool = False) -> Shown:
    if number is None:
        return Shown(fmt.DASH, Tone.MUTED, "not counted: there were too many alerts after it")
    if is_bad:
        return words.wrong(number)
    return Shown(fmt.whole(number), Tone.NONE if number else Tone.MUTED)


def _drills(week: Week) -> None:
    assert week.drills is not None
    if not week.drills:
        ui.label("None was tried yet.").classes("v-note").mark("no-drills")
        return
    headings = ("Drill", "When", *DRILL_HEADINGS, "Verdict")
    with _table("drills", headings, "h-wide"):
        for name, result in week.drills.items():
            when = Shown(fmt.moment(result.began, week.now))
            line = [Shown(name), when, *scores(result), words.drill_verdict(result)]
            _line(headings, line)


def _table(name: str, headings: Sequence[str], classes: str) -> ui.element:
    with ui.element("table").classes(f"h-table {classes}").mark(f"report-{name}"):
        with ui.element("thead"), ui.element("tr"):
            for heading in headings:
                with ui.element("th").props('scope="col"'):
                    ui.label(heading)
        return ui.element("tbody")


def _line(headings: Sequence[str], line: Sequence[Shown]) -> None:
    with ui.element("tr"):
        for heading, shown in zip(headings, line, strict=True):
            table_cell(heading, shown)


def _day(day: date) -> str:
    return f"{day:%a} {day.day} {day:%b}"
