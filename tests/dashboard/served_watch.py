"""A desk whose watch is scripted, in trouble or well, served like the real one for a browser."""

import argparse
import asyncio
import logging
import random
from dataclasses import replace
from datetime import timedelta

from nicegui import app

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
    latencies,
    ledger,
    log,
    script,
    uptime,
)
from tests.dashboard.served import serve
from trading.clock import SystemClock
from trading.desk import Desk
from trading.health import (
    ChannelHealth,
    Check,
    Component,
    Condition,
    DrillResult,
    Hop,
    HopMinute,
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
        matter="no_prices",
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


def hops(desk: Desk) -> None:
    """Let an hour of latencies be known, with a closed stretch, an outage and one bad minute."""
    made = random.Random(3)
    present = desk.clock.now().replace(second=0, microsecond=0)
    usual = {Hop.ARRIVAL: (41.0, 88.0), Hop.DECODE: (0.08, 0.31), Hop.SCREEN: (131.0, 252.0)}
    for hop, (p50, p99) in usual.items():
        for back in range(48, 0, -1):
            if back in (30, 31, 1):
                continue
            worse = 6.0 if back == 17 else 1.0
            low, high = (v * made.uniform(0.85, 1.15) for v in (p50, p99))
            minute = HopMinute(present - timedelta(minutes=back), 900, low, high * worse)
            latencies(desk.watch).known[hop].append(minute)


def said(desk: Desk) -> None:
    """Let the market feed have logged what it does in such a morning."""
    says = log(desk.watch).says
    for attempt in range(1, 12):
        text = f"market: connecting -> backing off, cannot be reached, attempt {attempt}"
        says("feeds.connection.market", text)
    says("feeds.upstox.market_feed", "market: 12 instruments are over the limit", logging.WARNING)
    odd = "market: unexpected trouble (ValueError: <b>bold</b> " + "x" * 150 + ")"
    says("feeds.connection.market", odd, logging.ERROR)


def week(desk: Desk) -> None:
    """Fill the uptime of seven days."""
    made = random.Random(7)
    now = desk.clock.now().replace(second=0, microsecond=0)
    for health in script(desk.watch).rows:
        minutes = []
        for back in range(6 * 24 * 60, 0, -5):
            up = 60.0 if made.random() > 0.004 else 20.0
            minutes.append(Minute(now - timedelta(minutes=back), 60.0, up, 100))
        uptime(desk.watch).fill(health.name, minutes)


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
        hops(desk)
        said(desk)

    async def trade() -> None:
        while True:
            await asyncio.sleep(random.uniform(0.15, 0.25))
            desk.market_data.publish(market.batch([NIFTY, BANK]))

    desk.market_data.publish(market.batch([NIFTY, BANK]))
    app.on_startup(trade)
    serve(desk, arguments.port)


if __name__ == "__main__":
    main()
