"""What a person does with alerts on a page: acknowledge, mute, have a feed dialled again."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from dashboard import alert_words as words
from dashboard import format as fmt
from dashboard.acts import BY, MUTE, Say, told
from dashboard.alert_board import AlertBoard
from trading.health import Alert

NOT_WRITTEN: Final = (
    "Not acknowledged: the disk has not taken this alert yet, so it has no number. Try again in a "
    "moment; if it lasts, look at the storage on the Health page."
)
STILL_ASKED: Final = "It is asked for again until you do. Try again."


@dataclass(frozen=True, slots=True)
class AlertActs:
    """The acts of one tab; `say` tells what came of them where that cannot be seen."""

    board: AlertBoard
    say: Say

    async def acknowledge(self, alerts: Sequence[Alert]) -> None:
        """Acknowledge these, and none that came while the button was being pressed."""
        room = self.board.room
        if room is None or not alerts:
            return
        numbers = [alert.id for alert in alerts if alert.id]
        if not numbers:
            self.say(NOT_WRITTEN)
            return
        act = room.watch.acknowledge(BY, numbers=numbers)
        await told(self.say, act, "", undone="Not acknowledged", after=STILL_ASKED)
        self.board.look()

    async def mute(self, key: str, minutes: float = MUTE) -> None:
        """Keep a key silent; 0 lets it be heard again."""
        room = self.board.room
        if room is None:
            return
        if not await told(self.say, room.watch.mute(key, minutes), "", undone="Not muted"):
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
        done = "Reconnecting. A price, or a message of the stream, will show that it is back."
        await told(self.say, room.watch.reconnect(feed, BY), done, undone="Not reconnected")
