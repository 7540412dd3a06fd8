"""/q: the price of anything on the list, with its source and its age."""

import asyncio
import math
import re
from typing import Final

from alerts import words
from alerts.bot import figures
from alerts.bot.answer import Answer
from alerts.bot.asked import Asked, Command
from alerts.bot.markup import text
from trading.desk import Desk
from trading.errors import VigilError
from trading.health import Button
from trading.model import Instrument, Mode

WAITS: Final = 2.5  # seconds for a first price of what nobody watches
STEP: Final = 0.1
OTHERS: Final = 3
_GLUED: Final = re.compile(r"(\d)(ce|pe)\b", re.IGNORECASE)


async def quote(asked: Asked) -> Answer:
    if not asked.words:
        return Answer("QUOTE", (text("Which? For example /q nifty, /q nifty 24000ce"),))
    try:
        found = await asked.desk.catalogue.search(
            _GLUED.sub(r"\1 \2", asked.rest), limit=1 + OTHERS
        )
    except VigilError as error:
        return Answer("QUOTE", (text(f"The list of instruments cannot be read: {error}"),))
    if not found:
        return Answer("QUOTE", (text(f"Nothing on the list is “{asked.rest}”."),))
    first, *others = found
    lines = await _quoted(asked.desk, first)
    if others:
        lines.append("Also: " + ", ".join(other.title for other in others))
    key = Button("Refresh", f"q {first.symbol}")
    return Answer(f"QUOTE  {first.title}", (text(*lines),), ((key,),))


async def _quoted(desk: Desk, instrument: Instrument) -> list[str]:
    """Read the price; what nobody watches is watched for as long as it takes to arrive."""
    key = instrument.instrument_key
    undo = (desk.subscriptions.hold("phone", [key], Mode.FULL), desk.marks.want("phone", [key]))
    try:
        for _ in range(round(WAITS / STEP)):
            if desk.marks.of(key) is not None:
                break
            await asyncio.sleep(STEP)
        return _lines(desk, key)
    finally:
        for release in undo:
            release()


def _lines(desk: Desk, key: str) -> list[str]:
    lines = [figures.price_line(desk, key)]
    mark, tick = desk.marks.of(key), desk.market_data.last(key)
    if mark is not None and (math.isfinite(mark.bid) or math.isfinite(mark.ask)):
        lines.append(f"bid {words.price(mark.bid)} · ask {words.price(mark.ask)}")
    if tick is not None:
        lines.append(f"close of yesterday {words.price(tick.close)}")
    return lines


COMMANDS: Final = (
    Command("q", "a price with its source and age", quote, "nifty 24000ce", watcher=True),
)
