"""Positions in a trader's words: how much, what is doubtful, what a sum lacks. Pure."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime
from enum import StrEnum
from typing import Final

from dashboard import format as fmt
from dashboard import order_words
from dashboard.sheet import Shown, Tone
from trading.books import Books
from trading.hours import IST
from trading.model import Instrument
from trading.order import Account, Product, Side
from trading.positions import Position, Value

Key = tuple[str, str, Product]
Part = tuple[Position, Value]


class Grouping(StrEnum):
    NONE = "none"
    UNDERLYING = "underlying"
    EXPIRY = "expiry"


GROUPINGS: Final = {
    Grouping.NONE: "No groups",
    Grouping.UNDERLYING: "Underlying",
    Grouping.EXPIRY: "Underlying + expiry",
}


@dataclass(frozen=True, slots=True)
class Chip:
    """A short mark beside a name; `title` says what it means."""

    text: str
    title: str
    warns: bool = False


def key_of(position: Position) -> Key:
    return (position.account, position.instrument_key, position.product)


def side(position: Position) -> Side:
    """Return which side was taken to hold it."""
    return Side.BUY if position.quantity > 0 else Side.SELL


def lots(position: Position, instrument: Instrument | None) -> str:
    """Return signed lots first, units second: `-2 lots (150)`."""
    if not position.quantity:
        return "closed"
    sign = "+" if position.quantity > 0 else "-"
    return sign + order_words.quantity(abs(position.quantity), instrument)


def average(position: Position) -> Shown:
    if not position.quantity:
        return Shown("", Tone.NONE, "nothing is open")
    if math.isnan(position.average):
        why = "the price of a fill, or of what was carried over, is not known"
        return Shown(fmt.DASH, Tone.NONE, why)
    return Shown(fmt.price(position.average))


def chips(
    position: Position, instrument: Instrument | None, today: date, accounts: Sequence[Account]
) -> list[Chip]:
    """Return the marks of a row; the account only where there is more than one."""
    found = []
    if instrument is not None and instrument.expiry == today and position.quantity:
        found.append(Chip("0DTE", "expires today", warns=True))
    words = order_words.product(position.product, instrument)
    found.append(Chip(str(position.product), words))
    if position.carried:
        found.append(Chip("carried", "held since an earlier day"))
    if len(accounts) > 1:
        name = next((a.name for a in accounts if a.id == position.account), position.account)
        found.append(Chip(name, "the account"))
    return found


def note(position: Position) -> str:
    """Return what a row has to say besides its numbers; mostly nothing."""
    said = []
    if position.in_doubt:
        said.append(f"IN DOUBT: {position.in_doubt}")
    if position.adjusted:
        units = fmt.grouped(str(abs(position.adjusted)))
        sign = "+" if position.adjusted > 0 else "-"
        said.append(f"adjusted by {sign}{units} to the broker's book: no fill explains it")
    return "; ".join(said)


def gained(paise: int | None, why: str) -> Shown:
    """Return a P&L with its tone; an unknown one is a dash that says why."""
    if paise is None:
        return Shown(fmt.DASH, Tone.NONE, why or "not known")
    tone = Tone.UP if paise > 0 else Tone.DOWN if paise < 0 else Tone.NONE
    return Shown(fmt.gain(paise), tone)


def percent(position: Position, value: Value) -> Shown:
    """Return the unrealised P&L in percent of what is open cost."""
    if not position.quantity:
        return Shown("")
    if value.unrealised is None or not position.cost:
        return Shown(fmt.DASH, Tone.NONE, value.reason or "not known")
    tone = Tone.UP if value.unrealised > 0 else Tone.DOWN if value.unrealised < 0 else Tone.NONE
    return Shown(fmt.percent(100 * value.unrealised / abs(position.cost)), tone)


def shortfall(parts: Sequence[Part]) -> str:
    """Return what a sum lacks: `1 of 5 legs stale`; empty if it is whole."""
    legs = [(p, v) for p, v in parts if p.quantity or not v.complete or p.in_doubt]
    doubt = sum(1 for p, _ in legs if p.in_doubt)
    stale = sum(1 for p, v in legs if not v.complete and not p.in_doubt)
    if not doubt and not stale:
        return ""
    said = [f"{stale} of {len(legs)} legs stale"] if stale else []
    said += [f"{doubt} of {len(legs)} legs in doubt"] if doubt else []
    return ", ".join(said)


def summed_gain(paise: int | None, value: Value) -> Shown:
    """Return one amount of a sum; resting on it says what it lacks."""
    shown = gained(paise, value.reason)
    if value.complete or paise is None:
        return shown
    return Shown(shown.text, shown.tone, f"not in it: {value.reason}")


def group(position: Position, instrument: Instrument | None, grouping: Grouping) -> str:
    """Return the name of the group that a position belongs to; empty without groups."""
    if grouping is Grouping.NONE:
        return ""
    if instrument is None:
        return position.instrument_key
    name = instrument.underlying_symbol or instrument.symbol
    if grouping is Grouping.UNDERLYING or instrument.expiry is None:
        return name
    return f"{name} {instrument.expiry.day:02d} {instrument.expiry:%b}".upper()


def order(position: Position, instrument: Instrument | None) -> tuple[str, date, float, str, Key]:
    """Return what positions are sorted by: underlying, expiry, strike, type."""
    if instrument is None:
        return (position.instrument_key, date.max, 0.0, "", key_of(position))
    name = instrument.underlying_symbol or instrument.symbol
    strike = instrument.strike or 0.0
    expiry = instrument.expiry or date.min
    return (name, expiry, strike, str(instrument.type), key_of(position))


def fits(position: Position, instrument: Instrument | None, text: str) -> bool:
    """Return whether every word of a filter is in the name, the product or the account."""
    title = order_words.title(instrument, position.instrument_key)
    product = order_words.product(position.product, instrument)
    where = f"{title} {position.instrument_key} {product} {position.account}".upper()
    return all(word in where for word in text.upper().split())


def today(now: datetime) -> date:
    return now.astimezone(IST).date()


def unread(books: Sequence[Books]) -> str:
    """Return why it is not known what is open, "" once every account's book was read.

    "Nothing is open" would be a guess: the broker may hold positions of yesterday.
    """
    missing = [each for each in books if each.checked is None]
    if not missing:
        return ""
    names = ", ".join(each.account for each in missing)
    because = "; ".join(dict.fromkeys(each.failed for each in missing if each.failed))
    said = f"What is open is not known: the broker's book of {names} was not read yet"
    return f"{said} ({because})." if because else f"{said}."
