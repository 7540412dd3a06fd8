"""/ack /mute /unmute /reconnect: what one says to the watch."""

import re
from typing import Final

from alerts import words
from alerts.bot.answer import Answer
from alerts.bot.asked import Asked, Command
from alerts.bot.markup import text
from trading.errors import VigilError
from trading.health import Component

LONGEST: Final = 24 * 60.0  # minutes
WHOLE: Final = "but what is critical still comes"
ALL_OF_IT: Final = "what is critical of it too"
USUAL: Final = 60.0
_TIME: Final = re.compile(r"(\d{1,4})(m|min|h)?")


def by(asked: Asked) -> str:
    """Return who did it, as incidents and orders keep it."""
    return f"{asked.person.name} (phone)"


async def acknowledge(asked: Asked) -> Answer:
    numbers = [int(w[1:]) for w in asked.words if re.fullmatch(r"[aA]\d{1,9}", w)]
    numbers += [int(w) for w in asked.words if re.fullmatch(r"\d{1,9}", w)]
    if asked.words and not numbers and asked.words[0].lower() != "all":
        return Answer("ACK", (text("Which? /ack A17, or /ack for all of them"),))
    try:
        count = await asked.room.watch.acknowledge(by(asked), numbers=numbers or None)
    except VigilError as error:
        return Answer("NOT ACKNOWLEDGED", (text(str(error)),))
    left = len(asked.room.watch.unacknowledged())
    more = f"{left} still wait." if left else "Nothing else waits."
    if not count:
        what = "No alert of that number waits" if numbers else "It was acknowledged already"
        return Answer("ACK", (text(f"{what}. {more}"),))
    return Answer(f"ACKNOWLEDGED {words.count(count, 'alert')}", (text(more),))


async def mute(asked: Asked) -> Answer:
    """Mute a key or a component; without one, whatever is being told of now."""
    minutes, key = USUAL, asked.rest
    if asked.words and (found := _TIME.fullmatch(asked.words[0].lower())):
        minutes = float(found[1]) * (60 if found[2] == "h" else 1)
        key = " ".join(asked.words[1:])
    minutes = min(minutes, LONGEST)
    if not minutes:
        return await unmute(asked)
    watch = asked.room.watch
    told = [a.key for a in watch.unacknowledged()] + [i.key for i in watch.open_incidents()]
    keys = [key] if key else list(dict.fromkeys(told))
    if not keys:
        return Answer("MUTE", (text("Nothing is wrong now: say what, /mute 1h market feed"),))
    try:
        for one in keys:
            await watch.mute(one, minutes)
    except VigilError as error:
        return Answer("NOT MUTED", (text(str(error)),))
    lasts = words.duration(60 * minutes)
    whole = set(map(str, Component))
    lines = [
        f"{one}: silent for {lasts}, {WHOLE if one in whole else ALL_OF_IT}. /unmute ends it"
        for one in keys
    ]
    return Answer("MUTED", (text(*lines),))


async def unmute(asked: Asked) -> Answer:
    watch = asked.room.watch
    keys = [asked.rest] if asked.rest and asked.words[0] != "0" else list(watch.mutes())
    if not keys:
        return Answer("UNMUTE", (text("Nothing is muted."),))
    try:
        for key in keys:
            await watch.mute(key, 0)
    except VigilError as error:
        return Answer("NOT UNMUTED", (text(str(error)),))
    return Answer("UNMUTED", (text(*keys),))


async def reconnect(asked: Asked) -> Answer:
    feed = asked.rest or asked.desk.feed.name
    try:
        await asked.room.watch.reconnect(feed, by(asked))
    except VigilError as error:
        return Answer("NOT RECONNECTED", (text(str(error)),))
    return Answer("RECONNECTING", (text(f"{feed}: dialling anew, /status says when it is back"),))


COMMANDS: Final = (
    Command("ack", "say that you have seen alerts", acknowledge, "[A17]", notice=True),
    Command("mute", "hear nothing of something", mute, "[1h] [what]", notice=True),
    Command("unmute", "hear of it again", unmute, "[what]", notice=True),
    Command("reconnect", "have a feed dial anew", reconnect, "[feed]", notice=True),
)
