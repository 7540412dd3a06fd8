"""How numbers, times and ages are written for an Indian trader; unknown is a dash, never zero."""

import math
from datetime import UTC, datetime
from typing import Final

from trading.hours import IST

DASH: Final = "—"
MINUS: Final = "-"
LAKH: Final = 100_000
CRORE: Final = 10_000_000


def grouped(digits: str) -> str:
    """Return `1234567` as `12,34,567`: the last three digits, then pairs."""
    if len(digits) <= 3:
        return digits
    head, tail = digits[:-3], digits[-3:]
    first = len(head) % 2
    pairs = [head[:first]] if first else []
    pairs += [head[i : i + 2] for i in range(first, len(head), 2)]
    return ",".join([*pairs, tail])


def number(value: float, decimals: int = 2) -> str:
    """Return the value with Indian grouping; `-0.00` is written `0.00`."""
    if not math.isfinite(value):
        return DASH
    text = f"{abs(value):.{decimals}f}"
    whole, point, fraction = text.partition(".")
    sign = MINUS if value < 0 and text.strip("0.") else ""
    return f"{sign}{grouped(whole)}{point}{fraction}"


def price(value: float) -> str:
    return number(value, 2)


def signed(value: float, decimals: int = 2) -> str:
    text = number(value, decimals)
    return f"+{text}" if value > 0 and text.strip("0.") else text


def money(value: float) -> str:
    """Return rupees with their sign before the symbol: `+₹12,34,567.50`."""
    text = signed(value)
    if text == DASH:
        return text
    sign = text[0] if text[0] in "+-" else ""
    return f"{sign}₹{text.removeprefix(sign)}"


def rupees(paise: int | None) -> str:
    """Return a sum of paise without a plus: `₹12,34,567.50`; unknown is a dash."""
    return DASH if paise is None else money(paise / 100).removeprefix("+")


def gain(paise: int | None) -> str:
    """Return a P&L of paise with mark and sign: `▲ +₹12,34,567.50`; zero has neither."""
    if paise is None:
        return DASH
    return f"{_mark(paise)}{money(paise / 100)}"


def short_gain(paise: int) -> str:
    """Return a P&L in whole rupees for narrow places: `▲ +₹6,720`."""
    rounded = round(paise / 100)
    sign = "+" if rounded > 0 else MINUS if rounded < 0 else ""
    return f"{_mark(rounded)}{sign}₹{grouped(str(abs(rounded)))}"


def _mark(value: float) -> str:
    return "▲ " if value > 0 else "▼ " if value < 0 else ""


def percent(value: float) -> str:
    """Return a percentage that is already times a hundred: `+0.45%`."""
    text = signed(value)
    return text if text == DASH else f"{text}%"


def volatility(fraction: float) -> str:
    """Return an implied volatility given as a fraction: `13.4%`."""
    text = number(fraction * 100, 1)
    return text if text == DASH else f"{text}%"


def count(value: float) -> str:
    """Return a quantity shortened to K, L and Cr; negative means unknown."""
    if not math.isfinite(value) or value < 0:
        return DASH
    if value < 1_000:
        return f"{value:.0f}"
    for size, unit, limit in ((1_000, "K", LAKH), (LAKH, "L", CRORE), (CRORE, "Cr", math.inf)):
        decimals = 1 if unit == "K" else 2
        # what would be written as 100.0K or 100.00L belongs to the next unit
        if float(f"{value / size:.{decimals}f}") * size < limit:
            return f"{number(value / size, decimals)}{unit}"
    raise AssertionError("every finite count is below infinity")


def whole(value: float) -> str:
    """Return a quantity in full; negative means unknown."""
    return DASH if not math.isfinite(value) or value < 0 else grouped(f"{value:.0f}")


def data_size(value: float) -> str:
    for unit in ("B", "KB", "MB"):
        if value < 1_000:
            return f"{value:.0f} {unit}" if unit == "B" else f"{value:.1f} {unit}"
        value /= 1_000
    return f"{value:.2f} GB"


def age(seconds: float | None) -> str:
    """Return `0.3s`, `43s`, `2m 10s`, `3h 05m`; the browser's live.js writes the same."""
    if seconds is None:
        return "never"
    seconds = max(0.0, seconds)
    if seconds < 9.95:
        return f"{seconds:.1f}s"
    rounded = round(seconds)
    if rounded < 60:
        return f"{rounded}s"
    minutes, rest = divmod(rounded, 60)
    if minutes < 60:
        return f"{minutes}m {rest:02d}s"
    return f"{minutes // 60}h {minutes % 60:02d}m"


def milliseconds(value: float | None) -> str:
    if value is None:
        return DASH
    return f"{value:.1f} ms" if value < 10 else f"{number(value, 0)} ms"


def capital(text: str) -> str:
    """Return the text with a capital in front, and the rest as it is."""
    return text[:1].upper() + text[1:]


def clock(at: datetime) -> str:
    """Return the time of day in IST, whatever the zone of the machine."""
    return f"{at.astimezone(IST):%H:%M:%S}"


def moment(at: datetime, now: datetime) -> str:
    """Return the time, with the day before it when that is not today: `21 Nov 14:02:11`."""
    local, today = at.astimezone(IST), now.astimezone(IST)
    if local.date() == today.date():
        return clock(at)
    day = f"{local.day} {local:%b}" + ("" if local.year == today.year else f" {local.year}")
    return f"{day} {clock(at)}"


def opening(at: datetime, now: datetime) -> str:
    """Return when a market opens: `09:15` today, `Mon 09:15` within a week, else `2 Dec 09:15`."""
    local, today = at.astimezone(IST), now.astimezone(IST)
    days = (local.date() - today.date()).days
    if days == 0:
        return f"{local:%H:%M}"
    return f"{local:%a %H:%M}" if 0 < days < 7 else f"{local.day} {local:%b %H:%M}"


def from_ms(epoch_ms: int) -> datetime:
    return datetime.fromtimestamp(epoch_ms / 1000, UTC)
