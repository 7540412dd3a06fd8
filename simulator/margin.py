"""What the broker blocks for orders and positions: a model in the manner of SPAN, not SPAN itself.

Everything is in rupees. An option that is bought costs its premium. An option that is sold blocks
a scan share and an exposure share of its notional, taken as strike times quantity (the level of
the underlying is close to it and need not be known). Options of one underlying and expiry are
looked at together:

* a short that a long of the same kind covers loses no more than the spread: the covered options
  block the worst loss that they can make at expiry, and no exposure;
* of naked calls and naked puts only one side can lose: the scan share of the larger side counts,
  the exposure share of both;
* it is never more than the shorts block one by one.

A future blocks its shares of price times quantity, without a benefit from options or from other
expiries. Shares block 20 % intraday, 25 % margin-funded and all of their price for delivery.
Neither the extra margin of an expiry day nor physical delivery is modelled.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Final

from simulator.model import Instrument

SCAN: Final = {"index": 0.09, "share": 0.15}  # of the notional
EXPOSURE: Final = {"index": 0.02, "share": 0.035}
EQUITY: Final = {"I": 0.20, "MTF": 0.25, "D": 1.00}
OPTIONS: Final = ("CE", "PE")


@dataclass(frozen=True, slots=True)
class Line:
    """So many of one instrument (below 0: sold) at a price in rupees; product "I", "D", "MTF"."""

    instrument: Instrument
    signed_quantity: int
    price: float
    product: str


@dataclass(frozen=True, slots=True)
class Row:
    """What one line, or several together, takes; rupees."""

    span: float = 0.0
    exposure: float = 0.0
    equity: float = 0.0
    premium: float = 0.0  # of options bought

    @property
    def total(self) -> float:
        return self.span + self.exposure + self.equity + self.premium

    def __add__(self, other: "Row") -> "Row":
        return Row(
            self.span + other.span,
            self.exposure + other.exposure,
            self.equity + other.equity,
            self.premium + other.premium,
        )


@dataclass(frozen=True, slots=True)
class Need:
    """What lines need: one by one (`required`, of which `rows`), and together (`final`)."""

    required: float
    final: float
    rows: tuple[Row, ...]


def required(lines: Sequence[Line], *, held: Sequence[Line] = ()) -> Need:
    """Return what these orders need beside what is held (positions, and orders that work).

    `final` is what the account must have free: the premium of options that it will hold more of,
    and what is blocked afterwards beyond what is blocked now. What only reduces needs nothing.
    """
    rows = tuple(_alone(line) for line in lines)
    before = _net(held)
    after = _net([*held, *lines])
    premium = sum(_more_held(before, after, line) for line in after if is_option(line))
    more = _blocked(after).total - _blocked(before).total
    return Need(sum(row.total for row in rows), max(0.0, more) + premium, rows)


def blocked(held: Iterable[Line]) -> Row:
    """Return what positions block; the premium of options held has been paid and is not in it."""
    return _blocked(_net(held))


def is_option(line: Line) -> bool:
    return line.instrument.instrument_type in OPTIONS


def _alone(line: Line) -> Row:
    if is_option(line) and line.signed_quantity > 0:
        return Row(premium=line.signed_quantity * line.price)
    return _blocked([line])


def _net(lines: Iterable[Line]) -> list[Line]:
    """Add up each instrument (shares by product, for they are margined by it); last price wins."""
    sums: dict[tuple[str, str], Line] = {}
    for line in lines:
        share = line.instrument.segment.endswith("_EQ")
        key = line.instrument.instrument_key, line.product if share else ""
        before = sums[key].signed_quantity if key in sums else 0
        quantity = before + line.signed_quantity
        sums[key] = Line(line.instrument, quantity, line.price, line.product)
    return list(sums.values())


def _more_held(before: list[Line], after: list[Line], line: Line) -> float:
    """Return the premium of the options that are held long now and were not before."""
    key = line.instrument.instrument_key
    had = sum(old.signed_quantity for old in before if old.instrument.instrument_key == key)
    return max(0, line.signed_quantity - max(0, had)) * line.price


def _blocked(net: Iterable[Line]) -> Row:
    lines = sorted((line for line in net if line.signed_quantity), key=_series)
    row = Row()
    for (_, _, options), group in groupby(lines, key=_series):
        if options:
            row += _options(list(group))
        else:
            row = sum((_single(line) for line in group), row)
    return row


def _series(line: Line) -> tuple[str, int, bool]:
    """Return what options must share to help each other; other instruments stand alone."""
    instrument = line.instrument
    return instrument.underlying_key, instrument.expiry, is_option(line)


def _single(line: Line) -> Row:
    """Return what a future or a share blocks."""
    value = abs(line.signed_quantity) * line.price
    if line.instrument.instrument_type == "FUT":
        return Row(span=SCAN[_kind(line)] * value, exposure=EXPOSURE[_kind(line)] * value)
    return Row(equity=EQUITY.get(line.product, 1.0) * value)


def _short(line: Line) -> Row:
    notional = -line.signed_quantity * line.instrument.strike
    return Row(span=SCAN[_kind(line)] * notional, exposure=EXPOSURE[_kind(line)] * notional)


def _kind(line: Line) -> str:
    return "share" if line.instrument.underlying_key.partition("|")[0].endswith("_EQ") else "index"


def _options(group: list[Line]) -> Row:
    """Return what the options of one underlying and expiry block together."""
    alone = sum((_short(line) for line in group if line.signed_quantity < 0), Row())
    covered: list[Line] = []
    naked = []
    for kind in OPTIONS:
        side = [line for line in group if line.instrument.instrument_type == kind]
        with_cover, without = _parted(side)
        covered += with_cover
        naked.append(sum((_short(line) for line in without), Row()))
    together = Row(
        span=max(row.span for row in naked) + worst_loss(covered),
        exposure=sum(row.exposure for row in naked),
    )
    return min(alone, together, key=lambda row: row.total)


def _parted(side: list[Line]) -> tuple[list[Line], list[Line]]:
    """Part calls, or puts, into as many shorts as there are longs with these, and naked shorts.

    The shorts nearest to the money stay naked: those farther out are the cheapest to cover.
    """
    excess = max(0, -sum(line.signed_quantity for line in side))
    covered, naked = [], []
    for line in sorted(side, key=_nearness, reverse=True):
        bare = min(excess, max(0, -line.signed_quantity))
        excess -= bare
        if bare:
            naked.append(replace(line, signed_quantity=-bare))
        if line.signed_quantity + bare:
            covered.append(replace(line, signed_quantity=line.signed_quantity + bare))
    return covered, naked


def _nearness(line: Line) -> float:
    strike = line.instrument.strike
    return strike if line.instrument.instrument_type == "PE" else -strike


def worst_loss(options: Sequence[Line]) -> float:
    """Return the most that options can lose at expiry, premiums apart, if calls are covered."""
    levels = {0.0, *(line.instrument.strike for line in options)}  # the bends of the pay-off
    return max(0.0, -min(sum(_payoff(line, level) for line in options) for level in levels))


def _payoff(line: Line, level: float) -> float:
    inside = level - line.instrument.strike
    if line.instrument.instrument_type == "PE":
        inside = -inside
    return line.signed_quantity * max(0.0, inside)
