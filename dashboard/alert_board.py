"""What all open tabs show of the watch, looked up twice a second for all of them together."""

from collections import deque
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from dashboard.live import SLOW_BEATS
from trading.clock import Clock, SystemClock
from trading.health import Alert, ChannelHealth, Check, Severity
from trading.health_ports import Watchroom
from trading.signal import Signal

NEW_WITHIN: Final = 15.0  # seconds that an alert is news for a tab that is opened
HEALTH: Final = "health"  # the kind of what the watch finds
REMEMBERED: Final = 40  # fresh alerts between two looks; what is more is in the inbox


class AlertBoard:
    """The snapshot behind the light, the bell, the banner, the drawer and the Alerts page.

    Nobody asks the watch but this; `changes` says that alerts, their acknowledgements or mutes
    are not what they were, `delivered` that a channel has sent or given up something.
    """

    def __init__(self, room: Watchroom | None = None, clock: Clock | None = None) -> None:
        self.room = room
        self.clock = clock or SystemClock()
        self.changes: Signal[None] = Signal("alerts on pages")
        self.fresh: Signal[Sequence[Alert]] = Signal("fresh alerts on pages")
        self.looked: Signal[None] = Signal("looks at the watch")
        self.delivered: Signal[None] = Signal("deliveries on pages")
        self.inputs: Sequence[Check] | None = None  # of the light; None where nothing is watched
        self.unacknowledged: tuple[Alert, ...] = ()  # newest first
        self.mutes: Mapping[str, datetime] = {}
        self.channels: Sequence[ChannelHealth] = ()
        self.pressing: frozenset[str] = frozenset()  # keys of what is critical now
        self.alive_age: float | None = None  # of the watch when it was asked for the inputs
        self._raised: deque[tuple[float, Alert]] = deque(maxlen=REMEMBERED)  # monotonic
        self._beats = 0
        if room is not None:
            room.watch.alerts.subscribe(
                lambda alert: self._raised.append((self.clock.monotonic(), alert))
            )
            self.look()

    @property
    def critical(self) -> list[Alert]:
        return [alert for alert in self.unacknowledged if alert.severity is Severity.CRITICAL]

    def acting(self) -> list[Alert]:
        """Return critical alerts whose matter is there now, one of each key, newest first.

        What the watch found may be well for the moment, though its incident is open; and what an
        earlier run of the desk found may be over.
        """
        found: dict[str, Alert] = {}
        for alert in self.critical:
            if alert.kind != HEALTH or alert.key in self.pressing:
                found.setdefault(alert.key, alert)
        return list(found.values())

    def beat(self) -> Mapping[str, Any]:
        """Look at every other refresh; return what the titles of the tabs have to warn of."""
        self._beats += 1
        if self._beats % SLOW_BEATS == 0:
            self.look()
        return {"urgent": bool(self.critical)}

    def look(self) -> None:
        """Read the watch, and tell what has changed since the look before."""
        if self.room is None:
            return
        watch = self.room.watch
        self.inputs, self.alive_age = watch.inputs(), watch.alive_age()
        self._look_at_channels(watch.channels())
        now, moment = self.clock.now(), self.clock.monotonic()
        fresh = [alert for raised, alert in self._raised if moment - raised < NEW_WITHIN]
        if self.fresh:  # else it waits for the tab that is being opened
            self._raised.clear()
        before = (self.unacknowledged, self.mutes, self.pressing)
        self.unacknowledged = tuple(reversed(watch.unacknowledged()))
        self.mutes = {key: until for key, until in watch.mutes().items() if until > now}
        self.pressing = watch.pressing()
        if fresh or before != (self.unacknowledged, self.mutes, self.pressing):
            self.changes.emit(None)
        if fresh:
            self.fresh.emit(fresh)
        self.looked.emit(None)

    def is_muted(self, alert: Alert) -> bool:
        """Return whether somebody wants to hear nothing of it; a mute of a component never holds
        back what is critical.
        """
        of_component = str(alert.component) in self.mutes and alert.severity < Severity.CRITICAL
        return alert.key in self.mutes or of_component

    def quiet(self) -> bool:
        routes = self.room.routes if self.room else None
        return routes is not None and routes.is_quiet(self.clock.now())

    def _look_at_channels(self, channels: Sequence[ChannelHealth]) -> None:
        before, self.channels = self.channels, list(channels)
        if [_letters(c) for c in before] != [_letters(c) for c in self.channels]:
            self.delivered.emit(None)


def _letters(channel: ChannelHealth) -> tuple[str, str, int, int, int, int]:
    return (
        channel.name,
        channel.state,
        channel.queued,
        channel.sent,
        channel.retried,
        channel.parked,
    )
