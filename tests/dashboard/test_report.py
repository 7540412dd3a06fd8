"""The seven-day report: what is summed to a day, what is on it, what it says of a bad disk."""

from collections import Counter
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta

import pytest
from nicegui import ui
from nicegui.testing import User

from dashboard.report import INCIDENTS, MOST, alerts_by_day, by_day, last_days
from tests.dashboard.conftest import serving
from tests.dashboard.fakes import OPEN_NOW, make_desk
from tests.dashboard.hands import found, text
from tests.dashboard.scripted_watch import (
    ScriptedWatch,
    drills,
    feed_incident,
    health_alert,
    ledger,
    script,
    uptime,
)
from trading.clock import ManualClock
from trading.desk import Desk
from trading.errors import Retryable
from trading.health import DrillResult, Minute, Severity
from trading.hours import Holiday
from trading.model import Gap

DAYS = last_days(OPEN_NOW)


@pytest.fixture
def watch(desk: Desk) -> ScriptedWatch:
    return script(desk.watch)


def lines(user: User, table: str) -> list[list[str]]:
    """Return the texts of a table, its headings first."""
    rows = [e for e in found(user, f"report-{table}")[-1].descendants() if e.tag == "tr"]
    return [[x.text for x in row.descendants() if isinstance(x, ui.label)] for row in rows]


def test_seven_days_end_today_in_the_zone_of_the_exchange() -> None:
    late = datetime(2025, 11, 26, 20, 0, tzinfo=UTC)  # 01:30 IST of the next day

    assert last_days(late)[-1] == date(2025, 11, 27)
    assert last_days(late)[0] == date(2025, 11, 21)


def test_minutes_are_summed_to_days_of_the_exchange() -> None:
    midnight = datetime(2025, 11, 25, 18, 30, tzinfo=UTC)  # 00:00 IST of the 26th
    minutes = [
        Minute(midnight - timedelta(minutes=1), 60.0, 0.0),
        Minute(midnight, 60.0, 45.0),
        Minute(midnight + timedelta(minutes=1), 60.0, 60.0),
        Minute(midnight - timedelta(days=30), 60.0, 60.0),
    ]

    shares = by_day(minutes, DAYS)

    assert [share.ratio for share in shares] == [None] * 5 + [0.0, 0.875]


def test_alerts_are_counted_by_day_and_severity_folded_ones_too(clock: ManualClock) -> None:
    alert = replace(health_alert(clock), times=4)
    old = replace(alert, at=OPEN_NOW - timedelta(days=8))
    info = replace(alert, severity=Severity.INFO, times=1)

    found = alerts_by_day([alert, old, info], DAYS)

    assert found[DAYS[-1]] == Counter({Severity.CRITICAL: 4, Severity.INFO: 1})
    assert sum(map(Counter.total, found.values())) == 5


async def test_the_report_holds_the_week(
    user: User, desk: Desk, watch: ScriptedWatch, clock: ManualClock
) -> None:
    now = clock.now()
    minutes = [
        Minute(now - timedelta(minutes=2), 60.0, 30.0),
        Minute(now - timedelta(days=1), 60.0, 60.0),
    ]
    uptime(desk.watch).fill("market feed", minutes)
    over = replace(feed_incident(clock, ended=True, ago=600), note="<script>alert(1)</script>")
    watch.happens(over)
    watch.happens(feed_incident(clock))
    watch.raises(health_alert(clock))
    gap = Gap("market", now - timedelta(seconds=20), now, "stalled", True, 1, 44, 1_780, 2, "of 44")
    ledger(desk.watch).kept = [gap]
    drills(desk.watch).last["freeze"] = DrillResult(
        "freeze", now, 15.4, 17.9, 9, 1, 16.0, now, True
    )

    await user.open("/report")

    assert text(user, "mode") == "SIMULATED"
    assert text(user, "report-span") == "Thu 20 Nov to Wed 26 Nov 2025, 11:00 IST"
    table = lines(user, "uptime")
    assert table[1] == ["Market", "open", "open", "closed", "closed", "open", "open", "open", ""]
    assert table[2] == ["market feed", "—", "—", "—", "—", "—", "100%", "50.00%", "75.00%"]
    incidents = lines(user, "incidents")[1:]
    assert [line[0] for line in incidents] == ["2", "1"]
    assert incidents[0][2] == "1m 30s, still open"
    assert incidents[1][-1] == "<script>alert(1)</script>"
    assert "reconnect: a price after 1.2 s" in incidents[1][5]
    assert text(user, "gap-sum") == "1 gap, 20s in all"
    assert lines(user, "gaps")[1][:4] == ["market", "10:59:40", "11:00:00", "20s"]
    assert lines(user, "alerts")[1] == ["✖ critical", *["0"] * 6, "1", "1"]
    assert lines(user, "drills")[1][-1] == "● passed"


async def test_holidays_have_their_names(clock: ManualClock) -> None:
    desk = make_desk(clock)
    monday = date(2025, 11, 24)
    desk.hours.replace(
        replace(desk.hours.rules, holidays=(Holiday(monday, "NSE_INDEX", "Guru Nanak"),))
    )
    async with serving(desk) as user:
        await user.open("/report")

        assert lines(user, "uptime")[1][5] == "Guru Nanak"


async def test_an_empty_week_says_so(user: User) -> None:
    await user.open("/report")

    for what in ("no-incidents", "no-gaps"):
        assert text(user, what) == "None."
    assert text(user, "no-drills") == "None was tried yet."


async def test_what_is_not_counted_is_said_and_no_zero(
    user: User, desk: Desk, watch: ScriptedWatch, clock: ManualClock
) -> None:
    alert = health_alert(clock)
    days = [replace(alert, at=clock.now() - timedelta(days=back)) for back in (3, 2, 1)]
    for told in (days[0], *[days[1]] * 1_001, *[days[2]] * (MOST - 500)):
        watch.raises(told)
    for n in range(INCIDENTS + 1):
        watch.happens(replace(feed_incident(clock, ended=True, ago=600 + n), key=f"k{n}"))

    await user.open("/report")

    assert lines(user, "alerts")[1] == [
        "✖ critical", *["—"] * 4, "500", f"{MOST - 500:,}", "0", f"{MOST:,}"
    ]  # fmt: skip
    assert text(user, "only-alerts") == "Only the latest 5,000 alerts are counted: there were more."
    assert len(lines(user, "incidents")) == 1 + INCIDENTS
    assert text(user, "only-incidents").startswith("Only the latest 200 incidents are counted")


async def test_what_the_disk_does_not_give_is_named_and_the_rest_stands(
    user: User, desk: Desk, watch: ScriptedWatch, clock: ManualClock
) -> None:
    watch.happens(feed_incident(clock))
    ledger(desk.watch).error = Retryable("another program holds the database locked")

    await user.open("/report")

    said = "Could not be read: gaps: another program holds the database locked."
    assert text(user, "report-failed") == said
    assert not found(user, "no-gaps")
    assert len(lines(user, "incidents")) == 2


async def test_without_a_watch_there_is_nothing_to_report(
    clock: ManualClock, no_errors: None
) -> None:
    async with serving(replace(make_desk(clock), watch=None)) as user:
        await user.open("/report")

        assert text(user, "report-none") == "The watch is not running: nothing was kept."


async def test_the_health_page_leads_to_the_report(user: User) -> None:
    await user.open("/status")

    assert found(user, "report-link")[-1]._props["href"] == "/report"
