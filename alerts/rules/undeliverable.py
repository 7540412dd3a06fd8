"""A way to a person that delivers nothing."""

from collections.abc import Iterator

from alerts.sight import ChannelSight, Sight
from alerts.words import count, duration
from trading.health import Component, Finding, Severity

PHONE = "telegram"


def check(sight: Sight) -> Iterator[Finding]:
    for channel in sight.channels:
        state = channel.health.state
        if state == "contested":
            yield _finding(channel, "is also read by another program")
        elif state == "down":
            yield _finding(channel, "does not deliver")
        elif channel.held_up >= sight.limits.undelivered:
            yield _finding(channel, f"has delivered nothing for {duration(channel.held_up)}")


def _finding(channel: ChannelSight, what: str) -> Finding:
    health = channel.health
    because = f": {health.reason}" if health.reason else ""
    return Finding(
        rule="undeliverable",
        component=Component.PHONE if health.name.startswith(PHONE) else Component.CHANNELS,
        severity=Severity.WARNING,
        what=f"{health.name} {what}{because}",
        meaning=f"You are not told that way; {count(health.queued, 'message')} kept for later",
        act="Look at this page for alerts until it is mended",
        about=health.name,
    )
