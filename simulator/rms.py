"""What the broker's risk management and the exchange object to after an order was accepted."""

from typing import NamedTuple

from simulator.model import Instrument, Quote
from simulator.orders import Order, Terms, exchange_of, paise

CIRCUIT = "RMS:Rule: Check circuit limit including square off order exceeds"
FREEZE = "RMS:Rule: Check freeze quantity including square off order exceeds"


class Objection(NamedTuple):
    """A rejection's text for the user, and the raw one."""

    message: str
    raw: str


def objection(order: Order, terms: Terms, quote: Quote, now_ms: int) -> Objection | None:
    """Return what is wrong with an order of these terms, apart from the money."""
    instrument = order.instrument
    if instrument.expiry and now_ms > instrument.expiry:
        return Objection("The contract has expired.", _raw("RMS:Blocked: expired contract", order))
    return (
        _lots(order, terms.quantity, instrument)
        or _freeze(order, terms.quantity, instrument)
        or _price(order, terms.price, quote)
        or _price(order, terms.trigger_price, quote)
    )


def margin_exceeds(order: Order, required: float, available: float) -> Objection:
    """Return the rejection of an order that needs more rupees than there are."""
    return Objection(
        f"You need to add Rs. {required - available:.2f} in your account to place this trade.",
        _raw(f"RMS:Margin Exceeds,Required:{required:.2f}, Available:{available:.2f}", order),
    )


def holdings_exceed(order: Order, held: int) -> Objection:
    return Objection(
        f"You can sell {held} of this share for delivery.",
        _raw("RMS:Rule: Check holdings including square off order exceeds", order),
    )


def segment_disabled(order: Order) -> Objection:
    segment = order.instrument.segment
    return Objection(
        f"Trading in {segment} is disabled by your kill switch.",
        _raw("RMS:Blocked: kill switch", order),
    )


def _raw(rule: str, order: Order) -> str:
    return (
        f"{rule} for entity account-{order.user} across exchange {exchange_of(order.instrument)} "
        f"across segment {order.instrument.segment} across product {order.product}"
    )


def _lots(order: Order, quantity: int, instrument: Instrument) -> Objection | None:
    if quantity % instrument.lot_size == 0:
        return None
    return Objection(
        f"The quantity should be a multiple of the lot size {instrument.lot_size}.",
        _raw(f"RMS:Rule: Quantity {quantity} is no multiple of {instrument.lot_size}", order),
    )


def _freeze(order: Order, quantity: int, instrument: Instrument) -> Objection | None:
    if not instrument.freeze_quantity or quantity <= instrument.freeze_quantity:
        return None
    return Objection(
        f"The quantity is above the freeze quantity {instrument.freeze_quantity}.",
        _raw(f"{FREEZE} : Quantity {quantity}, Freeze {instrument.freeze_quantity}", order),
    )


def _price(order: Order, price: float, quote: Quote) -> Objection | None:
    if not price:
        return None
    tick = order.instrument.tick_size
    if abs(price * 100 - paise(price)) > 1e-6 or paise(price) % max(1, paise(tick)):
        return Objection(
            f"The order price is no multiple of the tick size {tick:.2f}.",
            _raw("EXCH:Order price is not a multiple of the tick size", order),
        )
    low, high = quote.lower_circuit, quote.upper_circuit
    if high and not low <= price <= high:
        return Objection(
            f"The order price is outside of the circuit limits {low:.2f} - {high:.2f}.",
            _raw(
                f"{CIRCUIT} : Circuit breach, Order Price :{price:.2f}, "
                f"Low Price Range:{low:.2f} High Price Range:{high:.2f}",
                order,
            ),
        )
    return None
