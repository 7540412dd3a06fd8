"""A desk whose watch is scripted, in trouble or well, served like the real one for a browser."""

import argparse
import asyncio
import random
from dataclasses import replace
from datetime import timedelta

from nicegui import app, ui

from dashboard.app import register
from dashboard.guard import Security
from tests.dashboard.fakes import (
    ALWAYS,
    BANK,
    NIFTY,
    Market,
    MemoryFeed,
    instruments,
    make_desk,
)
from tests.dashboard.scripted_watch import (
    drills,
    feed_incident,
    health_alert,
    ledger,
    script,
    uptime,
)
from trading.clock import SystemClock
from trading.desk import Desk
from trading.health import (
    ChannelHealth,
    Check,
    Component,
    Condition,
    DrillResult,
    Incident,
    IncidentStep,
    Minute,
    Severity,
)
from trading.model import Gap
from trading.ports import FeedState


def trouble(desk: Desk) -> None:
    """Let the market feed be down, the phone unreachable, and the morning have had its troubles."""
    clock, now = desk.clock, desk.clock.now()
    watch = script(desk.watch)
    assert isinstance(desk.feed, MemoryFeed)
    desk.feed.now(
        state=FeedState.BACKING_OFF,
        since=now - timedelta(seconds=47),
        reason="closed by the exchange (1006)",
        attempt=3,
        next_attempt_in=4.2,
    )
    feed = next(r for r in watch.rows if r.component is Component.MARKET_FEED)
    strip = list(feed.strip)
    strip[20] = replace(strip[20], up=41.0, errors=3)
    strip[-1] = replace(strip[-1], up=0.0, messages=0)
    strip[-2] = replace(strip[-2], up=22.0, messages=810)
    strip[:12] = [Minute(m.start) for m in strip[:12]]
    watch.becomes(
        Component.MARKET_FEED,
        condition=Condition.DOWN,
        since=now - timedelta(seconds=47),
        words="attempt 3 of unlimited, next in 4.2 s",
        strip=tuple(strip),
        reconnects=4,
    )
    watch.becomes(
        Component.PHONE,
        condition=Condition.PENDING,
        words="3 messages wait, tried again in 8 s",
        strip=feed.strip[5:30],
    )
    watch.muted[str(Component.CHANNELS)] = now + timedelta(minutes=48)
    number = watch.happens(feed_incident(clock, ago=47)).number
    watch.happens(feed_incident(clock, ended=True, ago=5_400))
    watch.happens(
        Incident(
            "order_unanswered 17",
            Component.BOOKS,
            Severity.WARNING,
            now - timedelta(hours=26),
            "an order had no answer for 6 s",
            True,
            ended=now - timedelta(hours=26) + timedelta(seconds=7.4),
            steps=(
                IncidentStep(now - timedelta(hours=26), "read the order book", "it is working"),
            ),
            acknowledged=now - timedelta(hours=25),
            acknowledged_by="page",
            note="the broker was slow that morning",
            alerts=1,
        )
    )
    watch.raises(health_alert(clock, incident=number))
    watch.raises(health_alert(clock, severity=Severity.WARNING, title="telegram answers slowly"))
    watch.ways[0] = ChannelHealth(
        "telegram", "waiting", "429, too many requests", 3, 11, 2, 0, now, 240.0,
        now + timedelta(seconds=8),
    )  # fmt: skip
    watch.before_open.append(
        Check("Clock", False, "1.8 s ahead", "sync the clock: sudo chronyc makestep", grave=False)
    )
    watch.before_open.append(Check("Yesterday's positions", False, "1 differs", "open Positions"))
    gap = Gap("market", now - timedelta(minutes=90), now - timedelta(minutes=89), "stalled", True)
    ledger(desk.watch).kept = [
        replace(gap, number=1, instruments=44, ticks_missed=1_780, filled=2, fill_words="of 44"),
        replace(gap, number=2, start=now - timedelta(seconds=47), end=None, reason="closed (1006)"),
    ]
    scripted = drills(desk.watch)
    scripted.last["freeze"] = DrillResult(
        "freeze", now - timedelta(hours=2), 15.4, 17.9, 6_120, 2, 16.1,
        now - timedelta(hours=2), True,
    )  # fmt: skip
    scripted.last["expired token"] = DrillResult(
        "expired token", now - timedelta(hours=1), 0.1, None, 410, 1, 0.6,
        now - timedelta(hours=1), False, "no price within 60 s",
    )  # fmt: skip
    scripted.goes(DrillResult("pull the plug", now, 0.1, words="waiting for a price"))


def week(desk: Desk) -> None:
    """Fill the uptime of seven days."""
    made = random.Random(7)
    now = desk.clock.now().replace(second=0, microsecond=0)
    for health in script(desk.watch).rows:
        minutes = []
        for back in range(6 * 24 * 60, 0, -5):
            up = 60.0 if made.random() > 0.004 else 20.0
            minutes.append(Minute(now - timedelta(minutes=back), 60.0, up, 100))
        uptime(desk.watch).kept[health.name] = minutes


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--trouble", action="store_true")
    arguments = parser.parse_args()
    clock = SystemClock()
    known = instruments(20, clock.now().date() + timedelta(days=5))
    desk = make_desk(clock, rules=ALWAYS, known=known)
    market = Market(clock)
    week(desk)
    if arguments.trouble:
        trouble(desk)

    async def trade() -> None:
        while True:
            await asyncio.sleep(random.uniform(0.15, 0.25))
            desk.market_data.publish(market.batch([NIFTY, BANK]))

    desk.market_data.publish(market.batch([NIFTY, BANK]))
    app.on_startup(trade)
    register(desk, Security(port=arguments.port))
    ui.run(
        host="127.0.0.1",
        port=arguments.port,
        reload=False,
        show=False,
        title="Vigil",
        dark=True,
        tailwind=False,
        message_history_length=200,
        show_welcome_message=False,
        timeout_graceful_shutdown=2,
        binding_refresh_interval=None,
    )


if __name__ == "__main__":
    main()
