"""Alerts, incidents and letters for tests: plain ones, and any that hypothesis can think of."""

from dataclasses import replace
from datetime import timedelta
from typing import Any, Final

from hypothesis import strategies as st

from tests.storage.account import MORNING, moments, words
from trading.health import (
    Alert,
    Button,
    Component,
    Incident,
    IncidentStep,
    Occasion,
    Severity,
)
from trading.health_ports import News, Post

WORLD: Final = "simulated broker"
LATER: Final = MORNING + timedelta(hours=1)

HOSTILE: Final = (
    "M&M",
    "BAJAJ-AUTO",
    "Nifty 50",
    "'; DROP TABLE alerts;--",
    "<img src=x onerror=alert(1)>",
    "<script>alert(1)</script>",
    "{{7*7}}",
    "\u202egnp.exe\u200b",
    "\U0001f4a5" * 100,
    "x" * 10_000,
    "one line\nanother\r\nand a\ttab",
    "%00\x00../../etc",
    "*_[]()~`>#+-=|{}.!\\",
)


def alert(key: str = "no_prices", **fields: Any) -> Alert:
    plain = Alert(
        key=key,
        component=Component.MARKET_FEED,
        occasion=Occasion.BEGIN,
        severity=Severity.WARNING,
        at=MORNING,
        title="market feed silent for 17 s",
        lines=("prices of 3 open positions are old", "it is being reconnected"),
        link="/status",
        mode="simulated",
        is_mock=True,
    )
    return replace(plain, **fields)


def incident(key: str = "no_prices", **fields: Any) -> Incident:
    plain = Incident(
        key=key,
        component=Component.MARKET_FEED,
        severity=Severity.WARNING,
        began=MORNING,
        cause="silent for 17 s",
        is_mock=True,
    )
    return replace(plain, **fields)


def by(*channels: str, **fields: Any) -> tuple[Post, ...]:
    return tuple(replace(Post(channel, MORNING), **fields) for channel in channels)


def news(key: str = "no_prices", *channels: str, **fields: Any) -> News:
    """Return an alert on its way through these channels, telegram if none is named."""
    return News(alert(key, **fields), by(*(channels or ("telegram",))))


# Anything at all

counts = st.integers(0, 1 << 40)
buttons = st.lists(st.builds(Button, words=words, command=words), max_size=3).map(tuple)
alerts = st.builds(
    Alert,
    key=words,
    component=st.sampled_from(Component),
    occasion=st.sampled_from(Occasion),
    severity=st.sampled_from(Severity),
    at=moments,
    title=words,
    lines=st.lists(words, max_size=4).map(tuple),
    link=words,
    mode=words,
    is_mock=st.booleans(),
    kind=words,
    buttons=buttons,
    times=counts,
    acknowledged=st.none() | moments,
    acknowledged_by=words,
)
steps = st.builds(IncidentStep, at=moments, what=words, result=words)
incidents = st.builds(
    Incident,
    key=words,
    component=st.sampled_from(Component),
    severity=st.sampled_from(Severity),
    began=moments,
    cause=words,
    is_mock=st.booleans(),
    ended=st.none() | moments,
    steps=st.lists(steps, max_size=4).map(tuple),
    flaps=counts,
    ticks_missed=st.none() | counts,
    acknowledged=st.none() | moments,
    acknowledged_by=words,
    note=words,
)
