"""The pay-off of legs at expiry: what they are taken to cost, and the picture of it."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from nicegui.element import Element

from dashboard import format as fmt
from trading.marks import Mark
from trading.model import UNKNOWN, Instrument, InstrumentType
from trading.order import OrderRequest, Side
from trading.payoff import HeldLeg, Payoff, payoff

MARGIN: Final = 0.015  # of the price of the underlying, shown on either side at least
UNLIMITED: Final = "unlimited"


@dataclass(frozen=True, slots=True)
class Leg:
    """A leg with its instrument and what it would be had for now (rupees, NaN unknown)."""

    request: OrderRequest
    instrument: Instrument
    price: float


@dataclass(frozen=True, slots=True)
class Outlook:
    """What the legs together promise; without `payoff`, `why_not` says why there is none."""

    payoff: Payoff | None
    why_not: str = ""


def had_at(request: OrderRequest, mark: Mark | None) -> float:
    """Return what a leg is likely had for: its limit, else the other side of the book, else ltp."""
    if request.order_type.has_price:
        return request.price
    if mark is None:
        return UNKNOWN
    best = mark.ask if request.side is Side.BUY else mark.bid
    return best if math.isfinite(best) and best > 0 else mark.price


def outlook(legs: Sequence[Leg]) -> Outlook:
    if not legs:
        return Outlook(None, "no leg yet")
    if len({_underlying(leg.instrument) for leg in legs}) > 1:
        return Outlook(None, "the legs are of different underlyings")
    if len({leg.instrument.expiry for leg in legs if leg.instrument.expiry}) > 1:
        return Outlook(None, "the legs end on different days")
    unpriced = next((leg for leg in legs if math.isnan(leg.price)), None)
    if unpriced is not None:
        return Outlook(None, f"{unpriced.instrument.title} has no price now")
    held = [
        HeldLeg(leg.instrument, leg.request.side, leg.request.quantity, leg.price) for leg in legs
    ]
    return Outlook(payoff(held))


def facts(seen: Outlook) -> dict[str, str]:
    """Return premium, best, worst and break-evens as they are written; a dash where unknown."""
    line = seen.payoff
    if line is None:
        return dict.fromkeys(("premium", "gain", "loss", "evens"), fmt.DASH)
    word = "received" if line.net_premium > 0 else "paid" if line.net_premium < 0 else ""
    evens = " · ".join(fmt.price(price) for price in line.break_evens)
    return {
        "premium": f"{fmt.rupees(abs(line.net_premium))} {word}".strip(),
        "gain": UNLIMITED if line.max_gain is None else fmt.money(line.max_gain / 100),
        "loss": UNLIMITED if line.max_loss is None else fmt.money(-line.max_loss / 100),
        "evens": evens or "none",
    }


def picture(legs: Sequence[Leg], line: Payoff, spot: float) -> dict[str, object]:
    """Return what the chart draws: the line in rupees over the prices that matter."""
    strikes = sorted({leg.instrument.strike for leg in legs if leg.instrument.strike is not None})
    known = [*strikes, *line.break_evens, *([spot] if math.isfinite(spot) else [])]
    centre = sum(known) / len(known) if known else line.corners[-1][0] / 2
    reach = max(max(known, default=centre) - centre, centre - min(known, default=centre))
    reach = max(reach * 1.35, centre * MARGIN)
    low, high = max(0.0, centre - reach), centre + reach
    return {
        "points": [(x, paise / 100) for x, paise in line.between(low, high)],
        "strikes": strikes,
        "evens": [x for x in line.break_evens if low <= x <= high],
        "spot": spot if math.isfinite(spot) else None,
    }


def _underlying(instrument: Instrument) -> str:
    if instrument.type in (InstrumentType.INDEX, InstrumentType.EQUITY):
        return instrument.instrument_key
    return instrument.underlying_key or instrument.underlying_symbol


class PayoffChart(Element, component="components/payoff.js"):
    """Draws in the browser, in the colours of the theme; `picture` is what it was last given."""

    def __init__(self) -> None:
        super().__init__()
        self.classes("v-payoff")
        self.picture: dict[str, object] | None = None
        self._ready = False
        self.on("ready", self._on_ready)

    def load(self, picture: dict[str, object] | None) -> None:
        if picture != self.picture:
            self.picture = picture
            if self._ready:
                self.run_method("load", picture)

    def _on_ready(self) -> None:
        self._ready = True
        if self.picture is not None:
            self.run_method("load", self.picture)
