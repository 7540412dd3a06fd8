"""A way to a person that delivers nothing, or from a person that hears nothing."""

from collections.abc import Iterator

from alerts.sight import ChannelSight, Sight
from alerts.words import count, duration
from trading.health import Component, Finding, Severity

PHONE = "telegram"
COMMANDS = "telegram commands"


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
    heard = health.name == COMMANDS
    kept = f"You are not told that way; {count(health.queued, 'message')} kept for later"
    return Finding(
        rule="undeliverable",
        component=Component.PHONE if health.name.startswith(PHONE) else Component.CHANNELS,
        severity=Severity.WARNING,
        what=f"{health.name} {'are not heard' if heard else what}{because}",
        meaning="What you type on the phone does nothing" if heard else kept,
        act="Look at this page until it is mended",
        about=health.name,
    )
