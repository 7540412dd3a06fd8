"""What a set of legs is worth at expiry, as a broken line: pure, exact at its corners.

The underlying's price is on one axis (rupees), profit or loss on the other (integer paise). All
legs are held to the end; charges are left out.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

from trading.model import Instrument, InstrumentType
from trading.order import Side


@dataclass(frozen=True, slots=True)
class HeldLeg:
    """Units of an option, a future or a share of one underlying, had at this price (rupees)."""

    instrument: Instrument
    side: Side
    quantity: int
    price: float

    @property
    def units(self) -> int:
        return self.quantity * self.side.sign

    @property
    def value(self) -> int:
        """Paise paid for it, negative if received."""
        return round(self.price * 100) * self.units


@dataclass(frozen=True, slots=True)
class Payoff:
    """`corners` run from an underlying of 0 over every strike to beyond the last one.

    `max_gain` and `max_loss` are paise, the loss as a positive number; None is unlimited (an
    underlying cannot fall below zero, so a loss to the left has an end). `net_premium` is what the
    options give, negative if they cost. `break_evens` are rupees.
    """

    corners: tuple[tuple[float, int], ...]
    slope: int  # units gained for each rupee above the last corner
    max_gain: int | None
    max_loss: int | None
    break_evens: tuple[float, ...]
    net_premium: int

    def at(self, underlying: float) -> int:
        """Return the paise won or lost if the underlying ends there."""
        last, value = self.corners[-1]
        if underlying >= last:
            return value + round((underlying - last) * self.slope * 100)
        pairs = pairwise(self.corners)
        (x0, y0), (x1, y1) = next(pair for pair in pairs if underlying < pair[1][0])
        return round(y0 + (y1 - y0) * (underlying - x0) / (x1 - x0))

    def between(self, low: float, high: float) -> list[tuple[float, int]]:
        """Return the line from `low` to `high` (rupees), every corner between them included."""
        inner = [corner for corner in self.corners if low < corner[0] < high]
        return [(low, self.at(low)), *inner, (high, self.at(high))]


def payoff(legs: Sequence[HeldLeg]) -> Payoff | None:
    """Return the line of these legs; None if there is no leg, or a price is unknown.

    All must be of one underlying and end on one day; a share or a future ends where it stands.
    """
    if not legs or any(math.isnan(leg.price) for leg in legs):
        return None
    strikes = sorted({leg.instrument.strike for leg in legs if leg.instrument.strike is not None})
    edge = 2 * max([*strikes, *(leg.price for leg in legs if _linear(leg))])
    xs = [0.0, *strikes, edge]
    corners = tuple((x, sum(_worth(leg, x) for leg in legs)) for x in xs)
    slope = sum(leg.units for leg in legs if leg.instrument.type is not InstrumentType.PUT)
    values = [y for _, y in corners]
    return Payoff(
        corners=corners,
        slope=slope,
        max_gain=None if slope > 0 else max(values),
        max_loss=None if slope < 0 else max(0, -min(values)),
        break_evens=tuple(_crossings(corners, slope)),
        net_premium=-sum(leg.value for leg in legs if not _linear(leg)),
    )


def _linear(leg: HeldLeg) -> bool:
    return leg.instrument.type not in (InstrumentType.CALL, InstrumentType.PUT)


def _worth(leg: HeldLeg, underlying: float) -> int:
    """Return paise won or lost by one leg."""
    strike = leg.instrument.strike or 0.0
    match leg.instrument.type:
        case InstrumentType.CALL:
            ends_at = max(underlying - strike, 0.0)
        case InstrumentType.PUT:
            ends_at = max(strike - underlying, 0.0)
        case _:
            ends_at = underlying
    return round(ends_at * 100) * leg.units - leg.value


def _crossings(corners: Sequence[tuple[float, int]], slope: int) -> Iterable[float]:
    """Yield where the line meets zero, a stretch along zero by its two ends."""
    for (x0, y0), (x1, y1) in pairwise(corners):
        if y0 == 0:
            yield x0
        elif y0 * y1 < 0:
            yield round(x0 - y0 * (x1 - x0) / (y1 - y0), 2)
    last, value = corners[-1]
    if value == 0:
        yield last
    elif value * slope < 0:
        yield round(last - value / (slope * 100), 2)
