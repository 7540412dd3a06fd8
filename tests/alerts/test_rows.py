"""The rows of the ways to a person: only what was sent to one counts as a message."""

from dataclasses import replace
from datetime import timedelta

import pytest

from alerts.rows import rows
from alerts.sight import ChannelSight
from tests.alerts.timeline import NOON
from tests.alerts.watch_rig import WatchRig
from trading.health import ChannelHealth, Component

LATER = NOON + timedelta(hours=1)


@pytest.mark.parametrize(
    ("component", "channels", "words"),
    [
        (
            Component.PHONE,
            (
                ChannelHealth("telegram", "ok", last_sent=NOON),
                ChannelHealth("telegram commands", "ok", last_sent=LATER),
            ),
            "telegram, telegram commands: last message 12:00:00",
        ),
        (
            Component.PHONE,
            (
                ChannelHealth("telegram", "ok", queued=2),
                ChannelHealth("telegram commands", "ok", last_sent=LATER),
            ),
            "telegram, telegram commands: no message yet, 2 waiting",
        ),
        (
            Component.CHANNELS,
            (
                ChannelHealth("webhook", "ok", last_sent=NOON),
                ChannelHealth("heartbeat", "ok", last_sent=LATER),
            ),
            "webhook, heartbeat: last message 12:00:00",
        ),
        (
            Component.CHANNELS,
            (
                ChannelHealth("webhook", "off"),
                ChannelHealth("heartbeat", "ok", last_sent=LATER),
            ),
            "heartbeat",
        ),
    ],
)
async def test_what_was_heard_or_called_is_no_message_to_a_person(
    component: Component, channels: tuple[ChannelHealth, ...], words: str
) -> None:
    rig = WatchRig()
    await rig.live(3)
    sight = replace(rig.look(), channels=tuple(map(ChannelSight, channels)))

    found = {row.component: row.words for row in rows(sight, recovery="idle")}

    assert found[component] == words
