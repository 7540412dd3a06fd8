"""Templates: which options make a spread, a straddle or a condor around the present price. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from trading.errors import Denied, Problem
from trading.model import Instrument, InstrumentType
from trading.order import OrderRequest, OrderType, Product, Side


class Template(StrEnum):
    """`width` and `wing` are counted in strikes; see `LEGS`."""

    BULL_CALL = "Bull call spread"
    BEAR_CALL = "Bear call spread"
    BULL_PUT = "Bull put spread"
    BEAR_PUT = "Bear put spread"
    LONG_STRADDLE = "Long straddle"
    SHORT_STRADDLE = "Short straddle"
    LONG_STRANGLE = "Long strangle"
    SHORT_STRANGLE = "Short strangle"
    IRON_CONDOR = "Iron condor"
    IRON_FLY = "Iron fly"


@dataclass(frozen=True, slots=True)
class Shape:
    """One leg: so many widths and wings away from the strike nearest to the spot."""

    side: Side
    type: InstrumentType
    widths: int = 0
    wings: int = 0


_C, _P, _B, _S = InstrumentType.CALL, InstrumentType.PUT, Side.BUY, Side.SELL
LEGS: Final[dict[Template, tuple[Shape, ...]]] = {
    Template.BULL_CALL: (Shape(_B, _C), Shape(_S, _C, 1)),
    Template.BEAR_CALL: (Shape(_S, _C), Shape(_B, _C, 1)),
    Template.BULL_PUT: (Shape(_B, _P, -1), Shape(_S, _P)),
    Template.BEAR_PUT: (Shape(_S, _P, -1), Shape(_B, _P)),
    Template.LONG_STRADDLE: (Shape(_B, _P), Shape(_B, _C)),
    Template.SHORT_STRADDLE: (Shape(_S, _P), Shape(_S, _C)),
    Template.LONG_STRANGLE: (Shape(_B, _P, -1), Shape(_B, _C, 1)),
    Template.SHORT_STRANGLE: (Shape(_S, _P, -1), Shape(_S, _C, 1)),
    Template.IRON_CONDOR: (
        Shape(_B, _P, -1, -1),
        Shape(_S, _P, -1),
        Shape(_S, _C, 1),
        Shape(_B, _C, 1, 1),
    ),
    Template.IRON_FLY: (Shape(_B, _P, 0, -1), Shape(_S, _P), Shape(_S, _C), Shape(_B, _C, 0, 1)),
}


@dataclass(frozen=True, slots=True)
class StrategyLeg:
    instrument: Instrument
    side: Side
    quantity: int  # units

    def request(self, *, account: str, product: Product, price: float = 0.0) -> OrderRequest:
        """Return the leg for a basket: at the market, or with a limit if a price is given."""
        return OrderRequest(
            account=account,
            instrument_key=self.instrument.instrument_key,
            side=self.side,
            quantity=self.quantity,
            product=product,
            order_type=OrderType.LIMIT if price else OrderType.MARKET,
            price=price,
            nonce="",
            source="basket",
        )


def build(
    template: Template,
    options: Sequence[Instrument],
    *,
    spot: float,
    lots: int = 1,
    width: int = 2,
    wing: int = 2,
) -> list[StrategyLeg]:
    """Return the legs by rising strike, from the options of one underlying and one expiry.

    Raises Denied, naming `lots`, `width` or `wing`, if they make no such strategy here.
    """
    _check(options, lots=lots, width=width, wing=wing)
    listed = {(o.type, o.strike): o for o in options}
    strikes = sorted({o.strike for o in options if o.strike is not None})
    nearest = min(range(len(strikes)), key=lambda n: abs(strikes[n] - spot))
    legs: list[StrategyLeg] = []
    for shape in LEGS[template]:
        place = nearest + shape.widths * width + shape.wings * wing
        there = 0 <= place < len(strikes)
        option = listed.get((shape.type, strikes[place])) if there else None
        if option is None:
            body = nearest + shape.widths * width
            field = "wing" if shape.wings and 0 <= body < len(strikes) else "width"
            where = f"{abs(place - nearest)} strikes {'above' if place > nearest else 'below'}"
            words = f"no {shape.type} is listed {where} {strikes[nearest]:g}"
            raise Denied(words, problems=[Problem(field, words)])
        legs.append(StrategyLeg(option, shape.side, lots * option.lot_size))
    return legs


def _check(options: Sequence[Instrument], *, lots: int, width: int, wing: int) -> None:
    found = [
        Problem(field, f"{value} is not above zero")
        for field, value in (("lots", lots), ("width", width), ("wing", wing))
        if value < 1
    ]
    series = {(o.underlying_key, o.expiry) for o in options}
    if len(series) != 1 or not any(o.strike is not None for o in options):
        found.append(Problem("options", "they must be of one underlying and one expiry"))
    if found:
        raise Denied("; ".join(f"{p.field}: {p.words}" for p in found), problems=found)
