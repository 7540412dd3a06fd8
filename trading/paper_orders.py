"""The states of a paper order in the broker's words: pure changes from one to the next."""

from dataclasses import replace
from datetime import date, datetime
from typing import Final

from trading.model import Instrument
from trading.order import (
    BrokerOrder,
    Fill,
    OrderChange,
    OrderRequest,
    OrderStatus,
    OrderType,
    Product,
    Side,
)
from trading.paper_book import Place
from trading.paper_day import ist_date
from trading.paper_match import TRIGGER_PENDING, Shown

SQUARE_OFF: Final = "square-off"  # tag and message of the orders that close intraday positions


def place_of(order: BrokerOrder) -> Place:
    return order.instrument_key, order.product


def moved_on(order: BrokerOrder, day: date) -> bool:
    """Return whether anything happened to the order on this IST day."""
    at = order.exchange_time or order.placed
    return at is not None and ist_date(at) == day


def first_status(order_type: OrderType, *, triggered: bool = False) -> str:
    return TRIGGER_PENDING if order_type.has_trigger and not triggered else "open"


def ended(order: BrokerOrder, status: OrderStatus, raw_status: str, words: str) -> BrokerOrder:
    return replace(order, status=status, raw_status=raw_status, message=words)


def with_fill(order: BrokerOrder, fill: Fill, words: str) -> BrokerOrder:
    filled = order.filled + fill.quantity
    before = order.average_price * order.filled if order.filled else 0.0
    complete = filled == order.quantity
    return replace(
        order,
        status=OrderStatus.FILLED if complete else OrderStatus.WORKING,
        raw_status="complete" if complete else "open",
        filled=filled,
        average_price=(before + fill.price * fill.quantity) / filled,
        message=f"{SQUARE_OFF}: {words}" if order.tag == SQUARE_OFF else words,
        exchange_time=fill.at,
    )


def changed(order: BrokerOrder, change: OrderChange) -> BrokerOrder:
    """Return the order with what a modification asks for; None leaves a field as it is."""
    kind = change.order_type or order.order_type
    price = order.price if change.price is None else change.price
    trigger = order.trigger if change.trigger is None else change.trigger
    return replace(
        order,
        quantity=order.quantity if change.quantity is None else change.quantity,
        order_type=kind,
        price=price if kind.has_price else 0.0,
        trigger=trigger if kind.has_trigger else 0.0,
        validity=change.validity or order.validity,
    )


def request_of(order: BrokerOrder) -> OrderRequest:
    return OrderRequest(
        account=order.account,
        instrument_key=order.instrument_key,
        side=order.side,
        quantity=order.quantity,
        product=order.product,
        order_type=order.order_type,
        nonce="",
        price=order.price,
        trigger=order.trigger,
        validity=order.validity,
    )


def market_order(
    account: str, instrument: Instrument, side: Side, quantity: int, product: Product
) -> OrderRequest:
    key = instrument.instrument_key
    return OrderRequest(account, key, side, quantity, product, OrderType.MARKET, nonce="")


def triggered(order: BrokerOrder, shown: Shown, *, at: datetime) -> BrokerOrder:
    words = f"triggered by a trade at {shown.ltp:.2f} {shown.source}"
    return replace(order, raw_status="open", message=words, exchange_time=at)
