"""What a person does with alerts on a page: acknowledge, mute, have a feed dialled again."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

from dashboard import alert_words as words
from dashboard import format as fmt
from dashboard.alert_board import AlertBoard
from trading.errors import VigilError
from trading.health import Alert

BY: Final = "page"
MUTE_MINUTES: Final = 60.0


@dataclass(frozen=True, slots=True)
class AlertActs:
    """The acts of one tab; `say` tells what came of them where that cannot be seen."""

    board: AlertBoard
    say: Callable[[str], None]

    async def acknowledge(self, alerts: Sequence[Alert]) -> None:
        """Acknowledge these, and none that came while the button was being pressed."""
        room = self.board.room
        numbers = [alert.id for alert in alerts if alert.id]
        if room is None or not numbers:
            return
        try:
            await room.watch.acknowledge(BY, numbers=numbers)
        except VigilError as error:
            self.say(f"Not acknowledged: {error}. It is asked for again until you do. Try again.")
        self.board.look()

    async def mute(self, key: str, minutes: float = MUTE_MINUTES) -> None:
        """Keep a key silent; 0 lets it be heard again."""
        room = self.board.room
        if room is None:
            return
        try:
            await room.watch.mute(key, minutes)
        except VigilError as error:
            self.say(f"Not muted: {error}")
            return
        self.board.look()
        until = self.board.mutes.get(key)
        if until is None:
            self.say(f"Heard again: {key}")
        else:
            at = fmt.moment(until, self.board.clock.now())
            self.say(f"Muted until {at}: {key}. It is still shown here, and nothing is sent.")

    async def reconnect(self, alert: Alert) -> None:
        room, feed = self.board.room, words.feed_of(alert)
        if room is None or not feed:
            return
        try:
            await room.watch.reconnect(feed, BY)
        except VigilError as error:
            self.say(f"Not reconnected: {error}")
            return
        self.say("Reconnecting. A price, or a message of the stream, will show that it is back.")
