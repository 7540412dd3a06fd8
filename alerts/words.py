"""How numbers, times and names are written in a message; unknown is a dash, never zero."""

import math
from datetime import datetime
from typing import Final

from trading.health import Alert
from trading.hours import IST
from trading.model import Instrument, InstrumentType
from trading.order import Side

DASH: Final = "—"
TIMES: Final = "\N{MULTIPLICATION SIGN}"
_DERIVATIVES: Final = (InstrumentType.FUTURE, InstrumentType.CALL, InstrumentType.PUT)


def glyph(mode: str, *, is_mock: bool) -> str:
    """Return what the first line of every message begins with: is this real money?"""
    if mode == "PAPER":
        return "🔵 PAPER"
    if is_mock:
        return "🟣 SIM REPLAY" if "REPLAY" in mode else "🟣 SIM"
    return f"🔴 {mode}"


def headline(alert: Alert) -> str:
    """Return the first line: `🟣 SIM ✅ FILLED  SELL 2 lots NIFTY 28 NOV 24000 CE`."""
    return f"{glyph(alert.mode, is_mock=alert.is_mock)} {one_line(alert.title)}"


def times(alert: Alert) -> str:
    """Return how many one message stands for, after its first line: ` x4`."""
    return f" {TIMES}{alert.times}" if alert.times > 1 else ""


def plain(alert: Alert) -> str:
    """Return the whole message without markup; its number makes two copies one matter."""
    first = f"{headline(alert)}{times(alert)}"
    return "\n".join([first, *map(one_line, alert.lines), f"{alert.name} · {clock(alert.at)} IST"])


def one_line(text: str) -> str:
    """Return the text without what would make it two lines, or hide what it says."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split(" ")).strip()


def grouped(digits: str) -> str:
    """Return `1234567` as `12,34,567`: the last three digits, then pairs."""
    head, tail = digits[:-3], digits[-3:]
    pairs = [head[max(0, end - 2) : end] for end in range(len(head), 0, -2)]
    return ",".join([*reversed(pairs), tail])


def price(value: float) -> str:
    """Return rupees as tables show them, `24,012.35`."""
    if not math.isfinite(value):
        return DASH
    whole, _, fraction = f"{abs(value):.2f}".partition(".")
    sign = "-" if value < 0 and f"{value:.2f}" != "-0.00" else ""
    return f"{sign}{grouped(whole)}.{fraction}"


def rupees(paise: int | None) -> str:
    """Return a sum without a plus: `₹12,34,567.50`, `-₹20.00`."""
    if paise is None:
        return DASH
    return f"{'-' if paise < 0 else ''}₹{price(abs(paise) / 100)}"


def gain(paise: int | None) -> str:
    """Return a P&L with its mark and sign: `▲ +₹6,720.00`; zero has neither."""
    if paise is None or paise == 0:
        return rupees(paise)
    return f"▲ +{rupees(paise)}" if paise > 0 else f"▼ {rupees(paise)}"


def clock(at: datetime) -> str:
    return f"{at.astimezone(IST):%H:%M:%S}"


def moment(at: datetime, now: datetime) -> str:
    """Return the time of day, with its date if that is not today's."""
    local = at.astimezone(IST)
    if local.date() == now.astimezone(IST).date():
        return clock(at)
    return f"{local.day} {local:%b} {clock(at)}"


def duration(seconds: float) -> str:
    """Return `42 s`, `2 min 10 s`, `3 h 5 min`."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    if not minutes:
        return f"{rest} s"
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min" if minutes else f"{hours} h"
    return f"{minutes} min {rest} s" if rest else f"{minutes} min"


def count(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or one + 's'}"


def name(instrument: Instrument | None, key: str) -> str:
    """Return `NIFTY 28 NOV 24000 CE`; the broker's key if the instrument is not known."""
    return instrument.title if instrument else key


def lots(units: int, instrument: Instrument | None) -> str:
    """Return `2 lots`, or `150 qty` where there are no whole lots."""
    if instrument and instrument.type in _DERIVATIVES and instrument.lot_size > 1:
        whole, rest = divmod(units, instrument.lot_size)
        if not rest:
            return f"{grouped(str(whole))} lot{'' if whole == 1 else 's'}"
    return f"{grouped(str(units))} qty"


def held(units: int, instrument: Instrument | None) -> str:
    """Return a position: `short 2 lots (150)`, `long 10`, `flat`."""
    if not units:
        return "flat"
    side, size = "long" if units > 0 else "short", abs(units)
    said = lots(size, instrument)
    if said.endswith("qty"):
        return f"{side} {grouped(str(size))}"
    return f"{side} {said} ({grouped(str(size))})"


def done(side: Side) -> str:
    return "bought" if side is Side.BUY else "sold"
