"""What is wrong with a request before anything is sent: pure, every finding names its field."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Final

from trading.errors import Problem
from trading.model import Instrument, InstrumentType
from trading.order import Order, OrderRequest, OrderStatus, OrderType, Side

MOST_SLICES: Final = 25  # of one order, upstox.md section 7
LONGEST_PRICE: Final = 10_000_000.0  # rupees; dearer than anything listed in India


@dataclass(frozen=True, slots=True)
class Band:
    """The exchange's circuit limits, rupees."""

    lower: float
    upper: float


@dataclass(frozen=True, slots=True)
class Limits:
    """What our own house allows for one order; values in rupees, 0 switches a limit off."""

    order_value: float = 0.0
    collar_percent: float = 0.0


NO_LIMITS: Final = Limits()


def problems(
    request: OrderRequest,
    instrument: Instrument | None,
    *,
    ltp: float | None = None,
    band: Band | None = None,
    limits: Limits = NO_LIMITS,
) -> list[Problem]:
    """Return everything wrong with a request; `ltp` and `band` are left out if they are unknown."""
    if instrument is None:
        return [Problem("instrument_key", f"no instrument {request.instrument_key!r} is known")]
    if instrument.type is InstrumentType.INDEX:
        return [Problem("instrument_key", f"{instrument.title} is an index: it cannot be traded")]
    found = [*_quantity(request, instrument), *_prices(request, instrument)]
    if not found:
        found = [*_band(request, band), *_house(request, ltp, limits)]
    return found


def slices(quantity: int, instrument: Instrument) -> int:
    """Return how many orders the broker makes of this quantity."""
    most = freeze_lots(instrument)
    return math.ceil(quantity / most) if most else 1


def freeze_lots(instrument: Instrument) -> int:
    """Return the largest quantity of one order in units, whole lots; 0 if there is no limit."""
    lot = max(1, instrument.lot_size)
    return instrument.freeze_quantity // lot * lot


def on_tick(price: float, tick_size: float) -> bool:
    return Decimal(str(price)) % Decimal(str(tick_size)) == 0


def to_tick(price: float, tick_size: float, *, up: bool) -> float:
    """Return the nearest price on the tick that is not below (`up`) or not above this one."""
    size = Decimal(str(tick_size))
    steps = Decimal(str(price)) / size
    whole = steps.to_integral_value("ROUND_CEILING" if up else "ROUND_FLOOR")
    return float(whole * size)


def _quantity(request: OrderRequest, instrument: Instrument) -> list[Problem]:
    quantity, lot = request.quantity, max(1, instrument.lot_size)
    if isinstance(quantity, bool) or not isinstance(quantity, int):
        return [Problem("quantity", f"{quantity!r} is not a whole number of units")]
    if quantity <= 0:
        return [Problem("quantity", f"{quantity} is not above zero")]
    if quantity % lot:
        below = quantity // lot * lot
        near = f"{below or lot} or {below + lot}" if below else f"{lot}"
        return [Problem("quantity", f"{quantity} is not a multiple of the lot of {lot}: {near}")]
    if slices(quantity, instrument) > MOST_SLICES:
        most = MOST_SLICES * freeze_lots(instrument)
        words = f"{quantity} is above {most}, the most that {MOST_SLICES} slices below the freeze "
        return [Problem("quantity", words + f"quantity of {instrument.freeze_quantity} can carry")]
    return []


def _prices(request: OrderRequest, instrument: Instrument) -> list[Problem]:
    kind = request.order_type
    found = _one_price("price", request.price, instrument, wanted=kind.has_price, kind=kind)
    found += _one_price("trigger", request.trigger, instrument, wanted=kind.has_trigger, kind=kind)
    if found or kind is not OrderType.SL:
        return found
    buys = request.side is Side.BUY
    if buys and request.trigger > request.price:
        return [Problem("trigger", "a buy's trigger must not be above its limit price")]
    if not buys and request.trigger < request.price:
        return [Problem("trigger", "a sell's trigger must not be below its limit price")]
    return []


def _one_price(
    field: str, price: float, instrument: Instrument, *, wanted: bool, kind: OrderType
) -> list[Problem]:
    if not wanted:
        return [Problem(field, f"a {kind} order takes no {field}")] if price else []
    if not math.isfinite(price) or not 0 < price <= LONGEST_PRICE:
        return [Problem(field, f"a {kind} order needs a {field} above zero, not {price}")]
    size = instrument.tick_size
    if on_tick(price, size):
        return []
    below, above = to_tick(price, size, up=False), to_tick(price, size, up=True)
    words = f"{price} is not a multiple of {size:.2f}: {below:.2f} or {above:.2f}"
    return [Problem(field, words)]


def _band(request: OrderRequest, band: Band | None) -> list[Problem]:
    if band is None or not request.order_type.has_price:
        return []
    if band.lower <= request.price <= band.upper:
        return []
    words = f"{request.price:.2f} is outside today's circuit, {band.lower:.2f} to {band.upper:.2f}"
    return [Problem("price", words)]


def _house(request: OrderRequest, ltp: float | None, limits: Limits) -> list[Problem]:
    price = request.price if request.order_type.has_price else ltp
    found: list[Problem] = []
    if price and limits.order_value and price * request.quantity > limits.order_value:
        words = f"₹{price * request.quantity:,.0f} is above our own limit for one order, "
        found.append(Problem("quantity", words + f"₹{limits.order_value:,.0f}"))
    if ltp and limits.collar_percent and request.order_type.has_price:
        away = (request.price / ltp - 1) * 100 * request.side.sign
        if away > limits.collar_percent:
            words = f"{request.price:.2f} is {away:.0f} % worse than the market's {ltp:.2f}"
            found.append(
                Problem("price", f"{words} (our own limit is {limits.collar_percent:g} %)")
            )
    return found


def doubtful(orders: Iterable[Order], request: OrderRequest) -> Order | None:
    """Return an order in doubt for the same leg: instrument and side of one account."""
    leg = (request.account, request.instrument_key, request.side)
    return next(
        (
            o
            for o in orders
            if o.status is OrderStatus.IN_DOUBT
            and (o.request.account, o.request.instrument_key, o.request.side) == leg
        ),
        None,
    )
